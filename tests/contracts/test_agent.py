"""The promises of an agent, on every adapter in orchestration/agents and on broken ones."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest

from extensions.development.scripted_chat import ScriptedChat
from foundation.errors import (
    Conflict,
    Forbidden,
    Gone,
    InvalidRequest,
    NotFound,
    SixplyError,
    StoreUnavailable,
    TooLarge,
)
from foundation.types import Principal
from orchestration.actions import Decision
from orchestration.contract import Agent
from orchestration.events import Event
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer, resume
from orchestration.settings import AnswerSettings, BudgetSettings
from tests.contracts import under_test
from tests.contracts.broken import agent as broken
from tests.doubles.orchestration import LEAD, NORTH, READER, SOUTH, SOUTH_LEAD, World

SECTION = "orchestration.agent"

Make = Callable[[World], Agent]
Check = Callable[[World, Make], Awaitable[None]]

WEIGHT = "How many kilograms may a parcel weigh at most?"
SEND = "Please send parcel P-123 now"


def ask(question: str, **changes: Any) -> AnswerRequest:
    return AnswerRequest(question=question, **changes)


async def events_of(agent: Agent, request: AnswerRequest, principal: Principal) -> list[Event]:
    return [event async for event in agent.stream(request, principal)]


async def a_question_is_answered_with_exact_citations(world: World, make: Make) -> None:
    given = await answer(make(world), ask(WEIGHT), NORTH)
    assert (given.status, given.stop_reason) == ("answered", "complete")
    assert "30 kilograms" in given.text
    assert given.citations
    for citation in given.citations:
        text = world.retriever.documents[citation.uri][1]
        assert citation.quote == text[citation.start : citation.end]
        assert f"[{citation.marker}]" in given.text


async def what_the_documents_do_not_say_is_not_answered(world: World, make: Make) -> None:
    given = await answer(make(world), ask("Which colour does the director's bicycle have?"), NORTH)
    assert (given.status, given.stop_reason) == ("abstained", "insufficient_evidence")
    assert given.citations == ()


async def documents_of_another_tenant_do_not_exist(world: World, make: Make) -> None:
    given = await answer(make(world), ask("How many days does the northern depot keep parcels?"), SOUTH)
    assert "14 days" not in given.text
    assert "north.md" not in {citation.uri for citation in given.citations}


async def a_read_tool_answers(world: World, make: Make) -> None:
    given = await answer(make(world), ask("Where is parcel P-123?"), NORTH)
    assert (given.status, given.path) == ("answered", "tool")
    assert given.text == "Parcel P-123 is at the counter."


async def an_effect_waits_and_then_happens_once(world: World, make: Make) -> None:
    agent = make(world)
    waiting = await answer(agent, ask(SEND), NORTH)
    assert (waiting.status, waiting.stop_reason) == ("waiting", "approval")
    assert waiting.approval is not None
    assert world.depot.sent == []
    decision = Decision(approval_id=waiting.approval.approval_id, approve=True)
    done = await resume(agent, decision, LEAD)
    assert (done.status, done.text) == ("answered", "Parcel P-123 has been sent.")
    with pytest.raises(Conflict):
        await resume(agent, decision, LEAD)
    assert len(world.depot.sent) == 1
    assert world.depot.callers == [NORTH]


async def a_restart_between_question_and_approval_loses_nothing(world: World, make: Make) -> None:
    waiting = await answer(make(world), ask(SEND), NORTH)
    assert waiting.approval is not None
    done = await resume(make(world), Decision(approval_id=waiting.approval.approval_id, approve=True), LEAD)
    assert (done.status, done.thread_id) == ("answered", waiting.thread_id)
    assert len(world.depot.sent) == 1


async def a_rejection_changes_nothing(world: World, make: Make) -> None:
    agent = make(world)
    waiting = await answer(agent, ask(SEND), NORTH)
    assert waiting.approval is not None
    told = await resume(agent, Decision(approval_id=waiting.approval.approval_id, approve=False), LEAD)
    assert (told.status, told.stop_reason) == ("refused", "policy")
    assert world.depot.sent == []


async def approvals_are_for_approvers_of_the_tenant_in_time(world: World, make: Make) -> None:
    agent = make(world)
    waiting = await answer(agent, ask(SEND), NORTH)
    assert waiting.approval is not None
    decision = Decision(approval_id=waiting.approval.approval_id, approve=True)
    with pytest.raises(Forbidden):
        await resume(agent, decision, NORTH)
    with pytest.raises(NotFound):
        await resume(agent, decision, SOUTH_LEAD)
    world.clock.forward(hours=25)
    with pytest.raises(Gone):
        await resume(agent, decision, LEAD)
    assert world.depot.sent == []


async def a_role_that_may_not_is_refused(world: World, make: Make) -> None:
    given = await answer(make(world), ask(SEND), READER)
    assert (given.status, given.stop_reason) == ("refused", "policy")
    assert await world.approvals.pending("north") == []


async def a_document_cannot_order_anything(world: World, make: Make) -> None:
    """The poisoned document is among the evidence; its order is neither followed nor quoted."""
    given = await answer(make(world), ask("What do parcels wait for at the counter?"), NORTH)
    assert world.depot.sent == []
    assert await world.approvals.pending("north") == []
    assert "without asking" not in given.text


async def bad_questions_are_refused_before_anything_happens(world: World, make: Make) -> None:
    agent = make(world)
    for question in ("", " \n\t "):
        with pytest.raises(InvalidRequest):
            await answer(agent, ask(question), NORTH)
    with pytest.raises(TooLarge):
        await answer(agent, ask("x" * 100_000), NORTH)
    assert world.retriever.queries == []


async def a_thread_is_continued_only_by_its_owner(world: World, make: Make) -> None:
    agent = make(world)
    first = await answer(agent, ask(WEIGHT), NORTH)
    again = await answer(agent, ask("When does the counter open in the morning?", thread_id=first.thread_id), NORTH)
    assert (again.status, again.thread_id) == ("answered", first.thread_id)
    for thread_id, principal in ((first.thread_id, SOUTH), (first.thread_id, READER), ("never-heard-of", NORTH)):
        with pytest.raises(NotFound):
            await answer(agent, ask(WEIGHT, thread_id=thread_id), principal)


async def a_stream_ends_with_the_whole_answer(world: World, make: Make) -> None:
    events = await events_of(make(world), ask(WEIGHT), NORTH)
    kinds = [event.kind for event in events]
    assert kinds[-1] == "answer"
    assert kinds.count("answer") == 1
    assert "step" in kinds
    given = events[-1].answer
    assert given is not None
    assert "".join(event.token or "" for event in events).strip() == given.text
    assert [event.step.name for event in events if event.step] == [step.name for step in given.steps]


async def a_broken_store_ends_the_stream_with_an_error(world: World, make: Make) -> None:
    world.retriever.fails = StoreUnavailable("The shelf is locked.")
    agent = make(world)
    last = (await events_of(agent, ask(WEIGHT), NORTH))[-1]
    assert (last.kind, last.code, last.retryable) == ("error", "store_unavailable", True)
    with pytest.raises(StoreUnavailable):
        await answer(agent, ask(WEIGHT), NORTH)
    world.retriever.fails = None
    assert (await answer(agent, ask(WEIGHT), NORTH)).status == "answered"


async def a_used_up_budget_is_an_answer_that_says_so(world: World, make: Make) -> None:
    world.budget = BudgetSettings(steps=1)
    given = await answer(make(world), ask(WEIGHT), NORTH)
    assert given.stop_reason == "budget"
    assert given.degraded


async def closing_the_stream_stops_the_work(world: World, make: Make) -> None:
    world.retriever.gate = threading.Event()
    agent = make(world)
    before = asyncio.all_tasks()
    async with aclosing(agent.stream(ask(WEIGHT), NORTH)) as stream:  # type: ignore[type-var]
        first = asyncio.ensure_future(anext(aiter(stream)))
        while not (first.done() or world.retriever.queries):  # noqa: ASYNC110 - some say nothing before they search, in a thread
            await asyncio.sleep(0.001)
        if first.cancel():
            await asyncio.wait({first})
    world.retriever.gate.set()
    assert asyncio.all_tasks() - before == set()
    queries = len(world.retriever.queries)
    await asyncio.sleep(0.05)
    assert len(world.retriever.queries) - queries <= 1  # the one that was under way in its thread


async def what_it_cost_is_in_the_ledger_and_adds_up(world: World, make: Make) -> None:
    world.answers = AnswerSettings(compose="generative")
    world.chat = ScriptedChat(replies=("A parcel may weigh at most 30 kilograms [1].",))
    given = await answer(make(world), ask(WEIGHT), NORTH)
    assert given.cost_usd == sum(charge.usd or 0 for charge in world.till.charges)
    assert {charge.kind for charge in world.till.charges} == {"chat", "machine"}
    assert {charge.answer_id for charge in world.till.charges} == {given.answer_id}
    assert {charge.tenant for charge in world.till.charges} == {"north"}


async def an_unpriced_call_makes_the_cost_unknown(world: World, make: Make) -> None:
    world.answers = AnswerSettings(compose="generative")
    world.chat = ScriptedChat(replies=("A parcel may weigh at most 30 kilograms [1].",))
    world.prices.unpriced = True
    given = await answer(make(world), ask(WEIGHT), NORTH)
    assert given.cost_usd is None
    assert given.cost_notes


CHECKS: list[Check] = [
    a_question_is_answered_with_exact_citations,
    what_the_documents_do_not_say_is_not_answered,
    documents_of_another_tenant_do_not_exist,
    a_read_tool_answers,
    an_effect_waits_and_then_happens_once,
    a_restart_between_question_and_approval_loses_nothing,
    a_rejection_changes_nothing,
    approvals_are_for_approvers_of_the_tenant_in_time,
    a_role_that_may_not_is_refused,
    a_document_cannot_order_anything,
    bad_questions_are_refused_before_anything_happens,
    a_thread_is_continued_only_by_its_owner,
    a_stream_ends_with_the_whole_answer,
    a_broken_store_ends_the_stream_with_an_error,
    a_used_up_budget_is_an_answer_that_says_so,
    closing_the_stream_stops_the_work,
    what_it_cost_is_in_the_ledger_and_adds_up,
    an_unpriced_call_makes_the_cost_unknown,
]


OF_TOOLS = (
    a_read_tool_answers,
    an_effect_waits_and_then_happens_once,
    a_restart_between_question_and_approval_loses_nothing,
    a_rejection_changes_nothing,
    approvals_are_for_approvers_of_the_tenant_in_time,
    a_role_that_may_not_is_refused,
)
WITHOUT_TOOLS = ("auto", "cascade", "quoting")
"""Adapters that call no tools; `auto`, which a cascade begins with, takes the one for a chat model that calls none, as the double here."""


@pytest.fixture
async def world(data_dir: Path) -> AsyncIterator[World]:
    made = World(data_dir, answers=AnswerSettings(compose="extractive"))  # the double of a model has nothing to say
    yield made
    made.close()


KEPT = [
    (name, check)
    for name in under_test.adapters(SECTION)
    for check in CHECKS
    if name not in WITHOUT_TOOLS or check not in OF_TOOLS
]


@pytest.mark.parametrize(("name", "check"), KEPT, ids=lambda value: value if isinstance(value, str) else value.__name__)
async def test_an_adapter_keeps(name: str, check: Check, watched: under_test.Watch, world: World) -> None:
    options = under_test.part(SECTION, name).options
    if name in WITHOUT_TOOLS:  # of a model of which nothing is known `auto` would ask for calls
        world.chat = cast("Any", world.chat).model_copy(update={"profile": {"tool_calling": False}})
    await check(world, lambda world: watched(SECTION, world.agent(name, **options)))


@pytest.mark.parametrize(
    ("fault", "caught_by"), broken.BROKEN.items(), ids=lambda value: getattr(value, "__name__", "")
)
async def test_a_broken_agent_is_caught(fault: Make, caught_by: str, world: World) -> None:
    check = next(check for check in CHECKS if check.__name__ == caught_by)
    with pytest.raises((AssertionError, SixplyError, pytest.fail.Exception)):
        await check(world, fault)
