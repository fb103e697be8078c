"""A chat model is taught to answer from what it is shown: the sentence with the fact, under its number."""

from __future__ import annotations

from dataclasses import replace

import pytest

from extensions.planned_agent.prompts import FOLDER
from lab.finetune.golden_replies import example_of, examples, gold_reply
from observability.evaluation.golden_set import GoldenCase
from orchestration.prompts.files import read_prompt
from orchestration.prompts.frames import answer_from
from retrieval.grounding.citing import Evidence
from tests.doubles.orchestration import hit

CASE = GoldenCase(
    id="g1", question="How long may I send it back?", kind="answerable", tenant="north",
    gold_documents=("returns.md",), answers=("30 days",), answerable=True,
)  # fmt: skip


def _evidence(uri: str, text: str) -> Evidence:
    return Evidence(hit(uri, "north", text), 0, len(text), text, 0.5)


SHOWN = (
    _evidence("blog.md", "Somebody sent it back after 30 days."),
    _evidence("returns.md", "Returns are free."),
    _evidence("returns.md", "It can be sent\nback for 30 days."),
    _evidence("returns.md", "After 30 days it is yours, and costs 5 USD."),
)


def test_the_reply_is_the_first_sentence_of_a_gold_document_with_the_fact() -> None:
    assert gold_reply(CASE, SHOWN) == "It can be sent back for 30 days. [3]"


def test_the_prompt_is_the_one_that_the_system_writes() -> None:
    example = example_of(CASE, SHOWN)
    assert example is not None
    system, person, reply = example.messages
    assert [system.content, person.content] == [
        message.text
        for message in answer_from(read_prompt("graph_answer", FOLDER), CASE.question, [item.text for item in SHOWN])
    ]
    assert [system.role, person.role, reply.role] == ["system", "user", "assistant"]


def test_a_question_for_several_things_gets_a_sentence_for_each_in_their_order() -> None:
    case = CASE.model_copy(update={"answers": (), "answers_all": (("5 USD",), ("30 days",), ("free",))})
    assert gold_reply(case, SHOWN[1:]) == (
        "Returns are free. [1] It can be sent back for 30 days. [2] After 30 days it is yours, and costs 5 USD. [3]"
    )


def test_of_a_long_sentence_no_more_is_taken_than_the_part_with_the_fact() -> None:
    long = f"{'Whoever reads this is a friend of ours, as we like to say; ' * 5}you may send it back for 30 days."
    reply = gold_reply(CASE, [_evidence("returns.md", long)])
    assert reply is not None
    assert "30 days" in reply
    assert len(reply.split()) < 45
    elsewhere = replace(_evidence("returns.md", f"For 30 days, {long[:-8]} if how long you may send it back is asked."))
    assert "30 days" in (gold_reply(CASE, [elsewhere]) or "")


@pytest.mark.parametrize("shown", [(), SHOWN[:2]])
def test_where_the_fact_was_not_found_there_is_nothing_to_learn(shown: tuple[Evidence, ...]) -> None:
    assert gold_reply(CASE, shown) is None
    assert example_of(CASE, shown) is None


def test_only_questions_that_documents_answer_are_taken_and_only_of_the_passages_that_are_shown() -> None:
    other = CASE.model_copy(update={"kind": "unanswerable", "answerable": False, "answers": ()})
    late = CASE.model_copy(update={"id": "g2"})
    shown = {"g1": SHOWN, "g2": (*[SHOWN[1]] * 6, SHOWN[2])}
    found = list(examples([CASE, other, late], lambda case: shown[case.id]))
    assert [(case.id, example is not None) for case, example in found] == [("g1", True), ("g2", False)]
