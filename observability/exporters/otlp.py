"""Spans and metrics to any OpenTelemetry collector over HTTP, or spans only, such as to Jaeger, Tempo or Phoenix."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.trace.export import SpanExporter
from pydantic import Field, SecretStr

from foundation.components import Context
from foundation.machine.outages import Outage
from foundation.settings import Section
from foundation.stores.registry import Store

Exporter = TypeVar("Exporter")
SPANS_PATH, METRICS_PATH = "/v1/traces", "/v1/metrics"


class Options(Section):
    endpoint: str = Field(default="http://127.0.0.1:4318", pattern=r"^https?://[^\s/]+")
    """Base address of a collector, which gets spans at /v1/traces and metrics at /v1/metrics; or the full address of
    a traces endpoint, which gets spans only."""
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    """Headers of each batch; values such as API keys are secrets."""
    timeout_s: float = Field(default=3, gt=0, le=30)
    """Seconds for one batch with its retries. With the collector down, closing takes up to this long per signal."""
    metrics_every_s: float = Field(default=15, gt=0)


class OtlpMetricReader(PeriodicExportingMetricReader):
    """OpenTelemetry's reader, which may be shut down twice: with the system, and when the provider releases it."""

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        if not self._shutdown_event.is_set():
            super().shutdown(timeout_millis, **kwargs)


def build(options: Options, context: Context) -> SpanExporter:  # noqa: ARG001 - every adapter gets the context
    import requests
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    base = options.endpoint.rstrip("/")
    headers = {name: value.get_secret_value() for name, value in options.headers.items()}

    def create(kind: Callable[..., Exporter], address: str) -> Exporter:
        # one for each of traces and metrics: some collectors take the one and refuse the other
        outage = Outage(f"The OpenTelemetry collector at {address}")
        session = requests.Session()
        # traces go to the configured address, and to none that it names
        session.max_redirects = 0
        session.hooks["response"].append(lambda response, *_, **__: outage.end() if response.ok else None)
        # a logger for each, since the library's would mix two collectors
        logger = logging.Logger("opentelemetry.exporter.otlp")  # noqa: LOG001
        logger.parent = logging.getLogger()
        logger.addFilter(outage)
        sender = kind(
            address, headers=headers, timeout=options.timeout_s, compression=Compression.Gzip, session=session
        )
        vars(sender)["_client"]._logger = logger  # noqa: SLF001
        return sender

    if base.endswith(SPANS_PATH):
        return create(OTLPSpanExporter, base)
    # Sums count since the process began unless OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE says delta, as a few vendors want.
    exporter = create(OTLPMetricExporter, base + METRICS_PATH)

    class OtlpExporter(OTLPSpanExporter):
        """OpenTelemetry's span exporter, with a reader that sends the metrics to the same collector."""

        def metric_reader(self) -> MetricReader:
            return OtlpMetricReader(exporter, options.metrics_every_s * 1000, options.timeout_s * 1000)

    return create(OtlpExporter, base + SPANS_PATH)


def stores(options: Options) -> tuple[Store, ...]:  # noqa: ARG001 - the signature of every adapter
    return (Store(name="otlp", stays="spans were sent to your collector: delete there what has their `user.hash`"),)
