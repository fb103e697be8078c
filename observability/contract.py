"""The ports of layer 6. Span exporters are OpenTelemetry's `SpanExporter`, so its own exporters plug in by name."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["SendsMetrics", "SpanExporter"]


@runtime_checkable
class SendsMetrics(Protocol):
    """Optional interface of a span exporter that sends the process's metrics too."""

    def metric_reader(self) -> MetricReader | None:
        """Return the reader that sends the metrics while the system runs, or `None`. Called once; the reader may be
        shut down twice.
        """
        ...
