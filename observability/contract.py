"""The ports of layer 6. Span exporters are OpenTelemetry's `SpanExporter`, so its own exporters plug in by name.

One that sends the process's metrics too has a method `metric_reader()`, which returns the reader that sends them while the
system runs, or `None`. It is called once, and the reader may be shut down twice.
"""

from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["SpanExporter"]
