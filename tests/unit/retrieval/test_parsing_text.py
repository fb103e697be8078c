"""Cleaning, decoding and the draft that every parser writes into."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import DocumentRefused
from retrieval.documents import ParseLimits
from retrieval.formats.text_blocks import Draft, clean, decode, row_text


@pytest.mark.parametrize(
    ("hidden", "shown"),
    [
        ("re\u200bfund", "refund"),
        ("a\x00b\x07c", "abc"),
        ("\x1b[31mred\x1b[0m \x1b]0;title\x07text", "red text"),
        ("evil\u202etxt\u202c", "eviltxt"),
        ("tag\U000e0041\U000e0042ged", "tagged"),
        ("half \ud800 pair", "half  pair"),
        ("cafe\u0301", "café"),
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("o\ufb03ce\xa0hours", "office hours"),
    ],
)
def test_what_a_reader_cannot_see_is_removed(hidden: str, shown: str) -> None:
    assert clean(hidden) == shown


def test_a_joiner_that_is_spelling_stays() -> None:
    assert clean("می\u200cروم") == "می\u200cروم"


@given(st.text(alphabet=st.characters(), max_size=200))
def test_cleaning_twice_changes_nothing_and_the_result_can_be_encoded(text: str) -> None:
    once = clean(text)

    assert clean(once) == once
    once.encode("utf-8")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_usual_encodings_are_read(encoding: str) -> None:
    text = "Die Gebühr beträgt fünf Euro, und für Übergrößen wird ein Zuschlag erhoben. " * 3

    assert decode(text.encode(encoding), "fees.txt") == text


def test_a_text_that_was_cut_in_the_middle_of_a_letter_is_read() -> None:
    assert decode("Grüße und Küche: schön".encode()[:-2], "note.txt") == "Grüße und Küche: sch\ufffd"


@pytest.mark.parametrize(
    "content", [b"%PDF-1.7\n\x00\x01\x02\x03" * 20, bytes(range(256)) * 8, b"\x01\x02\x03\x04" * 50]
)
def test_binary_data_is_refused_by_reason(content: bytes) -> None:
    with pytest.raises(DocumentRefused) as refused:
        decode(content, "picture.txt")

    assert refused.value.reason == "binary"


def test_blocks_point_at_their_text_and_paragraphs_hold_no_line_break() -> None:
    draft = Draft("a.md", ParseLimits())
    draft.add("heading", "Returns", level=1)
    draft.add("paragraph", "Within\n  thirty days.")
    draft.add("item", "one")
    draft.add("item", "two")
    parsed = draft.finish()

    assert [parsed.text[block.start : block.end] for block in parsed.blocks] == [
        "Returns",
        "Within thirty days.",
        "one",
        "two",
    ]
    assert parsed.title == "Returns"


def test_text_that_outgrows_its_limit_is_refused_at_once() -> None:
    draft = Draft("a.txt", ParseLimits(characters=10))

    with pytest.raises(DocumentRefused) as refused:
        draft.add("paragraph", "more than ten characters")

    assert refused.value.reason == "too_large"


def test_a_document_without_text_is_refused_as_empty() -> None:
    with pytest.raises(DocumentRefused) as refused:
        Draft("a.txt", ParseLimits()).finish()

    assert refused.value.reason == "empty"


def test_a_row_repeats_its_column_names_and_leaves_empty_cells_out() -> None:
    assert row_text(["Basic", "", "9 EUR"], ["Plan", "Seats", "Price"]) == "Plan: Basic; Price: 9 EUR"


def test_a_row_without_column_names_is_separated_by_bars() -> None:
    assert row_text(["Basic", "9 EUR"], []) == "Basic | 9 EUR"
