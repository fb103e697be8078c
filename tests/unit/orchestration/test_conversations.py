"""Conversations out of the checkpoints: whose they are, what they hold, and that a deleted one is gone."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from foundation.errors import Conflict, NotFound
from orchestration.actions import Decision
from orchestration.events import Answer
from orchestration.memory.conversations import Conversations
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer, resume
from tests.doubles.orchestration import AGENTS, LEAD, NORTH, READER, SOUTH, World

HOURS = "When does the counter open?"


@pytest.fixture(params=["sqlite", "memory"])
def checkpoints(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=AGENTS)
async def world(data_dir: Path, checkpoints: str, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    made = World(data_dir, checkpoints=checkpoints, agents=request.param)
    yield made
    made.close()


def kept(agent: object) -> Conversations:
    store = agent.conversations  # type: ignore[attr-defined]
    assert isinstance(store, Conversations)
    return store


async def test_a_conversation_is_listed_by_its_first_question_and_read_turn_by_turn(world: World) -> None:
    agent = world.agent()
    first = await answer(agent, AnswerRequest(question=HOURS), NORTH)
    second = await answer(agent, AnswerRequest(question="And when does it close?", thread_id=first.thread_id), NORTH)
    other = await answer(agent, AnswerRequest(question="How long are parcels kept?"), NORTH)

    listed = await kept(agent).all(NORTH)
    assert [(one.thread_id, one.question) for one in listed] == [
        (other.thread_id, other.question),
        (first.thread_id, HOURS),
    ]
    turns = await kept(agent).turns(first.thread_id, NORTH)
    assert [(one.answer_id, one.question, one.text, one.status) for one in turns] == [
        (given.answer_id, given.question, given.text, given.status) for given in (first, second)
    ]
    assert turns[0].citations == first.citations


async def test_a_conversation_goes_on_with_another_agent(world: World) -> None:
    first = await answer(world.agent(), AnswerRequest(question=HOURS), NORTH)
    for question, use in (
        ("Where is parcel P-124?", "tool_calling"),
        ("How many kilograms may a parcel weigh at most?", "quoting"),
    ):
        given = await answer(
            world.agent(use), AnswerRequest(question=question, thread_id=first.thread_id, compose="extractive"), NORTH
        )
        assert given.status == "answered"
    assert len(await kept(world.agent()).turns(first.thread_id, NORTH)) == 3


async def test_what_another_agent_left_waiting_is_said_to_be_lost(world: World) -> None:
    waiting = await answer(world.agent(), AnswerRequest(question="Please send parcel P-123 now"), NORTH)
    assert waiting.approval is not None
    decision = Decision(approval_id=waiting.approval.approval_id, approve=True)
    other = "quoting" if world.agents == "tool_calling" else "tool_calling"
    with pytest.raises(NotFound, match="lost"):
        await resume(world.agent(other), decision, LEAD)
    assert world.depot.sent == []


@pytest.mark.parametrize("stranger", [SOUTH, READER])
async def test_somebody_elses_conversation_does_not_exist(world: World, stranger: object) -> None:
    agent = world.agent()
    thread_id = (await answer(agent, AnswerRequest(question=HOURS), NORTH)).thread_id
    store = kept(agent)
    assert await store.all(stranger) == []  # type: ignore[arg-type]
    for act in (store.turns, store.delete):
        with pytest.raises(NotFound):
            await act(thread_id, stranger)  # type: ignore[arg-type]
    assert len(await store.turns(thread_id, NORTH)) == 1


async def test_a_title_and_a_pin_are_listed_change_nothing_else_and_go_with_the_conversation(world: World) -> None:
    agent, store = world.agent(), kept(world.agent())
    thread_id = (await answer(agent, AnswerRequest(question=HOURS), NORTH)).thread_id
    (before,) = await store.all(NORTH)
    for stranger in (SOUTH, READER):
        with pytest.raises(NotFound):
            await store.change(thread_id, stranger, title="Mine now", pinned=True)
    changed = await store.change(thread_id, NORTH, title="Opening hours", pinned=True)
    assert changed == before.model_copy(update={"title": "Opening hours", "pinned": True})
    assert await store.change(thread_id, NORTH, pinned=False) == changed.model_copy(update={"pinned": False})
    second = await answer(agent, AnswerRequest(question="And when does it close?", thread_id=thread_id), NORTH)
    assert [turn.answer_id for turn in await store.turns(thread_id, NORTH)][-1] == second.answer_id
    assert (await store.change(thread_id, NORTH, title="")).title == ""
    await store.delete(thread_id, NORTH)
    with pytest.raises(NotFound):
        await store.change(thread_id, NORTH, title="Back again")
    assert await store.all(NORTH) == []


async def test_a_deleted_conversation_is_gone_and_cannot_be_continued(world: World) -> None:
    agent = world.agent()
    first = await answer(agent, AnswerRequest(question=HOURS), NORTH)
    await kept(agent).delete(first.thread_id, NORTH)
    assert await kept(agent).all(NORTH) == []
    with pytest.raises(NotFound):
        await kept(agent).turns(first.thread_id, NORTH)
    with pytest.raises(NotFound):
        await answer(agent, AnswerRequest(question=HOURS, thread_id=first.thread_id), NORTH)


async def test_a_conversation_that_waits_for_a_person_says_so_and_deleted_withdraws_it(world: World) -> None:
    agent = world.agent()
    waiting: Answer = await answer(agent, AnswerRequest(question="Please send parcel P-111 now"), NORTH)
    assert waiting.status == "waiting"
    (turn,) = await kept(agent).turns(waiting.thread_id, NORTH)
    assert turn.status == "waiting"
    assert waiting.approval is not None
    assert turn.approval_id == waiting.approval.approval_id
    await kept(agent).delete(waiting.thread_id, NORTH)
    assert await world.approvals.pending("north") == []
    assert await kept(agent).all(NORTH) == []


async def test_what_is_to_be_forgotten_is_gone_with_its_answer_or_its_caller_unless_it_waits(world: World) -> None:
    agent, forgotten = world.agent(), AnswerRequest(question=HOURS, forget=True)
    async for event in agent.stream(forgotten, NORTH):
        assert not event.answer or await kept(agent).all(NORTH) == []
    world.retriever.gate = threading.Event()
    async with aclosing(agent.stream(forgotten, NORTH)) as events:  # type: ignore[type-var]
        await anext(events)
        assert len(await kept(agent).all(NORTH)) == 1
    world.retriever.gate.set()
    assert await kept(agent).all(NORTH) == []
    await answer(agent, AnswerRequest(question="Please send parcel P-111 now", forget=True), NORTH)
    assert len(await kept(agent).all(NORTH)) == 1


async def test_a_run_that_is_under_way_is_unfinished_and_cannot_be_deleted(world: World) -> None:
    agent = world.agent()
    begun = await answer(agent, AnswerRequest(question=HOURS), NORTH)
    world.retriever.gate = threading.Event()
    again = AnswerRequest(question="How long are parcels kept?", thread_id=begun.thread_id)
    async with aclosing(agent.stream(again, NORTH)) as events:  # type: ignore[type-var]
        await anext(events)
        with pytest.raises(Conflict, match="busy"):
            await kept(agent).delete(begun.thread_id, NORTH)
        with pytest.raises(Conflict, match="busy"):
            await kept(agent).change(begun.thread_id, NORTH, title="Parcels")
        turns = await kept(agent).turns(begun.thread_id, NORTH)
        world.retriever.gate.set()
    assert [one.status for one in turns] == ["answered", "unfinished"]
