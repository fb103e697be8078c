"""How markup is taken out of Markdown, however much of it there is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.documents import ParseLimits
from retrieval.parsers.markdown import build, without_markup


class Watched(str):  # noqa: SLOT000 - it remembers a number
    """Counts the letters that searches in it go over."""

    gone_over = 0

    def find(self, what: str, start: int = 0) -> int:  # type: ignore[override]
        found = super().find(what, start)
        self.gone_over += (len(self) if found < 0 else found + len(what)) - start
        return found


@pytest.mark.parametrize("piece", ["<", "<!--", "<a ", "<!-- <", "<!-- -->", "<a>", "<!--><", "-->", "x"])
@pytest.mark.parametrize("ending", ["", ">", "-->", "<", "<!--"])
def test_markup_is_found_in_a_few_passes_however_much_of_it_is_open(piece: str, ending: str) -> None:
    text = Watched(piece * 2000 + ending)

    without_markup(text)

    assert text.gone_over <= 4 * len(text)


@given(st.lists(st.sampled_from(["<", "<!--", "-->", ">", "-", "!", "a", " b\n"])).map("".join))
def test_markup_is_what_an_expression_takes_for_it(text: str) -> None:
    assert without_markup(text) == re.sub(r"<!--.*?-->|<[^>]*>", " ", text, flags=re.DOTALL)


@pytest.mark.parametrize(
    ("heading", "title"),
    [
        ("CORS { #cors }", "CORS"),
        ("CORS {: .wide #cors}", "CORS"),
        ("The set {a, b}", "The set {a, b}"),
        ("{ #x }", "{ #x }"),
    ],
)
def test_a_heading_goes_without_the_attributes_of_site_generators(heading: str, title: str) -> None:
    assert build(ParseLimits()).parse(f"# {heading}\n\nWords.\n".encode(), "a.md").title == title


@pytest.mark.parametrize(
    ("matter", "title"),
    [
        ("---\ntitle: 'Zoom: a tool'\ntags: [a]\n---\n", "Zoom: a tool"),
        ("---\nlayout: page\ntitle: >-\n  Zoom in\n  and out\n---\n", "Zoom in and out"),
        ('+++\ntitle = "Zoom"\ndate = 2026-01-01\n+++\n', "Zoom"),
        ("---\ntitle: 2026\n---\n", "2026"),
        ("---\ntitle:\n---\n", "Steps"),
        ("---\ntitle: [Zoom]\n---\n", "Steps"),
        ("---\n# nothing yet\n---\n", "Steps"),
        ("---\ntitle: Zoom: a tool\n---\n", "Steps"),
        ("+++\ntitle = Zoom\n+++\n", "Steps"),
        ("", "Steps"),
    ],
)
def test_front_matter_gives_the_title_and_is_no_text(matter: str, title: str) -> None:
    parsed = build(ParseLimits()).parse(f"{matter}# Steps\n\nTurn the wheel.\n".encode(), "a.md")

    assert (parsed.title, parsed.text) == (title, "Steps\n\nTurn the wheel.")


@pytest.mark.parametrize("words", ["Returns are free.", "- Returns are free.", "Returns are free.\n\n" * 2000])
def test_words_between_two_rules_are_text(words: str) -> None:
    parsed = build(ParseLimits()).parse(f"---\n{words}\n\n---\n\nWithin 30 days.\n".encode(), "a.md")

    assert parsed.text.startswith("Returns are free.\n\n")
