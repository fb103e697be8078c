"""Telemetry starts, stops and carries version and manifest on each span."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.runnables import RunnableLambda
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Status, StatusCode

from foundation import names, tracing
from foundation.errors import InvalidSetting
from observability.settings import ObservabilitySettings
from observability.telemetry import setup

CANARY = "canary-4f1c"


def start(*exporters: SpanExporter) -> setup.Telemetry:
    return setup.start(ObservabilitySettings(), exporters, manifest_id="m-1")


def test_every_span_carries_service_version_and_manifest():
    kept = InMemorySpanExporter()
    with start(kept), tracing.span(names.PLAN, layer="orchestration"):
        pass
    (span,) = kept.get_finished_spans()
    assert span.resource.attributes[names.SERVICE_NAME] == "sixply"
    assert span.resource.attributes[names.MANIFEST_ID] == "m-1"
    assert span.resource.attributes[names.SERVICE_VERSION]


def test_closing_hands_over_what_still_waits():
    kept = InMemorySpanExporter()
    with start(kept):
        for _ in range(1500):
            tracing_span()
    assert len(kept.get_finished_spans()) == 1500


def tracing_span() -> None:
    with tracing.span(names.PLAN, layer="orchestration"):
        pass


def test_the_system_that_was_started_last_gets_the_spans_and_gives_them_back():
    outer, inner = InMemorySpanExporter(), InMemorySpanExporter()
    with start(outer):
        with tracing.span("first", layer="orchestration"):
            pass
        with start(inner), tracing.span("second", layer="orchestration"):
            pass
        with tracing.span("third", layer="orchestration"):
            pass
    assert [span.name for span in outer.get_finished_spans()] == ["first", "third"]
    assert [span.name for span in inner.get_finished_spans()] == ["second"]


def test_a_tracer_that_was_taken_before_the_start_works_afterwards():
    start().close()
    tracer = trace.get_tracer("early")
    with tracer.start_as_current_span("unheard") as span:
        assert not span.is_recording()
    kept = InMemorySpanExporter()
    with start(kept), tracer.start_as_current_span("heard"):
        pass
    assert [span.name for span in kept.get_finished_spans()] == ["heard"]


def test_closing_twice_is_no_error():
    running = start(InMemorySpanExporter())
    running.close()
    running.close()


def test_flushing_hands_over_at_once():
    kept = InMemorySpanExporter()
    with start(kept) as running:
        tracing_span()
        running.flush()
        assert len(kept.get_finished_spans()) == 1


def test_content_is_taken_out_of_every_span_whoever_put_it_there():
    kept = InMemorySpanExporter()
    with start(kept):
        span = trace.get_tracer("someone's").start_span("chat model")
        for name in names.CONTENT:
            span.set_attribute(name if not name.endswith(".") else f"{name}x", CANARY)
        span.record_exception(ValueError(CANARY))
        span.set_status(Status(StatusCode.ERROR, CANARY))
        span.set_attribute(names.REQUEST_MODEL, "kept")
        span.end()
    (span,) = kept.get_finished_spans()
    assert CANARY not in span.to_json()
    assert span.attributes == {names.REQUEST_MODEL: "kept"}
    assert span.status.status_code is StatusCode.ERROR
    assert span.events[0].attributes["exception.type"] == "ValueError"


def test_content_stays_where_the_settings_ask_for_it_without_the_keys_in_it():
    kept = InMemorySpanExporter()
    key = "sk-" + "a1B2" * 6
    with setup.start(ObservabilitySettings(capture_content=True), [kept], manifest_id="m-1"):
        span = trace.get_tracer("x").start_span("chat", attributes={names.CONTENT[0]: f"{CANARY}, my key is {key}"})
        span.set_status(Status(StatusCode.ERROR, f"{CANARY} was refused with {key}"))
        span.end()
    (exported,) = kept.get_finished_spans()
    assert CANARY in exported.attributes[names.CONTENT[0]]
    assert CANARY in exported.status.description
    assert key not in exported.to_json()


def test_a_lone_surrogate_does_not_reach_an_exporter():
    kept = InMemorySpanExporter()
    with start(kept):
        trace.get_tracer("x").start_span("a\ud800b", attributes={"k": "\udfff", "l": ["\ud800"]}).end()
    (span,) = kept.get_finished_spans()
    assert (span.name, span.attributes) == ("a\ufffdb", {"k": "\ufffd", "l": ("\ufffd",)})


def test_a_caller_cannot_switch_the_record_off():
    kept = InMemorySpanExporter()
    unsampled = trace.SpanContext(trace_id=7, span_id=9, is_remote=True, trace_flags=trace.TraceFlags(0))
    with start(kept):
        context = trace.set_span_in_context(trace.NonRecordingSpan(unsampled))
        trace.get_tracer("x").start_span("asked", context=context).end()
    assert kept.get_finished_spans()[0].context.trace_id == 7


def test_the_environment_is_as_before_and_does_not_decide_about_content(monkeypatch):
    monkeypatch.setenv(setup.CONTENT_SWITCH, "SPAN_AND_EVENT")
    with start():
        from opentelemetry.instrumentation.genai.langchain import LangChainInstrumentor

        assert not LangChainInstrumentor()._callback_handler._telemetry_handler.should_capture_content()
        assert os.environ[setup.CONTENT_SWITCH] == "SPAN_AND_EVENT"
    assert not LangChainInstrumentor().is_instrumented_by_opentelemetry


def test_another_set_up_of_opentelemetry_is_an_error_that_says_what_to_do(monkeypatch):
    monkeypatch.setattr(trace, "get_tracer_provider", trace.NoOpTracerProvider)
    monkeypatch.setattr(trace, "set_tracer_provider", lambda _: None)
    with pytest.raises(InvalidSetting, match=r"NoOpTracerProvider.*observability\.exporters"):
        start()


def test_a_tracer_is_made_once_for_its_name() -> None:
    first = setup.tracers().get_tracer("sixply")
    assert setup.tracers().get_tracer("sixply") is first
    assert setup.tracers().get_tracer("sixply", "2") is not first
    assert setup.tracers().get_tracer("sixply", attributes={"a": 1}) is not first


def test_an_event_of_langchain_is_noted_where_it_happens_and_takes_no_thread():
    class Counting(ThreadPoolExecutor):
        taken = 0

        def submit(self, *args, **kwargs):
            type(self).taken += 1
            return super().submit(*args, **kwargs)

    async def work() -> int:
        asyncio.get_running_loop().set_default_executor(Counting())
        return await RunnableLambda(answer).ainvoke(1)

    async def answer(given: int) -> int:
        return given + 1

    with start(InMemorySpanExporter()):
        assert asyncio.run(work()) == 2
    assert Counting.taken == 0
