"""The ports of layer 6. Span exporters are OpenTelemetry's `SpanExporter`, so its own exporters plug in by name.

One that sends the process's metrics too has a method `metric_reader()`, which returns the reader that sends them while the
system runs, or `None`. It is called once, and the reader may be shut down twice.
"""

from typing import Protocol, runtime_checkable

from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["Redactor", "SpanExporter"]


@runtime_checkable
class Redactor(Protocol):
    """Takes more than credentials out of texts that are exported or stored. An extension offers it among its services."""

    def redact(self, text: str) -> str:
        """Return the text without what must not be kept, such as personal data."""
