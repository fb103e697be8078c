"""Follow-up questions are read with the conversation before them."""

from __future__ import annotations

import pytest

from extensions.planned_agent.follow_ups import (
    LOOKED_BACK,
    QUESTION_CHARACTERS,
    SUMMARY,
    TURNS,
    append_turn,
    in_context,
    resolve_pronoun,
    stands_alone,
    turns_from_client,
)
from tests.doubles.orchestration import Depot

LOAN = "Can I borrow a QL-40 while mine is repaired?"


@pytest.mark.parametrize("question", [LOAN, "How long is the warranty on a scanner?", "Wie lange gilt die Garantie?"])
def test_a_question_with_words_of_its_own_is_searched_for_as_it_is(question: str) -> None:
    assert stands_alone(question)
    assert in_context(question, [LOAN]) == question


def test_a_question_with_few_words_takes_the_content_of_what_was_asked_before() -> None:
    assert in_context("How long may I keep it?", [LOAN]) == "How long may I keep it? borrow QL-40 mine repaired"


def test_a_longer_one_takes_names_only_and_none_where_it_has_one() -> None:
    asked = "Does it show a red light when the paper jams?"
    assert in_context(asked, [LOAN]) == f"{asked} QL-40"
    other = "Does it show the same red light as the QP-5 when the paper jams?"
    assert in_context(other, [LOAN]) == other


def test_a_chain_of_follow_ups_hangs_on_the_last_question_that_stood_alone() -> None:
    earlier = ["How do I wash the cover of the QP-5?", LOAN, "How long may I keep it?"]
    read = in_context("And if I am late?", earlier)
    assert "QL-40" in read
    assert "QP-5" not in read


def test_another_thing_to_ask_the_same_of_takes_the_place_of_the_one_before() -> None:
    earlier = ["How long is the warranty on a label printer?", "And on the print head?"]
    for question in ("What about scanners?", "And for scanners?"):
        assert in_context(question, earlier) == f"{question} long warranty label printer"
    assert "head" in in_context("And if it breaks?", earlier)
    assert "repaired" in in_context("What about batteries?", [*earlier, LOAN, "What about scanners?"])


@pytest.mark.parametrize("end", ["!x", " x! x", " if " * 9])
def test_a_long_follow_up_is_read_in_time_that_grows_with_its_length(end: str) -> None:
    for filler in ("a" * 30_000, "a " * 15_000, " " * 30_000):
        question = f"and {filler}{end}"
        assert in_context(question, [LOAN]).startswith(question)


def test_without_an_earlier_question_nothing_is_added() -> None:
    assert in_context("And then?", []) == "And then?"


def test_it_is_the_only_identifier_that_was_said_last() -> None:
    tools = Depot().tools()
    assert resolve_pronoun("Please send it now", ["Where is P-111?", "And P-123?"], tools) == "Please send P-123 now"
    assert resolve_pronoun("Please send it now", ["Where are P-111 and P-123?"], tools) == "Please send it now"
    assert resolve_pronoun("Please send P-222, not it", ["Where is P-111?"], tools) == "Please send P-222, not it"
    assert resolve_pronoun("What is the rule on this?", ["Where is P-111?"], tools) == "What is the rule on this?"


def test_old_turns_leave_the_questions_that_stood_alone_and_no_more() -> None:
    turns: list[dict[str, str]] = []
    summary: list[str] = []
    for number in range(40):
        question = f"How many kilograms does parcel {number} weigh?" if number % 2 else "And why?"
        turns, summary = append_turn(turns, summary, question, "x" * 5_000)
    assert len(turns) == TURNS
    assert max(len(turn["text"]) for turn in turns) < 5_000
    assert summary == [f"How many kilograms does parcel {number} weigh?" for number in range(23, 34, 2)]
    assert len(summary) == SUMMARY
    long = {"question": "the weight of a parcel in kilograms " * 99, "text": ""}
    assert [len(one) for one in append_turn([long, *turns[1:]], [], "b", "")[1]] == [QUESTION_CHARACTERS]


def test_a_conversation_that_somebody_else_keeps_takes_no_more_room_than_ours() -> None:
    asked = [f"How many kilograms does parcel {number} weigh? {'Please. ' * 999}" for number in range(40)]
    turns, summary = turns_from_client(asked, longest=300)
    assert [turn["question"] for turn in turns] == [one[:300] for one in asked[-TURNS:]]
    assert summary == [one[:QUESTION_CHARACTERS] for one in asked[-TURNS - SUMMARY : -TURNS]]
    assert {turn["text"] for turn in turns} == {""}


def test_of_a_long_conversation_that_somebody_else_keeps_a_fixed_number_of_questions_is_read() -> None:
    alone, later = "How many kilograms does a parcel weigh?", ["And why?"] * TURNS
    assert turns_from_client([alone, *["Why?"] * (LOOKED_BACK - 1), *later], longest=300)[1] == [alone]
    assert turns_from_client([alone, *["Why?"] * LOOKED_BACK, *later], longest=300)[1] == []
