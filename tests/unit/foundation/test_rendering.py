"""What documents and models wrote reaches Markdown, HTML and terminals as text."""

from __future__ import annotations

import re

import pytest

from foundation.output.markdown import markdown, markdown_label
from foundation.output.rendering import one_line, plain

ACTIVE = re.compile(
    r"(?<!\\)(?:\\\\)*\]\(|(?m:^\s{0,3}\[(?:[^\]\\]|\\.)*\]:)|<[A-Za-z/!?]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2066]"
)
TEXTS = [
    "![p](https://evil.example/p.png)",
    "[terms](javascript:alert(1))",
    "[[x]](//evil.example)",
    "[a\\](https://evil.example)",
    "[a\\\\](https://evil.example)",
    "[1\\]: https://evil.example",
    "[1\\\\\\]: https://evil.example",
    "[1]: javascript:alert(1)",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<https://evil.example>",
    "<!-- -->",
    "\x1b[31mred\x1b[0m",
    "\u202egpj.exe",
]


@pytest.mark.parametrize("text", TEXTS)
def test_markup_is_shown_and_not_obeyed(text: str) -> None:
    for shown in (markdown(text), markdown(f"a\n{text}"), markdown_label(text)):
        assert not ACTIVE.search(shown), shown


@pytest.mark.parametrize(
    "text", ["See [1][2], a < b and 3 <4.", "x[0] = (1)", "| a | b |\n|---|---|", "https://desk.example/a"]
)
def test_what_is_no_markup_stays_to_the_letter(text: str) -> None:
    assert markdown(text) == text


def test_a_title_is_one_line_and_no_link() -> None:
    title = "T\n[9]: javascript:alert(1)\u2028https://evil.example www.evil.example"
    assert one_line(title).splitlines() == [one_line(title)]
    shown = markdown_label(title)
    assert re.search(r"(?<!\\)://", shown) is None
    assert "www." not in shown
    assert plain("a\tb\nc") == "a\tb\nc"
