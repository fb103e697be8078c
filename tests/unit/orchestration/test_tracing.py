"""The tree of spans that one answer leaves, with OpenTelemetry's official instrumentor switched on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.genai.langchain import LangChainInstrumentor
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from extensions.development.scripted_chat import ScriptedChat
from foundation import names
from foundation.errors import StoreUnavailable
from orchestration.prompts.files import read_prompt
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer
from tests.doubles.orchestration import NORTH, World


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(trace, "get_tracer", lambda name, *_, **__: provider.get_tracer(name))
    instrumentor = LangChainInstrumentor()
    instrumentor.instrument(tracer_provider=provider, meter_provider=NoOpMeterProvider())  # the process's is for good
    yield kept
    instrumentor.uninstrument()


def tree(kept: InMemorySpanExporter) -> list[tuple[str, str]]:
    """(span, its parent) in the order in which they began."""
    ended = sorted(kept.get_finished_spans(), key=lambda span: span.start_time or 0)
    called = {span.context.span_id: span.name for span in ended}
    return [(span.name, called.get(span.parent.span_id, "") if span.parent else "") for span in ended]


def named(kept: InMemorySpanExporter, name: str) -> ReadableSpan:
    return next(span for span in kept.get_finished_spans() if span.name == name)


async def test_an_answer_is_one_readable_tree(spans: InMemorySpanExporter, data_dir: Path) -> None:
    world = World(data_dir, chat=ScriptedChat(replies=("A parcel may weigh at most 30 kilograms [1].",)))
    given = await answer(
        world.agent("quoting", writes=True),
        AnswerRequest(question="How many kilograms may a parcel weigh at most?"),
        NORTH,
    )
    world.close()
    steps = [(name, "invoke_agent quoting") for name in ("retrieve", "grade", "compose")]
    assert tree(spans) == [("invoke_agent quoting", ""), *steps, ("chat scripted (test double)", "compose")]
    root = named(spans, "invoke_agent quoting")
    attributes: dict[str, Any] = dict(root.attributes or {})
    assert attributes[names.STATUS] == "answered"
    assert attributes[names.CONVERSATION_ID] == given.thread_id
    assert attributes[names.PROMPTS] == f"{read_prompt('answer').label}, {read_prompt('persona').label}"
    assert given.trace_id == f"{root.context.trace_id:032x}"


async def test_a_tool_call_is_one_span(spans: InMemorySpanExporter, data_dir: Path) -> None:
    world = World(data_dir)
    await answer(world.agent(), AnswerRequest(question="Where is parcel P-123?"), NORTH)
    world.close()
    chat = ("chat scripted (test double)", "invoke_agent tool_calling")
    tool = [("tool", "invoke_agent tool_calling"), ("execute_tool find_parcel", "tool")]
    assert tree(spans) == [("invoke_agent tool_calling", ""), chat, *tool, chat]


async def test_spans_hold_nothing_that_anybody_wrote(spans: InMemorySpanExporter, data_dir: Path) -> None:
    world = World(data_dir, chat=ScriptedChat(replies=("A parcel may weigh at most 30 kilograms [1].",)))
    for question, agent in (
        ("How many kilograms may a parcel weigh at most?", "quoting"),
        ("Where is parcel P-123?", "tool_calling"),
    ):
        await answer(world.agent(agent), AnswerRequest(question=question), NORTH)
    world.retriever.fails = StoreUnavailable("canary")
    with pytest.raises(StoreUnavailable):
        await answer(world.agent("quoting"), AnswerRequest(question="What about kilograms?"), NORTH)
    world.close()
    recorded = " ".join(span.to_json() for span in spans.get_finished_spans())
    for content in ("kilograms", "P-123", "at the counter", "canary"):
        assert content not in recorded


async def test_a_failure_marks_the_step_and_the_run(spans: InMemorySpanExporter, data_dir: Path) -> None:
    world = World(data_dir)
    world.retriever.fails = StoreUnavailable("locked")
    with pytest.raises(StoreUnavailable):
        await answer(world.agent("quoting"), AnswerRequest(question="What about kilograms?"), NORTH)
    world.close()
    for name in ("retrieve", "invoke_agent quoting"):
        assert dict(named(spans, name).attributes or {})[names.ERROR_TYPE] == "StoreUnavailable"
