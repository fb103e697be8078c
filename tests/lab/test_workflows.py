"""Workflows can be read, run commands that exist with values that they take, and give no expression to a shell."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.make_rules import RULES

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def steps(file: Path) -> Iterator[dict[str, Any]]:
    jobs: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"]
    for job in jobs.values():
        assert {"runs-on", "timeout-minutes", "steps"} <= job.keys()
        yield from job["steps"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_step_runs_what_is_there(file: Path) -> None:
    for step in steps(file):
        words = step.get("run", "").split()
        assert "${{" not in step.get("run", ""), "an expression becomes part of the command; give it by env"
        if "make" in words:
            target, *values = words[words.index("make") + 1 :]
            assert target in RULES
            assert {value.partition("=")[0] for value in values} <= RULES[target]
        elif words and "/" in words[0] and not words[0].startswith("/"):
            assert (ROOT / words[0]).exists()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_options_that_a_job_gives_to_every_run_of_pytest_are_taken_by_those_without_the_plug_in_of_orders(
    file: Path,
) -> None:
    for step in steps(file):
        own = os.environ | {"PYTEST_ADDOPTS": step.get("env", {}).get("PYTEST_ADDOPTS", "")}
        command = [sys.executable, "-m", "pytest", "-p", "no:randomly", "--version"]
        if own["PYTEST_ADDOPTS"]:
            assert subprocess.run(command, cwd=ROOT, env=own, check=False).returncode == 0


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_action_is_named_with_a_version(file: Path) -> None:
    for step in steps(file):
        assert ("uses" in step) != ("run" in step)
        if "uses" in step:
            assert step["uses"].startswith("actions/")
            assert step["uses"].rpartition("@v")[2].isdigit()
