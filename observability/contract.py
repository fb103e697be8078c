"""The ports of layer 6. Span exporters are OpenTelemetry's own `SpanExporter`; a part of theirs plugs in by name."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["SendsMetrics", "SpanExporter"]


@runtime_checkable
class SendsMetrics(Protocol):
    """What a span exporter has besides, where it sends the process's metrics too."""

    def metric_reader(self) -> MetricReader | None:
        """What reads and sends the metrics for as long as the system runs, or `None` for none. Asked once; it may be shut
        down twice."""
        ...
