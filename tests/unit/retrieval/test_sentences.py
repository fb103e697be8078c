from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.sentences import parts_of, sentence_spans


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


def test_abbreviations_and_amounts_do_not_end_a_sentence() -> None:
    text = "Dr. Ames paid $3.50 to Quillfeather Inc. in May. He kept the receipt."

    assert sentences(text) == ["Dr. Ames paid $3.50 to Quillfeather Inc. in May.", "He kept the receipt."]


def test_list_items_and_lines_are_sentences_of_their_own() -> None:
    assert sentences("Bring:\nyour receipt\nthe parcel") == ["Bring:", "your receipt", "the parcel"]


def test_a_labelled_table_row_stays_whole_although_a_cell_holds_full_stops() -> None:
    row = "Plan: Basic; Note: No extras. Cancel any time.; Price: 9 EUR"

    assert sentences(row) == [row]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("你好。再见！", ["你好。", "再见！"]),  # noqa: RUF001 - full-width signs are the subject
        ("彼は「はい。」と言った。終わり。", ["彼は「はい。」", "と言った。", "終わり。"]),
        ("كم السعر؟ السعر عشرة", ["كم السعر؟", "السعر عشرة"]),
    ],
)
def test_full_stops_of_other_scripts_end_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.text(max_size=300))
def test_no_visible_character_is_lost_and_no_two_sentences_overlap(text: str) -> None:
    spans = sentence_spans(text)
    covered = [index for start, end in spans for index in range(start, end)]

    assert len(covered) == len(set(covered))
    assert all(text[index].isspace() for index in set(range(len(text))) - set(covered))
    assert all(text[start:end] == text[start:end].strip() != "" for start, end in spans)
    assert spans == sorted(spans)


def test_parts_of_a_sentence_are_as_long_as_they_may_be_and_begin_and_end_with_clauses() -> None:
    text = "It prints [slowly], it cuts: labels and tape; it rests – in winter – and it hums."

    assert [text[start:end] for start, end in parts_of(text, 9)] == [
        "It prints [slowly], it cuts: labels and tape;",
        "[slowly], it cuts: labels and tape; it rests –",
        "labels and tape; it rests – in winter –",
        "it rests – in winter – and it hums.",
    ]


def test_a_clause_that_is_too_long_is_cut_between_words() -> None:
    text = "one two three four five"

    assert [text[start:end] for start, end in parts_of(text, 2)] == ["one two", "three four", "five"]


@given(st.text(alphabet="ab ,;()\n", max_size=80), st.integers(1, 6))
def test_parts_of_any_text_hold_every_word_and_keep_to_the_limit(text: str, most: int) -> None:
    spans = parts_of(text, most)

    assert all(0 < len(text[start:end].split()) <= most for start, end in spans)
    assert {at for start, end in spans for at in range(start, end)} >= {
        at for at, character in enumerate(text) if not character.isspace()
    }
