"""The promises of a span exporter, on every adapter in observability/exporters, and on broken ones that must be rejected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from foundation.components import Context, load
from tests.contracts import under_test
from tests.contracts.broken import exporters as broken
from tests.doubles.relay import relay
from tests.doubles.spans import ended_spans, receiver

SUCCESS, FAILURE = SpanExportResult.SUCCESS, SpanExportResult.FAILURE

SECTION = "observability.exporters"


def takes_a_batch(exporter: SpanExporter) -> None:
    assert exporter.export(ended_spans("one")) is SUCCESS


def takes_an_empty_batch(exporter: SpanExporter) -> None:
    assert exporter.export([]) is SUCCESS


def takes_spans_with_and_without_a_parent(exporter: SpanExporter) -> None:
    assert exporter.export(ended_spans("root", "child", "other child")) is SUCCESS


def takes_any_text(exporter: SpanExporter) -> None:
    odd = {"text": "漢字 🙂 \x00 \r\n \x1b[31m", "list": ("a", "ß"), "number": 2**53, "share": 0.5, "yes": True}
    assert exporter.export(ended_spans("naïve 漢字 🙂" * 50, attributes=odd)) is SUCCESS


def takes_the_same_span_again(exporter: SpanExporter) -> None:
    spans = ended_spans("one")
    assert (exporter.export(spans), exporter.export(spans)) == (SUCCESS, SUCCESS)


def takes_batches_from_several_threads(exporter: SpanExporter) -> None:
    exporter.export(ended_spans("first"))
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(exporter.export, [ended_spans("root", "child") for _ in range(8)])) == {SUCCESS}


def flushes(exporter: SpanExporter) -> None:
    exporter.export(ended_spans("one"))
    assert exporter.force_flush(1000) is True


def says_failure_after_it_was_closed(exporter: SpanExporter) -> None:
    exporter.export(ended_spans("one"))
    exporter.shutdown()
    assert exporter.export(ended_spans("late")) is FAILURE


def may_be_closed_twice(exporter: SpanExporter) -> None:
    exporter.shutdown()
    exporter.shutdown()


PROMISES: list[Callable[[SpanExporter], None]] = [
    takes_a_batch, takes_an_empty_batch, takes_spans_with_and_without_a_parent, takes_any_text,
    takes_the_same_span_again, takes_batches_from_several_threads, flushes, says_failure_after_it_was_closed,
    may_be_closed_twice,
]  # fmt: skip


@pytest.fixture(scope="module")
def collector() -> Iterator[str]:
    with receiver() as (address, _):
        yield address


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("adapter", under_test.adapters(SECTION))
def test_every_adapter_keeps(
    adapter: str, promise: Callable[[SpanExporter], None], watched: under_test.Watch, data_dir: Path, collector: str
) -> None:
    options = {"endpoint": collector} if adapter == "otlp" else {}
    part = under_test.part(SECTION, adapter, **options)
    exporter = load(SECTION, part, Context(data_dir=data_dir), expected=SpanExporter)
    try:
        promise(watched(SECTION, exporter))
    finally:
        exporter.shutdown()


@pytest.mark.parametrize("name", [name for name in ("otlp",) if name in under_test.adapters(SECTION)])
def test_a_collector_that_never_answers_costs_spans_and_nothing_else(name: str, data_dir: Path) -> None:
    with relay() as line:
        options = {"endpoint": f"http://127.0.0.1:{line.port}", "timeout_s": 1}
        exporter = load(SECTION, under_test.part(SECTION, name, **options), Context(data_dir=data_dir))
        assert exporter.export(ended_spans("lost")) is FAILURE
        exporter.shutdown()


def _failures(make: Callable[[], SpanExporter]) -> list[str]:
    failed = []
    for promise in PROMISES:
        try:
            promise(make())
        except Exception:  # any failure counts, as it does in pytest
            failed.append(promise.__name__)
    return failed


def test_the_suite_accepts_a_healthy_double() -> None:
    assert _failures(broken.Healthy) == []


@pytest.mark.parametrize("fault", broken.BROKEN, ids=lambda fault: fault.__name__)
def test_the_suite_rejects(fault: Any) -> None:
    assert fault.caught_by in _failures(fault)
