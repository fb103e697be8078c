"""The commands of the kill switches, for a user without a name."""
# ruff: noqa: F401, F811 - a fixture of test_cli.py

from __future__ import annotations

import os
from collections.abc import Callable

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
