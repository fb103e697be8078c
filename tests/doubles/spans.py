"""Spans as they come from the SDK, and an OTLP receiver on loopback, for tests."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


def ended_spans(*names: str, attributes: Mapping[str, Any] | None = None) -> list[ReadableSpan]:
    """Real ended spans of one trace, the first one around the others."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("test double")
    with tracer.start_as_current_span(names[0], attributes=attributes):
        for name in names[1:]:
            tracer.start_span(name, attributes=attributes).end()
    return list(kept.get_finished_spans())


class Receiver:
    """A collector that keeps what it was sent and answers as it is told to."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.status = 200
        self.location = ""

    def bodies_at(self, path: str) -> list[bytes]:
        """What was sent to this path, unpacked."""
        sent = [body for body, headers in zip(self.bodies, self.headers, strict=False) if headers["path"] == path]
        return [gzip.decompress(body) for body in sent]

    def metrics(self) -> dict[str, dict[str, list[Metric]]]:
        """The latest metrics of each process by its `service.instance.id`, as a collector decodes them, by metric's name."""
        latest: dict[str, dict[str, list[Metric]]] = {}
        for body in self.bodies_at("/v1/metrics"):
            for part in _decode_metrics(body).resource_metrics:
                resource = {each.key: each.value.string_value for each in part.resource.attributes}
                named: dict[str, list[Metric]] = {}
                for metric in [one for scope in part.scope_metrics for one in scope.metrics]:
                    named.setdefault(metric.name, []).append(metric)
                latest[resource["service.instance.id"]] = named
        return latest


@cache  # whoever waits for a number asks again and again
def _decode_metrics(body: bytes) -> ExportMetricsServiceRequest:
    return ExportMetricsServiceRequest.FromString(body)


def total(metrics: Mapping[str, Sequence[Metric]], name: str, **labels: str) -> float:
    """What a counter counted, or how many events a histogram holds, in the series that have these labels."""
    points = [
        point
        for metric in metrics.get(name, ())
        for point in getattr(metric, str(metric.WhichOneof("data"))).data_points
    ]
    fitting = [
        point
        for point in points
        if labels.items() <= {each.key: each.value.string_value for each in point.attributes}.items()
    ]
    return float(sum(point.count if hasattr(point, "count") else point.as_double or point.as_int for point in fitting))


@contextmanager
def receiver() -> Iterator[tuple[str, Receiver]]:
    """(base address, receiver)."""
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.headers.append({name.lower(): value for name, value in self.headers.items()} | {"path": self.path})
            kept.bodies.append(body)
            self.send_response(kept.status)
            self.send_header("content-length", "0")
            if kept.location:
                self.send_header("location", kept.location)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Tests are quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
