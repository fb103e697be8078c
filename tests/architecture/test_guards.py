"""The guards that `make check` runs are tests too, so that one command says whether a change may land."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.one_mypy import check_types

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str) -> None:
    program = Path(sys.executable).with_name(command[0])
    done = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True, timeout=540, check=False)
    if done.returncode:
        pytest.fail(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}", pytrace=False)


def test_lint_rules_hold():
    run("ruff", "check", "--no-cache", ".")


def test_formatting_holds():
    run("ruff", "format", "--check", "--no-cache", ".")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_types_hold_in_strict_mode():
    check_types()


def test_layers_and_vendors_stay_where_they_belong():
    run("lint-imports", "--no-cache")


REMOTE = (
    "serving/api",
    "extensions",
    "serving/http/uploads.py",
)
"""What acts for people who are not the owner of the machine."""
OWNERS = ("extensions/sources/sync.py",)
"""What acts for the owner all the same: a sync keeps whole sources in step, by what the owner has set, and nobody asks for one from afar."""


def test_whoever_writes_from_afar_says_what_they_may_read():
    """`scope=None` is the owner of the machine, who may read everything."""
    paths = [
        path
        for name in REMOTE
        for path in (sorted((ROOT / name).rglob("*.py")) or [ROOT / name])
        # commands are for who owns the machine
        if path.exists()
        and not path.stem.endswith(("command", "commands"))
        and str(path.relative_to(ROOT)) not in OWNERS
    ]
    calls = [
        (f"{path.relative_to(ROOT)}:{call.lineno}", {each.arg: each.value for each in call.keywords})
        for path in paths
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and "ingestor" in (getattr(call.func.value, "attr", ""), getattr(call.func.value, "id", ""))
    ]
    assert len(calls) >= 3, "there are ways to write"
    unscoped = [place for place, given in calls if not isinstance(given.get("scope"), ast.Name | ast.Call)]
    assert unscoped == []
