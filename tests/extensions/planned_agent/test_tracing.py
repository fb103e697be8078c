"""The tree of spans that an answer of the planned agent leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from extensions.development.scripted_chat import ScriptedChat
from extensions.planned_agent.prompts import FOLDER
from foundation import names
from orchestration.prompts.files import read_prompt
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer
from tests.doubles.orchestration import NORTH, World
from tests.unit.orchestration.test_tracing import named, spans, tree

__all__ = ["spans"]


async def test_an_answer_is_one_readable_tree(spans: InMemorySpanExporter, data_dir: Path) -> None:
    world = World(
        data_dir, agents="graph", chat=ScriptedChat(replies=("A parcel may weigh at most 30 kilograms [1].",))
    )
    given = await answer(world.agent(), AnswerRequest(question="How many kilograms may a parcel weigh at most?"), NORTH)
    world.close()
    steps = [(name, "invoke_agent graph") for name in ("plan", "retrieve", "grade", "compose", "verify")]
    chat = ("chat scripted (test double)", "compose")
    assert tree(spans) == [("invoke_agent graph", ""), *steps[:4], chat, steps[4]]
    root = named(spans, "invoke_agent graph")
    attributes: dict[str, Any] = dict(root.attributes or {})
    assert attributes[names.STATUS] == "answered"
    assert attributes[names.CONVERSATION_ID] == given.thread_id
    assert attributes[names.PROMPTS] == read_prompt("graph_answer", FOLDER).label
    assert given.trace_id == f"{root.context.trace_id:032x}"


async def test_a_tool_call_is_one_span(spans: InMemorySpanExporter, data_dir: Path) -> None:
    world = World(data_dir, agents="graph")
    await answer(world.agent(), AnswerRequest(question="Where is parcel P-123?"), NORTH)
    world.close()
    assert tree(spans) == [
        ("invoke_agent graph", ""),
        ("plan", "invoke_agent graph"),
        ("tool", "invoke_agent graph"),
        ("execute_tool find_parcel", "tool"),
    ]
