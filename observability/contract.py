"""The ports of layer 6. Span exporters are OpenTelemetry's own `SpanExporter`; a part of theirs plugs in by name."""

from __future__ import annotations

from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["SpanExporter"]
