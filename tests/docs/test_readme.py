"""The README names only what exists."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.make_rules import LAB, RULES

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


def test_make_alone_lists_the_targets_that_it_names() -> None:
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True).stdout
    for target in ("demo", "test", "doctor", "ask", "trace"):
        assert f"make {target}" in listed


def test_make_alone_begins_with_what_is_needed_first_and_leaves_no_command_out() -> None:
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True).stdout
    commands = re.findall(r"^  make ([a-z-]+) +\S", listed, re.MULTILINE)
    assert commands[:6] == ["demo", "ask", "trace", "ingest", "serve", "doctor"]
    lab = subprocess.run(["make", "lab"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False).stdout
    commands += re.findall(r"^  make ([a-z-]+) +\S", lab, re.MULTILINE)
    assert sorted(commands) == sorted(RULES.keys() - {"help", "lab"})
