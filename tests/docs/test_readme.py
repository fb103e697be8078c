"""The README names only what exists."""

import importlib
import re
import subprocess
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.make_rules import LAB, PROGRAMS, RULES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z][a-z-]*)\b", README))))
def test_every_make_target_in_it_exists(target: str) -> None:
    assert target in RULES or not LAB.exists(), f"README says make {target}"


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:[a-z_]+/)+(?:[\w.]+)?|[\w]+\.(?:toml|md|py))`", README))))
def test_every_path_in_it_exists(path: str) -> None:
    if path.startswith("var/"):  # made by a run; the demo's own test looks for it
        return
    if path.startswith("lab/") and not LAB.exists():  # it can be deleted
        return
    layers = [ROOT, *(child for child in ROOT.iterdir() if child.is_dir())]
    assert any((place / path).exists() for place in layers), f"README names {path}"


def test_no_part_of_it_is_left_to_be_filled_in() -> None:
    assert not re.findall(r"^[A-Z]+_[A-Z]+$", README, re.MULTILINE)


def test_make_alone_begins_with_what_is_needed_first_and_says_where_the_rest_is() -> None:
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True).stdout
    commands = re.findall(r"^  make ([a-z-]+) +\S", listed, re.MULTILINE)
    first = ["demo", "ask", "trace", "ingest", "serve", "doctor"]
    assert commands[:6] == first or (commands[:5] == first[1:] and "demo" not in RULES)  # the example can be deleted
    assert re.findall(r"^(\w+)$", listed, re.MULTILINE) == ["Start", "Change", "Judge", "Code"]
    assert len(commands) <= 18
    assert set(commands) <= RULES.keys()
    assert "sixply --help" in listed
    assert "make lab" in listed


def test_what_make_alone_says_that_a_command_takes_is_taken() -> None:
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True).stdout
    for command, rest in re.findall(r"^  make ([a-z-]+) +(.*)$", listed, re.MULTILINE):
        assert set(re.findall(r"\b([A-Z][A-Z_]*)=", rest)) - {"PYTHON", "TORCH"} <= RULES[command], command


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_help_of_a_program_leaves_no_command_out(program: str) -> None:
    app = importlib.import_module(program).app
    listed = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout
    commands = re.findall(r"^  ([a-z][a-z-]*) {2,}\S", listed, re.MULTILINE)
    assert sorted(commands) == sorted(vars(typer.main.get_command(app))["commands"])
