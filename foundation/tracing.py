"""The small door through which lower layers trace: OpenTelemetry's API only, a no-op until observability sets it up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from foundation import names
from foundation.types import Layer

AttributeValue = str | bool | int | float


@contextmanager
def span(
    operation: str,
    subject: str = "",
    *,
    layer: Layer,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Iterator[Span]:
    """Open a span named `operation subject` that belongs to `layer`.

    An exception marks it as failed with the exception's class as `error.type` and passes on. Message texts are never
    recorded: they can hold what a user wrote.
    """
    tracer = trace.get_tracer("sixply")
    name = f"{operation} {subject}".strip()
    given = {names.OPERATION: operation, names.LAYER: layer, **(attributes or {})}
    with tracer.start_as_current_span(
        name, kind=kind, attributes=given, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except BaseException as error:
            current.set_attribute(names.ERROR_TYPE, type(error).__name__)
            current.set_status(Status(StatusCode.ERROR))
            raise


def trace_id() -> str | None:
    """The current trace's id as 32 hexadecimal digits, or `None` outside a recorded trace."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None
