# ruff: noqa: RUF001 - letters of many scripts are the subject
"""Long sentences are cut between clauses, in scripts with and without spaces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from foundation.text.clauses import parts_of, word_count


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


def test_the_parts_of_a_sentence_without_spaces_are_as_long_as_those_of_one_with_spaces() -> None:
    text = "工房では木のおもちゃを作り、材料には杉を使います（夏を除く）、そして売ります。"

    assert [text[start:end] for start, end in parts_of(text, 17)] == [
        "工房では木のおもちゃを作り、材料には杉を使います（夏を除く）、",
        "材料には杉を使います（夏を除く）、そして売ります。",
    ]


def test_a_run_without_spaces_counts_the_words_that_fill_its_room() -> None:
    assert word_count("It runs - and rests.") == 5
    assert word_count("保修期为两年。") == 3
    assert word_count("한국어 문장 입니다.") == 3
    assert word_count("ห้องสมุดสีเขียวปิดทุกวันจันทร์") == 6


@given(st.text(alphabet="ab ,;()\n保修、。ห้งุ", max_size=80), st.integers(1, 6))
def test_parts_of_any_text_hold_every_word_and_keep_to_the_limit(text: str, most: int) -> None:
    spans = parts_of(text, most)

    assert all(0 < word_count(text[start:end]) <= most for start, end in spans)
    assert {at for start, end in spans for at in range(start, end)} >= {
        at for at, character in enumerate(text) if not character.isspace()
    }
