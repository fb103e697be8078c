"""Code is told from prose in a whole text and in a stream alike, and never where a client would render it as something else."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.text.prose import CodeSplitter, blank_code, outside_code


def code_of(text: str) -> list[str]:
    return [piece for piece, is_code in CodeSplitter().split(text, last=True) if is_code]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("call `f(x)` now", ["`f(x)`"]),
        ("``a ` b`` c", ["``a ` b``"]),
        ("x\n```py\nh[i](e)\n```\ny", ["```py\n", "h[i](e)\n```\n"]),
        ("~~~\na\n~~~\n", ["~~~\n", "a\n~~~\n"]),
        ("```\nnever closed", ["```\n", "never closed"]),
        ("over\nlines `a\nb` c", ["`a\nb`"]),
        # what nothing closes, or only after an empty line, is text
        ("a ` b", []),
        ("a `b\n\nc` d", []),
        # four spaces make a block of code of the backticks themselves, and what follows is text
        ("    ```\n![x](https://evil.example)", []),
        # in HTML, backticks are backticks
        ("<div>`<img src=//evil.example>`</div>", []),
        ("<div>\n```\n<img src=//evil.example>\n```\n", []),
        ("<pre>\n\n`<img src=//evil.example>`", []),
        ("<!-- -->\n\n`x`", []),
        ("<br>\n\n`x`", ["`x`"]),
        ("text\n<div>`x`", []),
    ],
)
def test_code_is_what_a_client_shows_as_code(text: str, code: list[str]) -> None:
    assert code_of(text) == code


PIECES = st.lists(st.sampled_from(["`", "``", "```", "~~~", "\n", "\n\n", " ", "    ", "a", "<b>", "x y"]), max_size=14)


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


def test_only_prose_is_changed() -> None:
    assert outside_code("a `b` c\n```\nd\n```\ne", str.upper) == "A `b` C\n```\nd\n```\nE"
