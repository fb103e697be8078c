"""A forked process has the environment that its caller has at the time, and nothing of an earlier one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.forks import fork, preload

preload(__name__)


def write_environment(path: Path) -> None:
    path.write_text(json.dumps(dict(os.environ)), encoding="utf-8")


def environment_in(path: Path, **options: dict[str, str]) -> dict[str, str]:
    process = fork(write_environment, path, **options)
    process.join()
    assert process.exitcode == 0
    told: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return told


def test_it_has_the_environment_of_its_caller_at_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAID", "first")
    assert environment_in(tmp_path / "told")["SAID"] == "first"
    monkeypatch.setenv("SAID", "second")
    assert environment_in(tmp_path / "told")["SAID"] == "second"
    monkeypatch.delenv("SAID")
    assert environment_in(tmp_path / "told") == dict(os.environ)
    assert environment_in(tmp_path / "told", environment={"ALONE": "1"}) == {"ALONE": "1"}
