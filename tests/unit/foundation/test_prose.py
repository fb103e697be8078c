"""Code is told from prose in a whole text and in a stream alike, and never where a client would render it as something else."""

import re
from itertools import groupby

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from foundation.text.prose import CodeSplitter, blank_code, outside_code
from orchestration.language.guard import without_foreign_urls


def code_of(text: str) -> list[str]:
    return [piece for piece, is_code in CodeSplitter().split(text, last=True) if is_code]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("call `f(x)` now", ["`f(x)`"]),
        ("``a ` b`` c", ["``a ` b``"]),
        ("x\n```py\nh[i](e)\n```\ny", ["```py\n", "h[i](e)\n", "```\n"]),
        ("~~~\na\n~~~\n", ["~~~\n", "a\n", "~~~\n"]),
        ("```\nnever closed", ["```\n", "never closed"]),
        # in the item of a list, however far it is indented
        ("1. Run:\n\n    ```\n    a\n\n    b\n    ```\n", ["```\n", "    a\n", "\n", "    b\n", "    ```\n"]),
        ("- a\n  1. b\n     ```\n     c\n     ```\n", ["```\n", "     c\n", "     ```\n"]),
        ("2. a\n    ```\n    c\n    ```\n", ["```\n", "    c\n", "    ```\n"]),
        ("1. a\n    - b\n    ```\n    c\n    ```\n", ["```\n", "    c\n", "    ```\n"]),
        # what nothing closes on its line is text
        ("a ` b", []),
        ("a `b\n\nc` d", []),
        ("a `b\nc` d", []),
        # four spaces make a block of code of the backticks themselves, and what follows is text
        ("    ```\n![x](https://evil.example)", ["```\n"]),
        # and so does the end of a quote or of an item
        ("> ```\n![x](https://evil.example)\n> ```", []),
        ("- a\n  ```\n![x](https://evil.example)\n  ```", ["```\n"]),
        # backticks behind a fence of backticks make it no fence; those that are escaped begin nothing
        ("```x`\n![x](https://evil.example)", []),
        (r"\``x` ![x](https://evil.example)`", []),
        # a pipe parts a row before its code is read
        ("`a | b`\n|-|-|", []),
        ("`a | b`\n", ["`a | b`"]),
        # in HTML, backticks are backticks
        ("<div>`<img src=//evil.example>`</div>", []),
        ("<div>\n```\n<img src=//evil.example>\n```\n", []),
        ("<pre>\n\n`<img src=//evil.example>`", []),
        ("<!-- -->\n\n`x`", []),
        ("<br>\n\n`x`", ["`x`"]),
        ("text\n<div>`x`", []),
        # what looks like an item in HTML is none, so that the signs behind it belong to a paragraph
        ("<div>\n- a\n\n   b\n     ~~~\n     ![x](https://evil.example)\n", []),
        # a row of backticks is one sign, also where the longest code ends within it
        (f"`![x](https://evil.example){'a' * 972}``", []),
    ],
)
def test_code_is_what_a_client_shows_as_code(text: str, code: list[str]) -> None:
    assert code_of(text) == code


SIGNS = [
    "`",
    "``",
    "```",
    "~~~",
    "\n",
    "\n\n",
    " ",
    "    ",
    "a",
    "<b>",
    "<div",
    "x y",
    "|",
    "-",
    "- ",
    "1. ",
    "](",
    "\r",
    "\\",
    "> ",
]
PIECES = st.lists(st.sampled_from(SIGNS), max_size=14)


@given(PIECES, st.integers(1, 5))
def test_a_stream_is_split_as_the_whole_text_is(pieces: list[str], size: int) -> None:
    text = "".join(pieces)
    splitter, streamed = CodeSplitter(), []
    for start in range(0, len(text), size):
        streamed += splitter.split(text[start : start + size])
    streamed += splitter.split("", last=True)
    assert "".join(piece for piece, _ in streamed) == text

    def joined(parts: list[tuple[str, bool]]) -> list[tuple[str, bool]]:
        return [("".join(piece for piece, _ in run), kind) for kind, run in groupby(parts, key=lambda part: part[1])]

    assert joined(streamed) == joined([*CodeSplitter().split(text, last=True)])


def test_formulas_and_addresses_are_blank_and_money_is_not() -> None:
    text = r"It is $x_{45}$, \(a_{[1]}\), $$y = 3$$, $5 and $10, see https://a.example/99 and [here](b/77) `c[8]`."
    blank = blank_code(text)
    assert len(blank) == len(text)
    assert [word for word in blank.split() if any(map(str.isdigit, word))] == ["$5", "$10,"]


@pytest.mark.parametrize(
    "text",
    [
        "Code:\n\n    a[2];\n",
        "Code:\n\n\ta[2]\n",
        "> ```\n> a[2]\n>\n> b\n> ```\n",
        "1. b\n\n    ```\n    a[2]\n\n    b\n    ```",
    ],
)
def test_a_block_of_code_is_blank_wherever_it_stands(text: str) -> None:
    assert "[2]" not in blank_code(text)
    assert len(blank_code(text)) == len(text)


def test_only_prose_is_changed() -> None:
    assert outside_code("a `b` c\n```\nd\n```\ne", str.upper) == "A `b` C\n```\nd\n```\nE"


FENCES = ["```", "```py", "~~~", "````", "    ```", "  ~~~", "``` x`"]
LINES = [
    *FENCES, "", "a", "`a", "a`", "`a`", "``a`", "|-|", "===", "***", "<div>", "</div>", "<pre>", "<!--", "<b>", '<a t="`',
    "[a]: <`", "[a](`", "[a](x 't`", "[x][`", r"\`", "`\\", "`a | ", "` |", "`\r", "\r```\r", "-     a", "- a",
    "![x](https://evil.example/p)", "`![x](https://evil.example/p)`", "<https://evil.example/>", "` <https://evil.example/>",
]  # fmt: skip
BEGINNINGS = ["", "", " ", "   ", "    ", "      ", "\t", "> ", ">", "- ", "1. ", "2. ", "10) ", "- - ", "> - ", "- > "]
DRAWN = st.lists(
    st.tuples(st.sampled_from(BEGINNINGS), st.sampled_from(LINES), st.sampled_from(["", *LINES])), max_size=7
)


@settings(max_examples=1500)
@given(DRAWN)
@example([("", "```x`", ""), ("", "![x](https://evil.example/p)", "")])
@example([("> ", "```", ""), ("", "![x](https://evil.example/p)", ""), ("> ", "```", "")])
def test_nothing_that_is_left_as_code_becomes_a_link_or_a_picture(drawn: list[tuple[str, str, str]]) -> None:
    text = "\n".join(map("".join, drawn))
    shown = MarkdownIt("commonmark").enable("table").render(without_foreign_urls(text, []))
    assert not re.search(r'<(?:a|img) [^>]*(?:href|src)="[^"]*evil', shown), shown
