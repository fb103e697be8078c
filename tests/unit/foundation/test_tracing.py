"""Spans are named, nested and free of what was said."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from foundation import names
from foundation.tracing import annotate, span, trace_id


@pytest.fixture
def recorded(monkeypatch):
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


def test_a_span_is_named_by_operation_and_subject_and_knows_its_layer(recorded):
    with span(names.CHAT, "smollm2", layer="models", attributes={names.PART: "llama_cpp"}):
        pass
    (one,) = recorded.get_finished_spans()
    assert one.name == "chat smollm2"
    assert one.attributes == {names.OPERATION: "chat", names.LAYER: "models", names.PART: "llama_cpp"}


def test_spans_nest(recorded):
    with span("outer", layer="serving"), span("inner", layer="models"):
        inside = trace_id()
    inner, outer = recorded.get_finished_spans()
    assert inner.parent.span_id == outer.context.span_id
    assert inside == f"{outer.context.trace_id:032x}"


def test_a_failed_span_names_the_error_but_not_its_text(recorded):
    with pytest.raises(ValueError, match="what the user wrote"), span("chat", layer="models"):
        raise ValueError("what the user wrote")
    (failed,) = recorded.get_finished_spans()
    assert failed.attributes[names.ERROR_TYPE] == "ValueError"
    assert not failed.status.is_ok
    assert "what the user wrote" not in failed.to_json()


def test_without_telemetry_tracing_does_nothing_and_there_is_no_trace_id():
    with span("chat", layer="models") as current:
        assert not current.is_recording()
        assert trace_id() is None


def test_what_goes_on_after_its_span_adds_nothing_to_it_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    ended = TracerProvider().get_tracer("t").start_span("request")
    ended.end()
    with trace.use_span(ended):
        annotate("late", 1)
    assert caplog.records == []
