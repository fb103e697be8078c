# ruff: noqa: RUF001 - letters of many scripts are the subject
"""Long sentences are cut between clauses, in scripts with and without spaces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extensions.planned_agent.clauses import narrow, parts_of
from foundation.text.words import word_count
from retrieval.grounding.citing import Evidence
from tests.unit.retrieval.test_grounding import hit

LONG = "The desk opens at nine, the workshop repairs scanners within five days, and the counter closes at noon."


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


@given(st.text(alphabet="ab ,;()\n保修、。ห้งุ", max_size=80), st.integers(1, 6))
def test_parts_of_any_text_hold_every_word_and_keep_to_the_limit(text: str, most: int) -> None:
    spans = parts_of(text, most)

    assert all(0 < word_count(text[start:end]) <= most for start, end in spans)
    assert {at for start, end in spans for at in range(start, end)} >= {
        at for at, character in enumerate(text) if not character.isspace()
    }


def test_a_long_sentence_without_spaces_is_quoted_in_part() -> None:
    text = "工房では木のおもちゃを作り、" * 6 + "材料には北の森の杉を使います、" + "店で売ります、" * 8
    whole = Evidence(hit(text), 0, len(text), text, 1.0)

    part = narrow("材料には何を使いますか", whole, 40)

    assert "北の森の杉" in part.text
    assert len(part.text) <= 80 < len(text)
    assert text[part.start : part.end] == part.text


def test_of_a_long_sentence_the_part_about_the_question_is_left_with_its_place() -> None:
    whole = Evidence(hit(LONG, start=100), 100, 100 + len(LONG), LONG, 0.5)
    part = narrow("How fast does the workshop repair scanners?", whole, 9)

    assert part.text == "the workshop repairs scanners within five days,"
    assert LONG[part.start - 100 : part.end - 100] == part.text
    assert (part.hit, part.score) == (whole.hit, whole.score)


@pytest.mark.parametrize("question", ["How fast does the workshop repair scanners?", "?"])
def test_a_sentence_that_is_short_enough_stays_whole(question: str) -> None:
    whole = Evidence(hit(LONG), 0, len(LONG), LONG, 0.5)

    assert narrow(question, whole, len(LONG.split())) == whole


def test_a_question_without_terms_gets_the_beginning_of_a_long_sentence() -> None:
    assert narrow("?", Evidence(hit(LONG), 0, len(LONG), LONG, 0.5), 5).text == "The desk opens at nine,"
