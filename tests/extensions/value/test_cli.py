"""The commands of value where nothing can be stored."""
# ruff: noqa: F401, F811 - a fixture of test_cli.py

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.unit.serving.test_cli import Done, cli


def test_a_data_folder_that_cannot_be_made_is_named(cli: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    done = cli("roi", SIXPLY__FOUNDATION__DATA_DIR=str(tmp_path / "file" / "var"))
    assert done.returncode == 2, done.stderr
    assert "file/var cannot be made or written: Not a directory. Choose another" in " ".join(done.stderr.split())
