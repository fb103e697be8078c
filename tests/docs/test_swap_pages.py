"""The pages about layers and swaps name only what exists."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path

import pytest

from serving.settings import load
from tests.make_rules import LAB, RULES

ROOT = Path(__file__).parents[2]
PAGES = sorted(path for folder in ("layers", "swap") for path in (ROOT / "docs" / folder).glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_every_link_and_command_of_the_page_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\bmake ([a-z][a-z-]*)", text):
        assert target in RULES or not LAB.exists(), target
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (page.parent / link).exists(), link


def test_every_variable_that_the_pages_set_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.findall(r"(SIXPLY__\w+)=(\w+)", "".join(page.read_text(encoding="utf-8") for page in PAGES))
    assert found
    for name, value in found:
        monkeypatch.setenv(name, value)
    load(ROOT / "stack.toml")


def test_the_defaults_in_comments_of_the_configuration_are_the_defaults() -> None:
    lines = [line.removeprefix("# ") for line in (ROOT / "stack.toml").read_text(encoding="utf-8").splitlines()]
    starts = [at for at, line in enumerate(lines) if re.match(r"\[.*# .*\bdefaults?$", line)]
    assert len(starts) >= 5
    blocks = ["\n".join(itertools.takewhile(bool, lines[at:])) for at in starts]
    values = tomllib.loads("\n".join(blocks))
    assert load(ROOT / "stack.toml", overrides=values).settings == load(ROOT / "stack.toml").settings
