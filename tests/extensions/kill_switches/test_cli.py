"""The commands of the kill switches, for a user without a name."""
# ruff: noqa: F401, F811 - a fixture of test_cli.py

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.serving.test_cli import Done, cli


def test_the_kill_switch_works_for_a_user_without_a_name(
    cli: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a container runs under a number that no file of users knows."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    assert cli("stop", "all", "--reason", "x").returncode == 0
    assert f"user-{os.getuid()}@terminal" in cli("stops").stdout


def test_a_data_folder_that_cannot_be_made_is_named(cli: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    done = cli("stop", "all", "--reason", "x", SIXPLY__FOUNDATION__DATA_DIR=str(tmp_path / "file" / "var"))
    assert done.returncode == 2, done.stderr
    assert "file/var cannot be made or written: Not a directory. Choose another" in " ".join(done.stderr.split())
