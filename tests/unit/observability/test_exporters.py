"""Exporters store and send spans, and a failing one costs spans and nothing else."""

from __future__ import annotations

import gzip
import logging
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError

from foundation import names, tracing
from foundation.components import Context, load
from foundation.errors import UnknownSetting
from foundation.settings import Part
from observability.settings import ObservabilitySettings
from observability.stores.spans import SpanStore
from observability.telemetry import metrics, setup
from tests.doubles.spans import ended_spans, receiver, total
from tests.unit.observability.test_metrics import read_counter

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


def test_a_locked_span_file_costs_spans_and_nothing_else(data_dir, caplog, monkeypatch):
    caplog.set_level(logging.CRITICAL)
    monkeypatch.setattr("observability.exporters.sqlite.BUSY_S", 0.0)
    exporter = built("sqlite", data_dir)
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
    """It names one signal, and gets that one."""
    with receiver() as (address, kept):
        exporter = built("otlp", data_dir, endpoint=f"{address}/v1/traces")
        with (
            setup.start(ObservabilitySettings(), [exporter], manifest_id="m"),
            tracing.span("plan", layer="models"),
        ):
            pass
    assert {headers["path"] for headers in kept.headers} == {"/v1/traces"}


def test_a_collector_gets_every_counter_as_metrics_shows_it(data_dir):
    with receiver() as (address, kept):
        exporter = built("otlp", data_dir, endpoint=address, metrics_every_s=600, headers={"x-api-key": "letmein"})
        with setup.start(ObservabilitySettings(), [exporter], manifest_id="m"):
            before = counters()
            metrics.domain().count(names.REQUESTS_SHED, work="search")
            with tracing.span("plan", layer="models"):
                pass
        after = counters()
    ((instance, sent),) = kept.metrics().items()
    assert instance
    assert {headers["x-api-key"] for headers in kept.headers} == {"letmein"}
    grown = {series: value - before.get(series, 0) for series, value in after.items()}
    assert grown["sixply_requests_shed_total", (("work", "search"),)] == 1
    for (series, labels), value in grown.items():
        name = series.removesuffix("_total").replace("sixply_", "sixply.")
        assert total(sent, name, **dict(labels)) == value, series
    (shed,) = sent[names.REQUESTS_SHED]
    assert shed.sum.is_monotonic
    assert shed.sum.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE


