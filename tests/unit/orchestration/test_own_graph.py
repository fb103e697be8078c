"""A graph of somebody's own behind the same executor: here LangChain's plain agent, with a scripted model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel

from foundation.errors import ComponentError
from orchestration.actions import Decision
from orchestration.flow.message_agent import UNCHECKED, MessageAgent
from orchestration.middleware.citations import CitationMiddleware
from orchestration.middleware.document_tools import DocumentToolsMiddleware
from orchestration.middleware.policy import governed_tools
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer, resume
from orchestration.run.metered_chat import MeteredChatModel
from orchestration.settings import BudgetSettings
from tests.doubles.orchestration import LEAD, NORTH, READER, World
from tests.doubles.strong import calls, own_agent, strong


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


async def test_its_answer_is_paid_streamed_and_said_to_be_unchecked(world: World) -> None:
    world.chat = strong(calls(("find_parcel", {"parcel_id": "P-123"})), "It is at the counter.", "You are welcome.")
    agent = own_agent(world)
    events = [event async for event in agent.stream(AnswerRequest(question="Where is P-123?"), NORTH)]
    given = events[-1].answer
    assert given is not None
    assert (given.text, given.status, given.degraded) == ("It is at the counter.", "answered", (UNCHECKED,))
    assert "".join(event.token or "" for event in events) == given.text
    assert {charge.kind for charge in world.till.charges} == {"chat", "machine"}
    again = await answer(agent, AnswerRequest(question="Thanks!", thread_id=given.thread_id), NORTH)
    assert again.text == "You are welcome."
    if agent.conversations:  # type: ignore[attr-defined]
        turns = await agent.conversations.turns(given.thread_id, NORTH)  # type: ignore[attr-defined]
        assert [turn.text for turn in turns] == [given.text, again.text]


async def test_an_action_waits_for_a_colleague_and_happens_once(world: World) -> None:
    world.chat = strong(calls(("send_parcel", {"parcel_id": "P-124", "reason": "urgent"})), "P-124 has been sent.")
    waiting = await answer(own_agent(world), AnswerRequest(question="Send P-124, it is urgent."), NORTH)
    assert (waiting.status, world.depot.sent) == ("waiting", [])
    assert waiting.approval is not None
    decision = Decision(approval_id=waiting.approval.approval_id, approve=True)
    done = await resume(own_agent(world), decision, LEAD)  # after a restart
    assert (done.status, done.text) == ("answered", "P-124 has been sent.")
    assert [parcel for parcel, _ in world.depot.sent] == ["P-124"]


async def test_the_policy_holds_whatever_the_graph_does(world: World) -> None:
    world.chat = strong(calls(("send_parcel", {"parcel_id": "P-124", "reason": "urgent"})), "I may not.")
    given = await answer(own_agent(world), AnswerRequest(question="Send P-124, it is urgent."), READER)
    assert given.text == "I may not."
    assert world.depot.sent == []
    assert await world.approvals.pending("north") == []


async def test_a_graph_that_goes_in_circles_ends_with_an_error_that_says_so(world: World) -> None:
    world.chat = strong(lambda _: calls(("find_parcel", {"parcel_id": "P-123"})))
    given = await answer(own_agent(world), AnswerRequest(question="Where is P-123?"), NORTH)
    assert (given.status, given.stop_reason, given.degraded) == (
        "failed",
        "budget",
        ("budget used up: steps of one request",),
    )
    assert given.text.startswith("The agent came to no answer in 200 steps. Ask for less at a time")


@pytest.mark.parametrize("said", ["Which colour?", "a text of its own", {"action_requests": [{"name": "find_parcel"}]}])
async def test_an_interrupt_of_its_own_is_named_and_blocks_nothing_else(world: World, said: object) -> None:
    world.chat = strong("It is blue.")
    parts = world.parts()
    begun: list[str] = []

    def think(state: MessagesState) -> dict[str, object]:
        begun.append(state["messages"][-1].text)
        return {
            "messages": [AIMessage(f"It is {interrupt(said)}.")] if "colour" in begun[-1] else [AIMessage("Hello.")]
        }

    graph = StateGraph(MessagesState).add_node("think", think).add_edge(START, "think").compile()
    agent = MessageAgent(graph, parts)
    with pytest.raises(
        ComponentError, match=r"paused with an interrupt of its own, which nothing here answers: .*Let it"
    ):
        await answer(agent, AnswerRequest(question="What colour?"), NORTH)
    if agent.conversations is None:  # a small project, which neither lists nor deletes them
        return
    (stored,) = await agent.conversations.all(NORTH)
    assert [turn.question for turn in await agent.conversations.turns(stored.thread_id, NORTH)] == ["What colour?"]
    again = await answer(agent, AnswerRequest(question="Good morning", thread_id=stored.thread_id), NORTH)
    assert again.text == "Hello."
    await agent.conversations.delete(stored.thread_id, NORTH)
    assert not await agent.conversations.all(NORTH)


async def test_its_calls_of_the_model_are_steps_of_the_run(world: World) -> None:
    world.chat = strong(lambda _: calls(("find_parcel", {"parcel_id": "P-123"})))
    world.budget = BudgetSettings(steps=3)
    given = await answer(own_agent(world), AnswerRequest(question="Where is P-123?"), NORTH)
    assert (given.status, given.stop_reason, len(world.chat.seen)) == ("failed", "budget", 3)
    assert "The 3 steps of this run are used up" in given.text


class Finding(BaseModel):
    """Where a parcel is."""

    place: str
    days: int


@pytest.mark.parametrize("middleware", [[], [CitationMiddleware()]], ids=["plain", "with citations"])
async def test_its_object_is_the_answer(
    world: World, middleware: list[CitationMiddleware], caplog: pytest.LogCaptureFixture
) -> None:
    world.chat = strong(calls(("Finding", {"place": "the counter", "days": 2})), "You are welcome.")
    parts = world.parts()
    graph = create_agent(
        MeteredChatModel(inner=parts.chat),
        governed_tools(parts.executor),
        middleware=middleware,
        response_format=ToolStrategy(Finding),
    )
    agent = MessageAgent(graph, parts)
    given = await answer(agent, AnswerRequest(question="Where is P-123?"), NORTH)
    assert (given.status, given.is_json) == ("answered", True)
    assert Finding.model_validate_json(given.text) == Finding(place="the counter", days=2)
    assert "msgpack" not in caplog.text, "a class of somebody's own is not stored"
    again = await answer(agent, AnswerRequest(question="Thanks!", thread_id=given.thread_id), NORTH)
    assert (again.text, again.is_json) == ("You are welcome.", False)


class Report(BaseModel):
    """What was read."""

    weight: str
    ids: list[int]


async def test_what_its_object_cites_is_among_the_citations(world: World) -> None:
    search = calls(("search_documents", {"query": "weight of a parcel"}))
    world.chat = strong(search, calls(("Report", {"weight": "At most 30 kilograms [1].", "ids": [2]})))
    parts = world.parts()
    assert parts.ledger is not None
    graph = create_agent(
        MeteredChatModel(inner=parts.chat),
        governed_tools(parts.executor),
        middleware=[DocumentToolsMiddleware(parts.ledger)],
        response_format=ToolStrategy(Report),
    )
    given = await answer(MessageAgent(graph, parts), AnswerRequest(question="How heavy may it be?"), NORTH)
    assert given.is_json
    assert [(citation.marker, citation.uri) for citation in given.citations] == [(1, "parcels.md")], "a list is no mark"
