"""The table of ports and adapters is what the code says; the pages about swaps name only what exists."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path

import pytest

from foundation.components import available
from serving.parts import list_parts
from serving.parts.ports import CONTRACTS
from serving.settings import load
from tests.make_rules import LAB, RULES

ROOT = Path(__file__).parents[2]
PAGES = sorted(path for folder in ("layers", "swap") for path in (ROOT / "docs" / folder).glob("*.md"))
TABLE = (ROOT / "docs" / "swap" / "parts.md").read_text(encoding="utf-8")


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


IN_CODE = {f"{port} {name}" for port in CONTRACTS for name in available(port)}
IN_PAGE = {
    f"{section.partition(chr(10))[0]} {line.split('`')[1]}": line
    for section in TABLE.split("\n## ")[1:]
    for line in section.splitlines()
    if line.startswith("| `")
}


@pytest.fixture(scope="module")
def rows() -> dict[str, str]:
    return {f"{one.port} {one.name}": list_parts.row(one) for one in list_parts.adapters()}


@pytest.mark.parametrize("adapter", sorted(IN_CODE | IN_PAGE.keys()))
def test_the_table_says_what_the_code_says_of(adapter: str, rows: dict[str, str]) -> None:
    assert IN_PAGE.get(adapter) == rows.get(adapter), "Run: make parts MARKDOWN=docs/swap/parts.md"


def test_the_rest_of_the_table_is_what_the_code_says() -> None:
    def without_rows(text: str) -> list[str]:
        return [line for line in text.splitlines() if not line.startswith("| `")]

    assert without_rows(TABLE) == without_rows(list_parts.page([])), "Run: make parts MARKDOWN=docs/swap/parts.md"