def counters() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Our own counters, series by series, as a scrape of `/metrics` reads them."""
    families = text_string_to_metric_families(generate_latest(metrics.registry()).decode())
    samples = [sample for family in families for sample in family.samples if sample.name.startswith("sixply_")]
    return {
        (sample.name, tuple(sample.labels.items())): sample.value
        for sample in samples
        if sample.name.endswith("_total")
    }


def test_a_lost_batch_of_metrics_costs_no_count_and_delta_is_there_for_who_wants_it(data_dir, caplog, monkeypatch):
    caplog.set_level(logging.CRITICAL)
    with receiver() as (address, kept):
        cumulative = built("otlp", data_dir, endpoint=address, metrics_every_s=600)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "DELTA")
        delta = built("otlp", data_dir, endpoint=f"{address}/delta", metrics_every_s=600)
        with setup.start(ObservabilitySettings(), [cumulative, delta], manifest_id="m") as running:
            for status in (400, 200):
                kept.status = status
                metrics.domain().count(names.REQUESTS_SHED, work="search")
                running.flush()
            (whole,) = kept.metrics().values()
            assert total(whole, names.REQUESTS_SHED, work="search") == 2
            last = ExportMetricsServiceRequest.FromString(kept.bodies_at("/delta/v1/metrics")[-1])
    scopes = [scope for part in last.resource_metrics for scope in part.scope_metrics]
    assert total({names.REQUESTS_SHED: [one for scope in scopes for one in scope.metrics if one.name == names.REQUESTS_SHED]}, names.REQUESTS_SHED) == 1  # fmt: skip


def test_workers_are_told_apart_and_add_up(data_dir):
    """Three processes at one collector, as `[workers] processes = 3` makes them: one of them counts otherwise."""
    program = (
        "import sys; from pathlib import Path; from foundation.components import Context, load;"
        "from foundation.settings import Part; from observability.settings import ObservabilitySettings;"
        "from observability.telemetry import metrics, setup as telemetry\n"
        "otlp = load('observability.exporters', Part(use='otlp', endpoint=sys.argv[1]), Context(data_dir=Path()))\n"
        "with telemetry.start(ObservabilitySettings(), [otlp], manifest_id='m'):\n"
        "    for _ in range(int(sys.argv[2])): metrics.domain().count('sixply.requests_shed', work='search')\n"
        "print(int(metrics.registry().get_sample_value('sixply_requests_shed_total', {'work': 'search'}) or 0))"
    )
    with receiver() as (address, kept):
        command = [sys.executable, "-c", program, address]
        ran = [
            subprocess.run([*command, n], capture_output=True, text=True, check=True).stdout for n in ("1", "2", "4")
        ]
    sent = kept.metrics()
    assert len(sent) == 3
    shown = [float(line) for line in ran]
    assert sorted(total(one, names.REQUESTS_SHED, work="search") for one in sent.values()) == shown == [1, 2, 4]


@pytest.mark.parametrize("status", [307, 308])
def test_a_collector_that_sends_traces_on_to_another_address_is_not_obeyed(data_dir, status):
    with receiver() as (address, kept), receiver() as (elsewhere, stolen):
        kept.status, kept.location = status, elsewhere
        exporter = built("otlp", data_dir, endpoint=address)
        with suppress(requests.TooManyRedirects):
            assert exporter.export(ended_spans("sent")) is FAILURE
        exporter.shutdown()
    assert kept.bodies
    assert not stolen.headers


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
    before = read_counter(names.SPANS_DROPPED, exporter="OtlpExporter", reason="failed")
    exporter = built("otlp", data_dir, endpoint=address, timeout_s=0.2)
    with (
        setup.start(ObservabilitySettings(), [exporter], manifest_id="m"),
        tracing.span("plan", layer="orchestration"),
    ):
        pass
    assert read_counter(names.SPANS_DROPPED, exporter="OtlpExporter", reason="failed") == before + 1


def test_a_collector_that_is_down_writes_one_line_and_one_when_it_is_back(data_dir, caplog):
    with receiver() as (address, kept):
        exporter, other = (built("otlp", data_dir, endpoint=address + path) for path in ("", "/v1/traces"))
        assert other.export(ended_spans("sent")) is SUCCESS
        kept.status = 400
        assert [exporter.export(ended_spans("lost")) for _ in range(3)] == [FAILURE] * 3
        kept.status = 200
        assert other.export(ended_spans("sent")) is SUCCESS, "which is no sign that the first one's collector is back"
        assert [exporter.export(ended_spans("sent")) for _ in range(2)] == [SUCCESS] * 2
        exporter.shutdown()
        other.shutdown()
    failed, back = [record.getMessage() for record in caplog.records]
    assert "400" in failed
    assert "no more about this until it is back" in failed
    assert back == f"The OpenTelemetry collector at {address}/v1/traces is back. 2 more lines about it were left out."


def test_each_way_in_which_a_collector_refuses_has_its_line(data_dir, caplog):
    with receiver() as (address, kept):
        exporter = built("otlp", data_dir, endpoint=address)
        for kept.status in (400, 400, 401, 400, 401):
            assert exporter.export(ended_spans("lost")) is FAILURE
        exporter.shutdown()
    first, second = [record.getMessage() for record in caplog.records]
    assert ("400" in first, "401" in second) == (True, True)


def test_metrics_that_a_collector_refuses_do_not_make_its_traces_an_outage(data_dir, caplog):
    with receiver() as (address, kept):
        exporter = built("otlp", data_dir, endpoint=address)
        sender = exporter.metric_reader()._exporter
        for _ in range(3):
            kept.status = 404
            sender.export(MetricsData([]))
            kept.status = 200
            assert exporter.export(ended_spans("sent")) is SUCCESS
        exporter.shutdown()
    (refused,) = [record.getMessage() for record in caplog.records]
    assert "404" in refused
