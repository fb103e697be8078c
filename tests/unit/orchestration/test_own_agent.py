"""Each middleware works in a plain `create_agent` of somebody's own, as docs/agents.md shows it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from orchestration.contract import AgentParts
from orchestration.middleware.citations import CitationMiddleware
from orchestration.middleware.context import ContextMiddleware
from orchestration.middleware.document_tools import DocumentToolsMiddleware
from orchestration.middleware.instructions import InstructionsMiddleware
from orchestration.middleware.policy import PolicyMiddleware
from orchestration.middleware.progress import ProgressMiddleware
from orchestration.middleware.rounds import RoundsMiddleware
from orchestration.run.budget import Budget
from orchestration.run.run import Run, running
from tests.doubles.orchestration import NORTH, World
from tests.doubles.strong import calls, clerk, strong

PAGE = Path(__file__).parents[3] / "docs" / "agents.md"
ALONE: dict[str, Callable[[AgentParts], AgentMiddleware[Any, Any]]] = {
    "policy": lambda parts: PolicyMiddleware(parts.executor),
    "evidence": lambda parts: DocumentToolsMiddleware(parts.ledger),  # type: ignore[arg-type]
    "citations": lambda parts: CitationMiddleware(),
    "context": lambda _: ContextMiddleware(window=8_000),
    "rounds": lambda _: RoundsMiddleware(rounds=3),
    "progress": lambda _: ProgressMiddleware(),
    "instructions": InstructionsMiddleware,
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, agents="tool_calling")
    yield world
    world.close()


@tool
def find_parcel(parcel_id: str) -> str:
    """Where a parcel is."""
    return f"{parcel_id} is in the northern depot."


@pytest.mark.parametrize("name", ALONE)
async def test_each_works_alone(name: str, world: World) -> None:
    parts = world.parts()
    budget = Budget(parts.settings.budget, parts.clock)
    run = Run(parts=parts, principal=NORTH, answer_id="mine", budget=budget, emit=lambda _: None)
    agent = create_agent(
        strong(calls(("find_parcel", {"parcel_id": "P-123"})), "It is on its way."),
        parts.executor.tools if name == "policy" else [find_parcel],
        middleware=[ALONE[name](parts)],
        checkpointer=InMemorySaver(),
    )
    with running(run):
        said = await agent.ainvoke(
            {"messages": [HumanMessage("Where is parcel P-123?")]}, {"configurable": {"thread_id": "1"}}
        )
    assert said["messages"][-1].text.startswith("It is on its way.")
    assert bool(run.bill.usage.input_tokens) == (name == "rounds"), "calls are charged where this says so"
    assert bool(run.notes.steps) == (name == "progress")


async def test_what_the_page_shows_searches_and_cites_and_an_action_waits(world: World) -> None:
    page: dict[str, Any] = {}
    (code,) = re.findall(
        r"A middleware works in any.*?```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    exec(code, page)
    parts = world.parts()
    searching = strong(calls(("search_documents", {"query": "How much may a parcel weigh?"})), clerk)
    answered = await page["ask"](searching, parts, NORTH, "How much may a parcel weigh at most?")
    assert answered["result"]["citations"]
    sending = strong(calls(("send_parcel", {"parcel_id": "P-124", "reason": "urgent"})), "It waits.")
    waiting = await page["ask"](sending, parts, NORTH, "Where is it?")
    assert "needs the approval" in waiting["__interrupt__"][0].value["text"]
    assert world.depot.sent == []
