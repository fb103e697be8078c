from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.runnables import RunnableLambda
from opentelemetry import metrics as otel_metrics
from opentelemetry import trace
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Status, StatusCode
from prometheus_client.parser import text_string_to_metric_families

from foundation import names, tracing
from foundation.errors import InvalidSetting
from observability.settings import ObservabilitySettings
from observability.telemetry import metrics, processor, setup

CANARY = "canary-4f1c"


def start(*exporters: SpanExporter) -> setup.Telemetry:
    return setup.start(ObservabilitySettings(), exporters, manifest_id="m-1")


def counted(exporter: type[SpanExporter]) -> dict[str, float]:
    """Spans by what became of them, for one kind of exporter, since the process began."""
    found = {"exported": metrics.read_counter(names.SPANS_EXPORTED, exporter=exporter.__name__)}
    for reason in ("failed", "queue_full", "too_late", "closed"):
        found[reason] = metrics.read_counter(names.SPANS_DROPPED, exporter=exporter.__name__, reason=reason)
    return found


def grown(exporter: type[SpanExporter], before: dict[str, float]) -> dict[str, float]:
    return {name: value - before[name] for name, value in counted(exporter).items() if value != before[name]}


class Failing(InMemorySpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.FAILURE


class Raising(InMemorySpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise RuntimeError("no such host")


class Stuck(InMemorySpanExporter):
    """Holds on to its first batch until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.release = threading.Event(), threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.entered.set()
        self.release.wait(60)
        return SpanExportResult.SUCCESS


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


def test_a_span_that_ends_after_closing_is_counted_and_is_no_error():
    before = counted(InMemorySpanExporter)
    running = start(InMemorySpanExporter())
    late = trace.get_tracer("x").start_span("late")
    running.close()
    late.end()
    assert grown(InMemorySpanExporter, before) == {"closed": 1}


@pytest.mark.parametrize("exporter", [Failing, Raising])
def test_an_exporter_that_fails_harms_nobody_and_is_counted(exporter, caplog):
    caplog.set_level(logging.CRITICAL)
    before, kept = counted(exporter), InMemorySpanExporter()
    with start(exporter(), kept):
        tracing_span()
    assert grown(exporter, before) == {"failed": 1}
    assert len(kept.get_finished_spans()) == 1


def test_spans_that_do_not_fit_the_queue_are_dropped_and_every_span_is_accounted_for(monkeypatch):
    monkeypatch.setattr(processor, "QUEUE_SPANS", 600)
    before, stuck = counted(Stuck), Stuck()
    running = start(stuck)
    for _ in range(512):
        tracing_span()
    assert stuck.entered.wait(60)  # the first batch has left the queue and goes nowhere
    for _ in range(1000):
        tracing_span()
    stuck.release.set()
    running.close()
    found = grown(Stuck, before)
    assert found["queue_full"] >= 400
    assert sum(found.values()) == 1512


def test_what_cannot_be_delivered_before_closing_ends_is_counted(monkeypatch):
    monkeypatch.setattr(processor, "CLOSE_S", -1.0)
    before = counted(InMemorySpanExporter)
    with start(InMemorySpanExporter()):
        tracing_span()
    assert sum(grown(InMemorySpanExporter, before).values()) == 1


def test_flushing_hands_over_at_once():
    kept = InMemorySpanExporter()
    with start(kept) as running:
        tracing_span()
        running.flush()
        assert len(kept.get_finished_spans()) == 1


class Speaking(InMemorySpanExporter):
    def __init__(self, reader: MetricReader | None) -> None:
        super().__init__()
        self.metric_reader = lambda: reader


def test_an_exporter_without_a_reader_of_metrics_sends_spans_alone():
    kept, reader = Speaking(None), InMemoryMetricReader()
    with start(kept, Speaking(reader)) as running:
        with tracing.span(names.PLAN, layer="orchestration"):
            pass
        running.flush()
        assert len(kept.get_finished_spans()) == 1
        assert reader.get_metrics_data() is not None


def test_metrics_are_prometheus_text_and_hold_ours_and_those_of_the_conventions():
    with start() as running:
        otel_metrics.get_meter("test").create_counter("gen_ai.test.calls").add(2)
        body, content_type = running.metrics()
    assert content_type.startswith("text/plain")
    told = re.findall(r"^# HELP (\S+)", body.decode(), re.MULTILINE)
    assert sorted(told) == sorted(set(told))  # a second HELP is an error of the format
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    counters = (names.ANSWERS, names.COST_USD, names.UNPRICED_CALLS, names.SPANS_EXPORTED, names.SPANS_DROPPED)
    assert {name.replace(".", "_") for name in counters} <= families.keys()
    assert "gen_ai_test_calls" in families


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
