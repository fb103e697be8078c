"""Every page that is read on its own leads somewhere: its links, and the commands in its code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.make_rules import LAB, RULES

ROOT = Path(__file__).parents[2]
ALWAYS = {"PYTHON", "TORCH"}
LAYERS = ("foundation", "models", "retrieval", "orchestration", "serving", "observability", "extensions", "examples")
CODE = sorted(
    [*ROOT.glob("*.toml"), ROOT / "Makefile", *(path for one in LAYERS for path in (ROOT / one).rglob("*.py"))]
)
NOTES = sorted((ROOT / "lab" / "notes").glob("*.md"))  # none where the lab has been deleted
SKILLS = (ROOT / ".agents").rglob("*.md")
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "AGENTS.md")),
        *SKILLS,
        *(ROOT / "docs").rglob("*.md"),
        *NOTES,
    ]
)


def missing(page: Path) -> list[str]:
    """What the page names that is not there."""
    text = page.read_text(encoding="utf-8")
    links = {link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link}
    code = re.findall(r"`[^`\n]+`|^    .*$", text, re.MULTILINE)
    commands = [found for line in code for found in re.findall(r"\bmake ([a-z][a-z-]*)((?: +\S+)*)", line)]
    untaken = [
        f"{target} {name}="
        for target, rest in commands
        for name in re.findall(r"(?<!\S)\[?([A-Z][A-Z_]*)=", rest.partition(" make ")[0])
        if target in RULES and name not in ALWAYS | RULES[target]
    ]
    unknown = {target for target, _ in commands} - RULES.keys() if LAB.exists() or page not in PAGES else set()
    targets = {link: (page.parent / link).resolve() for link in links}
    gone = [link for link, target in targets.items() if not target.exists()]
    return [*gone, *sorted(unknown), *untaken]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_every_command_of_it_exists(page: Path) -> None:
    assert missing(page) == []


def test_a_link_and_a_command_that_lead_nowhere_are_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "[a](gone.md#part) [b](https://example.com) [c](page.md)\n\n    make nothing\n\nthen `make trace Q=x`\n"
    )
    assert missing(page) == ["gone.md", "nothing", "trace Q="]


def test_every_page_that_the_code_sends_people_to_exists() -> None:
    named = {page for path in CODE for page in re.findall(r"docs/[\w/.-]+\.md", path.read_text(encoding="utf-8"))}
    assert "docs/access.md" in named
    assert [page for page in sorted(named) if not (ROOT / page).exists()] == []


def test_the_index_of_decisions_has_each_of_them_under_its_title() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| \[\d+\]\((\S+)\) \| (.+?) \|", index, re.MULTILINE))
    titles = {
        path.name: path.read_text(encoding="utf-8").partition("\n")[0].partition(". ")[2]
        for path in folder.glob("0*.md")
    }
    assert rows == titles
