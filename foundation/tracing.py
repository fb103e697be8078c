"""Tracing for all layers by OpenTelemetry's API alone, a no-op until observability sets it up."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import Link, Span, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from foundation import names
from foundation.types import Layer

AttributeValue = str | bool | int | float


@contextmanager
def span(
    operation: str,
    subject: str = "",
    *,
    layer: Layer,
    attributes: Mapping[str, AttributeValue] | None = None,
    parent: str = "",
) -> Iterator[Span]:
    """Open a span `operation subject` of a layer.

    With a stored `traceparent` (`here`) as `parent` it continues that trace, and links to the current one. An exception
    marks it as failed, with its class as `error.type`; its text is never recorded: it may hold a user's words.
    """
    tracer = trace.get_tracer("sixply")
    name = f"{operation} {subject}".strip()
    operation_label = {names.OPERATION: operation} if operation in names.OPERATIONS else {}
    labels = {**operation_label, names.LAYER: layer, **(attributes or {})}
    around = trace.get_current_span().get_span_context()
    with tracer.start_as_current_span(
        name,
        context=TraceContextTextMapPropagator().extract({"traceparent": parent}) if parent else None,
        links=[Link(around)] if parent and around.is_valid else None,
        attributes=labels,
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        try:
            yield current
        except BaseException as error:
            current.set_attribute(names.ERROR_TYPE, type(error).__name__)
            current.set_status(Status(StatusCode.ERROR))
            raise


def here() -> str:
    """Return the current span as a W3C `traceparent`, to be stored; empty outside a recorded trace."""
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")


def trace_id_in(traceparent: str) -> str | None:
    """Return the trace id in a `traceparent`; `None` if that is empty.

    >>> trace_id_in("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), trace_id_in("")
    ('4bf92f3577b34da6a3ce929d0e0e4736', None)
    """
    parts = traceparent.split("-")
    return parts[1] if len(parts) > 1 else None


def annotate(name: str, value: AttributeValue) -> None:
    """Set an attribute of the current span, if there is one."""
    if (current := trace.get_current_span()).is_recording():  # a job goes on after the span of its request has ended
        current.set_attribute(name, value)


def trace_id() -> str | None:
    """Return the current trace's id as 32 hexadecimal digits; `None` outside a recorded trace."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None
