"""The promises of an agent, kept by graphs that others wrote: one of deepagents, and one of plain LangGraph without our middleware."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from deepagents import create_deep_agent
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import StructuredTool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import tools_condition

from foundation.components import Context, load
from foundation.settings import Part
from orchestration.actions import Decision
from orchestration.contract import Agent, AgentParts
from orchestration.flow.message_agent import MessageAgent
from orchestration.middleware.citations import CitationMiddleware
from orchestration.middleware.document_tools import DocumentToolsMiddleware
from orchestration.middleware.policy import PolicyMiddleware, governed_tools
from orchestration.middleware.progress import ProgressMiddleware
from orchestration.run.metered_chat import MeteredChatModel
from orchestration.settings import AnswerSettings
from tests.contracts import test_agent as promises
from tests.doubles.orchestration import LEAD, NORTH, World, as_strong
from tests.doubles.provider import FaultyProvider, ok, strict
from tests.doubles.provider import calls as model_calls
from tests.doubles.strong import calls, strong

# Those that need neither documents nor the check of answers
OF_PLAIN = (
    promises.an_effect_waits_and_then_happens_once,
    promises.a_restart_between_question_and_approval_loses_nothing,
    promises.approvals_are_for_approvers_of_the_tenant_in_time,
    promises.bad_questions_are_refused_before_anything_happens,
)


def build_deep(context: AgentParts, *, governed: bool = True) -> Agent:
    """deepagents' own: a to-do list, files, sub-agents."""
    assert context.ledger is not None
    graph = create_deep_agent(
        MeteredChatModel(inner=context.chat),
        governed_tools(context.executor) if governed else context.executor.tools,
        middleware=[
            ProgressMiddleware(),
            PolicyMiddleware(context.executor),
            DocumentToolsMiddleware(context.ledger),
            CitationMiddleware(),
        ],
    )
    return MessageAgent(graph, context)


def build_plain(context: AgentParts) -> Agent:
    """A model and its tools, node by node."""
    tools = {tool.name: tool for tool in governed_tools(context.executor)}
    model = MeteredChatModel(inner=context.chat).bind_tools(list(tools.values()))

    async def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    async def act(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
        calls = state["messages"][-1].tool_calls  # type: ignore[union-attr]
        return {
            "messages": [await tools[call["name"]].ainvoke({**call, "type": "tool_call"}, config) for call in calls]
        }

    graph: Any = StateGraph(MessagesState)
    graph.add_node("model", ask).add_node("tools", act)
    graph.add_edge(START, "model").add_conditional_edges("model", tools_condition).add_edge("tools", "model")
    return MessageAgent(graph.compile(), context)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, answers=AnswerSettings(compose="extractive"))
    yield world
    world.close()


@pytest.mark.parametrize("check", promises.CHECKS, ids=lambda check: check.__name__)
async def test_a_deep_agent_keeps(check: promises.Check, world: World) -> None:
    await check(world, lambda world: make(world, build_deep))


async def test_what_a_deep_agent_sends_is_taken_by_a_strict_provider(world: World, tmp_path: Path) -> None:
    with FaultyProvider(
        strict(model_calls("find_parcel", parcel_id="P-124")), strict(ok("It is at the counter."))
    ) as provider:
        part = Part(
            use="openai_compatible", model="a-strong-one", base_url=f"{provider.url}/v1", api_key="a key for tests"
        )
        model = load("models.chat", part, Context(data_dir=tmp_path, clock=world.clock))
        agent = build_deep(replace(world.parts(), chat=model))
        events = await promises.events_of(agent, promises.ask("Where is P-124?"), NORTH)
    assert events[-1].answer
    assert events[-1].answer.text == "It is at the counter."
    assert [message["role"] for message in provider.requests[0][2]["messages"]] == ["user"], (
        "it has no prompt of its own"
    )


@pytest.mark.parametrize("build", [build_deep, build_plain])
async def test_an_action_that_waits_is_told_without_the_answer_before(
    build: Callable[[AgentParts], Agent], world: World
) -> None:
    world.chat = strong("Hello.", calls(("send_parcel", {"parcel_id": "P-124", "reason": "urgent"}), text="I send it."))
    agent = make(world, build)
    first = (await promises.events_of(agent, promises.ask("Hello!"), NORTH))[-1].answer
    assert first
    again = promises.ask("Please send parcel P-124, it is urgent.", thread_id=first.thread_id)
    waiting = (await promises.events_of(agent, again, NORTH))[-1].answer
    assert waiting
    assert waiting.status == "waiting"
    assert "Hello." not in waiting.text


@pytest.mark.parametrize("governed", [True, False])
async def test_a_sub_agent_without_our_middleware_gets_nothing_done_past_the_approval(
    world: World, *, governed: bool
) -> None:
    done: list[str] = []

    def shred(parcel_id: str) -> str:
        """Shred a parcel."""
        done.append(parcel_id)
        return "Shredded."

    world.policy = world.policy.model_copy(update={"roles": {**world.policy.roles, "clerk": ("shred",)}})
    examples = ["Shred P-1", "Shred P-2", "Shred it"]
    world.tools = [StructuredTool.from_function(shred, metadata={"effect": True, "examples": examples})]
    task = {"description": "Shred parcel P-124.", "subagent_type": "general-purpose"}
    call = ("shred", {"parcel_id": "P-124"})
    world.chat = strong(calls(("task", task)), calls(call), "It is done.", "It was shredded.")
    agent = make(world, partial(build_deep, governed=governed))
    last = (await promises.events_of(agent, promises.ask("Shred parcel P-124."), NORTH))[-1]
    assert done == []
    if not governed:
        assert "past the executor" in str(last.message)
        return
    assert last.answer
    assert last.answer.approval
    decided = Decision(approval_id=last.answer.approval.approval_id, approve=True)
    answer = [event async for event in agent.resume(decided, LEAD)][-1].answer
    assert answer
    assert (answer.text, done) == ("It was shredded.", ["P-124"])


@pytest.mark.parametrize("check", OF_PLAIN, ids=lambda check: check.__name__)
async def test_a_plain_graph_keeps(check: promises.Check, world: World) -> None:
    await check(world, lambda world: make(world, build_plain))


def make(world: World, build: Callable[[AgentParts], Agent]) -> Agent:
    return build(replace(world.parts(), chat=as_strong(world.chat)))
