"""What is counted: spans and what became of them, charges, answers; and levels that are read with them."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from opentelemetry import metrics as otel_metrics
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from foundation import names, tracing
from foundation.errors import StoreUnavailable
from foundation.machine import probes
from observability.stores.costs import CostLedger
from observability.telemetry import metrics, processor
from observability.telemetry.instrument import CountedAgent
from orchestration.actions import Decision
from orchestration.contract import Agent
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from tests.unit.observability.test_instrument import ASKER, OneAnswer
from tests.unit.observability.test_ledger import charge
from tests.unit.observability.test_telemetry import start, tracing_span


def read_counter(name: str, **labels: str) -> float:
    """A counter as `/metrics` shows it; 0 where nothing has been counted."""
    return metrics.registry().get_sample_value(f"{name.replace('.', '_')}_total", labels) or 0.0


def counted(exporter: type[SpanExporter]) -> dict[str, float]:
    """Spans by what became of them, for one kind of exporter, since the process began."""
    found = {"exported": read_counter(names.SPANS_EXPORTED, exporter=exporter.__name__)}
    for reason in ("failed", "queue_full", "too_late", "closed"):
        found[reason] = read_counter(names.SPANS_DROPPED, exporter=exporter.__name__, reason=reason)
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
    with start(Speaking(None)):
        otel_metrics.get_meter("test").create_counter("gen_ai.test.calls").add(2)
        body = generate_latest(metrics.registry())
    told = re.findall(r"^# HELP (\S+)", body.decode(), re.MULTILINE)
    assert sorted(told) == sorted(set(told))  # a second HELP is an error of the format
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    counters = (names.ANSWERS, names.COST_USD, names.UNPRICED_CALLS, names.SPANS_EXPORTED, names.SPANS_DROPPED)
    assert {name.replace(".", "_") for name in counters} <= families.keys()
    assert "gen_ai_test_calls" in families


def test_a_charge_is_counted_in_the_metrics(data_dir):
    def counted() -> tuple[float, float]:
        usd = read_counter(names.COST_USD, layer="models", kind="chat")
        return usd, read_counter(names.UNPRICED_CALLS, kind="chat")

    before, ledger = counted(), CostLedger(data_dir / "costs.sqlite")
    ledger.record(charge("0.25"))
    ledger.record(charge(None))
    assert tuple(now - then for now, then in zip(counted(), before, strict=True)) == (pytest.approx(0.25), 1)


def test_a_charge_that_cannot_be_stored_is_an_error_and_not_counted(data_dir):
    before, ledger = read_counter(names.COST_USD, layer="models", kind="chat"), CostLedger(data_dir / "costs.sqlite")
    ledger.close()
    with pytest.raises(StoreUnavailable, match="was closed"):
        ledger.record(charge("5"))
    assert read_counter(names.COST_USD, layer="models", kind="chat") == before


async def test_answers_are_counted_once_each_and_streams_pass_unchanged():
    before = read_counter(names.ANSWERS, status="abstained", path="none")
    agent = CountedAgent(OneAnswer())
    assert isinstance(agent, Agent)
    assert [event.kind async for event in agent.stream(AnswerRequest(question="q"), ASKER)] == ["token", "answer"]
    assert [event.kind async for event in agent.resume(Decision(approval_id="x", approve=True), ASKER)] == ["answer"]
    assert read_counter(names.ANSWERS, status="abstained", path="none") == before + 2


def test_an_answer_that_waited_for_a_person_is_counted_once_by_its_end():
    def ended() -> dict[str, float]:
        return {status: read_counter(names.ANSWERS, status=status, path="none") for status in metrics.ENDED}

    before = ended()
    waiting = Answer(answer_id="a", thread_id="t", question="q", text="", status="waiting", stop_reason="approval")
    for answer in (waiting, waiting.model_copy(update={"status": "answered", "stop_reason": "complete"})):
        metrics.domain().count_answer(answer)
    assert {status: now - before[status] for status, now in ended().items() if now != before[status]} == {"answered": 1}


def test_a_value_that_nobody_expected_is_counted_as_other():
    assert metrics.bound_label("chat", metrics.CHARGE_KINDS) == "chat"
    assert metrics.bound_label(f"made up {datetime.now(UTC)}", metrics.CHARGE_KINDS) == "other"


def points(made: Callable[[metrics.DomainMetrics], object]) -> dict[str, list[Any]]:
    """What is read of domain metrics to which that was done, series by metric."""
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    made(metrics.DomainMetrics(meters.get_meter("test")))
    return read_points(reader)


def read_points(reader: InMemoryMetricReader) -> dict[str, list[Any]]:
    data = json.loads(reader.get_metrics_data().to_json())
    read = [one for part in data["resource_metrics"] for scope in part["scope_metrics"] for one in scope["metrics"]]
    return {one["name"]: one["data"]["data_points"] for one in read}


def test_levels_are_read_when_the_metrics_are_and_one_that_fails_is_left_out():
    read = points(lambda made: [made.watch(names.CHUNKS, lambda: 3.0), made.watch(names.DOCUMENTS, lambda: 1 / 0)])
    assert [point["value"] for point in read[names.CHUNKS]] == [3.0]
    assert read.keys().isdisjoint({names.DOCUMENTS, names.APPROVALS_WAITING})


def test_levels_whose_store_does_not_answer_are_left_out_and_delay_no_other(monkeypatch: pytest.MonkeyPatch):
    let_go, begun = threading.Event(), []

    def hang() -> float:
        begun.append(1)
        let_go.wait()
        return 1.0

    monkeypatch.setattr(probes, "PATIENCE_S", 0.05)
    reader = InMemoryMetricReader()
    observed = metrics.DomainMetrics(MeterProvider([reader], shutdown_on_exit=False).get_meter("test"))
    for level in (names.DOCUMENTS, names.CHUNKS, names.APPROVALS_WAITING):
        observed.watch(level, hang)
    observed.watch(names.LOOP_TASKS, lambda: 3.0)
    try:
        seen: dict[str, Any] = {}
        while names.LOOP_TASKS not in seen:  # a busy machine may be late with that, too
            seen = read_points(reader)
        assert seen.keys().isdisjoint({names.DOCUMENTS, names.CHUNKS, names.APPROVALS_WAITING})
        assert len(begun) == 3
    finally:
        let_go.set()
    while names.DOCUMENTS not in read_points(reader):
        pass


def test_a_level_that_nobody_knows_is_an_error():
    with pytest.raises(KeyError):
        points(lambda made: made.watch("sixply.chunk", lambda: 1))


def test_the_time_to_the_first_token_is_of_answers_that_a_model_wrote():
    written = Answer(
        answer_id="a",
        thread_id="t",
        question="q",
        status="answered",
        stop_reason="complete",
        text="x",
        first_token_s=0.3,
    )
    silent = written.model_copy(update={"first_token_s": None})
    (point,) = points(lambda made: [made.count_answer(written), made.count_answer(silent)])[names.FIRST_TOKEN_SECONDS]
    assert (point["count"], point["sum"]) == (1, 0.3)
    assert point["bucket_counts"][point["explicit_bounds"].index(0.5)] == 1
