"""What people ask to be remembered in their own words, and what is searched for with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from extensions.planned_agent.follow_ups import with_facts
from foundation.components import Context, load
from foundation.settings import Part
from orchestration.actions import Decision
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer, resume
from orchestration.settings import PolicySettings
from tests.doubles.orchestration import LEAD, NORTH, ManualClock
from tests.extensions.facts.persons import Persons

POLICY = PolicySettings(
    roles={"clerk": ("remember", "forget", "recall_facts")}, effects_without_approval=("remember", "forget")
)
OTHER = replace(NORTH, subject="bo")


@pytest.fixture
def world(data_dir: Path) -> Iterator[Persons]:
    tools = load("orchestration.tools", Part(use="memory"), Context(data_dir=data_dir, clock=ManualClock()))
    made = Persons(data_dir, tools=tools, policy=POLICY, agents="graph")
    yield made
    tools.close()
    made.close()


def test_a_fact_names_what_is_mine_and_nothing_else() -> None:
    known = ["Our printers are all QL-20W", "Our depot is in Pellbury"]
    assert with_facts("How do I clean my printer?", known) == "How do I clean my printer? QL-20W"
    assert with_facts("How is a printer cleaned?", known) == "How is a printer cleaned?"
    assert with_facts("How do I clean my QP-5 printer?", known) == "How do I clean my QP-5 printer?"
    assert with_facts("How do I clean my printer?", []) == "How do I clean my printer?"


async def test_what_a_person_says_is_remembered_at_once_for_them_and_told_on_request(world: Persons) -> None:
    agent = world.agent()
    given = await answer(agent, AnswerRequest(question="Please remember that our depot is closed on Fridays."), NORTH)
    assert (given.status, given.text) == ("answered", "I will remember: our depot is closed on Fridays.")
    told = await answer(agent, AnswerRequest(question="What do you remember about me?"), NORTH)
    assert "our depot is closed on Fridays (since 2026-11-25)" in told.text
    other = await answer(agent, AnswerRequest(question="What do you remember about me?"), OTHER)
    assert other.text == "I remember nothing of you."


@pytest.mark.parametrize(
    "question",
    [
        "Remember that the QL-20W on our third floor, room 12, is slow",
        "please note: deliveries come through the back door",
        "Don't forget that I am in Pellbury on Mondays",
    ],
)
async def test_a_request_in_so_many_words_is_understood_whatever_it_is_about(world: Persons, question: str) -> None:
    given = await answer(world.agent(), AnswerRequest(question=question), NORTH)
    assert (given.status, len(world.facts.of(NORTH))) == ("answered", 1)


@pytest.mark.parametrize(
    ("question", "text", "left"),
    [
        ("Forget that our printers are QL-20W.", "I have forgotten: Our printers are all QL-20W.", 2),
        ("Please don't remember that our depot is in Pellbury", "I have forgotten: Our depot is in Pellbury.", 2),
        ("Forget that I prefer letters", "Nothing has been forgotten. I remember nothing like that of you.", 3),
        (
            "Forget that our depot",
            "Nothing has been forgotten. That may be any of these: Our depot is in Pellbury; Our depot is closed on Fridays.",
            3,
        ),
    ],
)
async def test_what_is_meant_beyond_doubt_is_forgotten(world: Persons, question: str, text: str, left: int) -> None:
    for fact in ("Our printers are all QL-20W", "Our depot is in Pellbury", "Our depot is closed on Fridays"):
        world.facts.add(NORTH, fact)
        world.facts.add(OTHER, fact)
    given = await answer(world.agent(), AnswerRequest(question=question), NORTH)
    assert (given.text, len(world.facts.of(NORTH)), len(world.facts.of(OTHER))) == (text, left, 3)


@pytest.mark.parametrize("question", ["Do you remember the colour of it?", "I cannot remember my password"])
async def test_a_question_that_only_mentions_remembering_is_none(world: Persons, question: str) -> None:
    await answer(world.agent(), AnswerRequest(question=question), NORTH)
    assert world.facts.of(NORTH) == []


async def test_without_the_word_of_the_operator_every_fact_waits_for_approval(world: Persons) -> None:
    world.policy = PolicySettings(roles=POLICY.roles)
    agent = world.agent()
    waiting = await answer(agent, AnswerRequest(question="Please remember that I prefer e-mail"), NORTH)
    assert (waiting.status, world.facts.of(NORTH)) == ("waiting", [])
    assert waiting.approval is not None
    await resume(agent, Decision(approval_id=waiting.approval.approval_id, approve=True), LEAD)
    assert [one.text for one in world.facts.of(NORTH)] == ["I prefer e-mail"]


async def test_a_question_about_something_of_theirs_is_searched_for_with_its_name_and_as_asked(world: Persons) -> None:
    agent = world.agent()
    world.facts.add(NORTH, "Our parcel scale is a WX-9")
    await answer(agent, AnswerRequest(question="How many kilograms may my parcel weigh?"), NORTH)
    asked = "How many kilograms may my parcel weigh?"
    assert sorted(world.retriever.queries[:2]) == [asked, f"{asked} WX-9"]
    world.retriever.queries.clear()
    await answer(agent, AnswerRequest(question=asked), OTHER)
    assert f"{asked} WX-9" not in world.retriever.queries
