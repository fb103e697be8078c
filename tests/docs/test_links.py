"""Every page that is read on its own leads somewhere: its links, and the commands in its code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


def missing(page: Path) -> list[str]:
    """What the page names that is not there."""
    text = page.read_text(encoding="utf-8")
    links = {link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link}
    code = re.findall(r"`[^`\n]+`|^    .*$", text, re.MULTILINE)
    commands = {target for line in code for target in re.findall(r"\bmake ([a-z][a-z-]*)", line)}
    return [*(link for link in links if not (page.parent / link).exists()), *(commands - TARGETS)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_every_command_of_it_exists(page: Path) -> None:
    assert missing(page) == []


def test_a_link_and_a_command_that_lead_nowhere_are_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[a](gone.md#part) [b](https://example.com) [c](page.md)\n\n    make nothing\n\nthen `make demo`\n")
    assert missing(page) == ["gone.md", "nothing"]
