"""The guards that `make check` runs are tests too, so that one command says whether a change may land."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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
def test_types_hold_in_strict_mode():
    run("mypy")


def test_layers_and_vendors_stay_where_they_belong():
    run("lint-imports")
