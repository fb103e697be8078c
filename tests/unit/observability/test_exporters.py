from __future__ import annotations

import gzip
import logging
import sqlite3
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from pydantic import ValidationError

from foundation.components import Context, load
from foundation.errors import UnknownSetting
from foundation.settings import ObservabilitySettings, Part
from observability import metrics, telemetry
from observability.spans import SpanStore
from tests.doubles.spans import ended_spans, receiver

SUCCESS, FAILURE = SpanExportResult.SUCCESS, SpanExportResult.FAILURE


def built(use: str, data_dir: Path, **options: object) -> SpanExporter:
    return load("observability.exporters", Part(use=use, **options), Context(data_dir=data_dir))


def test_the_sqlite_exporter_and_the_store_agree(data_dir):
    exporter = built("sqlite", data_dir)
    exporter.export(ended_spans("root", "child", attributes={"sixply.layer": "retrieval", "n": 3}))
    exporter.shutdown()
    rows = SpanStore(data_dir / "spans.sqlite").trace(SpanStore(data_dir / "spans.sqlite").recent(1)[0].trace_id)
    assert [(row.name, row.layer, row.attribute("n")) for row in rows] == [
        ("root", "retrieval", 3),
        ("child", "retrieval", 3),
    ]


def test_a_locked_span_file_costs_spans_and_nothing_else(data_dir, caplog):
    caplog.set_level(logging.CRITICAL)
    exporter = built("sqlite", data_dir, busy_timeout_s=0)
    assert exporter.export(ended_spans("before")) is SUCCESS
    other = sqlite3.connect(data_dir / "spans.sqlite")
    other.execute("BEGIN EXCLUSIVE")
    assert exporter.export(ended_spans("lost")) is FAILURE
    other.close()
    assert exporter.export(ended_spans("after")) is SUCCESS
    exporter.shutdown()
    assert {row.name for row in SpanStore(data_dir / "spans.sqlite").recent()} == {"before", "after"}


def test_a_folder_that_does_not_exist_yet_costs_spans_until_it_does(data_dir, caplog):
    caplog.set_level(logging.CRITICAL)
    exporter = built("sqlite", data_dir / "later")
    assert exporter.export(ended_spans("lost")) is FAILURE
    (data_dir / "later").mkdir()
    assert exporter.export(ended_spans("kept")) is SUCCESS
    exporter.shutdown()


def test_a_damaged_span_file_is_a_counted_failure(data_dir, caplog):
    caplog.set_level(logging.CRITICAL)
    (data_dir / "spans.sqlite").write_bytes(b"no database at all" * 100)
    exporter = built("sqlite", data_dir)
    assert exporter.export(ended_spans("lost")) is FAILURE
    exporter.shutdown()


def test_the_span_file_does_not_grow_without_end(data_dir):
    exporter = built("sqlite", data_dir, max_spans=10)
    for number in range(20):
        exporter.export(ended_spans(f"span {number}"))
    exporter.shutdown()
    assert [row.name for row in SpanStore(data_dir / "spans.sqlite").recent(50)] == [
        f"span {n}" for n in range(19, 9, -1)
    ]


def test_a_collector_reads_from_otlp_what_our_own_store_has(data_dir):
    """Decoded by OpenTelemetry's own protocol classes, as a collector does it: ids, parents, names, times, attributes."""
    spans = ended_spans("root", "child", "other", attributes={"sixply.layer": "retrieval", "n": 3, "share": 0.5})
    own = built("sqlite", data_dir)
    own.export(spans)
    own.shutdown()
    with receiver() as (address, kept):
        exporter = built("otlp", data_dir, endpoint=address)
        exporter.export(spans)
        exporter.shutdown()
    request = ExportTraceServiceRequest.FromString(gzip.decompress(kept.bodies[0]))
    read = [each for resource in request.resource_spans for scope in resource.scope_spans for each in scope.spans]
    stored = SpanStore(data_dir / "spans.sqlite").trace(read[0].trace_id.hex())
    assert len(stored) == len(read) == 3

    def told(span):
        values = {each.key: each.value for each in span.attributes}
        known = (values["sixply.layer"].string_value, values["n"].int_value, values["share"].double_value)
        times = (span.start_time_unix_nano, span.end_time_unix_nano)
        return (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex() or None, span.name, *times, *known)

    def kept_here(row):
        times = (row.start_ns, row.end_ns)
        known = (row.layer, row.attribute("n"), row.attribute("share"))
        return (row.trace_id, row.span_id, row.parent_id, row.name, *times, *known)

    assert sorted(map(told, read)) == sorted(map(kept_here, stored))


def test_otlp_sends_spans_and_its_secret_header_to_the_collector(data_dir):
    with receiver() as (address, kept):
        exporter = built("otlp", data_dir, endpoint=address, headers={"x-api-key": "letmein"})
        assert exporter.export(ended_spans("sent")) is SUCCESS
        exporter.shutdown()
    assert kept.headers[0]["x-api-key"] == "letmein"
    assert kept.headers[0]["path"] == "/v1/traces"


def test_otlp_takes_the_whole_address_as_well(data_dir):
    with receiver() as (address, kept):
        exporter = built("otlp", data_dir, endpoint=f"{address}/v1/traces")
        exporter.export(ended_spans("sent"))
        exporter.shutdown()
    assert kept.headers[0]["path"] == "/v1/traces"


def test_the_secret_header_is_masked_in_print():
    from observability.exporters.otlp import Options

    assert "letmein" not in repr(Options(headers={"x-api-key": "letmein"}))


def test_an_address_that_is_none_is_refused():
    from observability.exporters.otlp import Options

    with pytest.raises(ValidationError):
        Options(endpoint="collector:4318")


def test_an_unknown_option_of_an_exporter_is_named(data_dir):
    with pytest.raises(UnknownSetting, match='Did you mean "max_spans"'):
        built("sqlite", data_dir, max_span=3)


def test_a_dead_collector_breaks_nothing_and_its_spans_are_counted(data_dir, caplog):
    caplog.set_level(logging.CRITICAL)
    with receiver() as (address, _):
        pass  # now nobody listens there
    lost = metrics.domain().spans_dropped.labels("OTLPSpanExporter", "failed")
    before = lost._value.get()
    exporter = built("otlp", data_dir, endpoint=address, timeout_s=0.2)
    with telemetry.start(ObservabilitySettings(), [exporter], manifest_id="m"):
        from foundation import tracing

        with tracing.span("plan", layer="orchestration"):
            pass
    assert lost._value.get() == before + 1


def test_the_console_prints_one_line_a_span(data_dir, capsys):
    exporter = built("console", data_dir)
    exporter.export(ended_spans("root", "child"))
    assert [line.split()[-1] for line in capsys.readouterr().err.splitlines()] == ["child", "root"]


def test_the_console_leaves_short_spans_out(data_dir, capsys):
    built("console", data_dir, min_ms=10_000).export(ended_spans("root"))
    assert capsys.readouterr().err == ""
