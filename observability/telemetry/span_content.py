"""Remove what people said from spans, at the one place before every exporter."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, Status
from opentelemetry.util.types import Attributes

from foundation import names
from foundation.output.rendering import encodable
from observability.telemetry.personal_data import redact


def exportable(span: ReadableSpan, *, content: bool) -> ReadableSpan:
    """Return a copy of an ended span that any exporter can take.

    Without `content` it has no messages, tool arguments or error texts, only the class of an error. With it,
    personal data in these is redacted. Lone surrogates are replaced: with one, an exporter would lose its batch.
    """
    return ReadableSpan(
        name=encodable(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_redact_attributes(span.attributes, content=content),
        events=[
            Event(event.name, _redact_attributes(event.attributes, content=content), event.timestamp)
            for event in span.events
        ],
        links=[Link(link.context, _redact_attributes(link.attributes, content=content)) for link in span.links],
        kind=span.kind,
        # instrumentors put exception texts here, and the error text of a provider quotes the prompt
        status=Status(span.status.status_code, redact(encodable(span.status.description or "")) if content else None),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _redact_attributes(attributes: Attributes, *, content: bool) -> Attributes:
    redacted = {}
    for name, value in (attributes or {}).items():
        if not holds_content(name):
            redacted[encodable(name)] = _every_text(value, encodable)
        elif content:
            redacted[encodable(name)] = _every_text(value, lambda text: redact(encodable(text)))
    return redacted


def _every_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {_every_text(name, change): _every_text(part, change) for name, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return tuple(_every_text(part, change) for part in value)
    return value


# called for every attribute of every span, with few different names
@lru_cache(maxsize=4096)
def holds_content(name: str) -> bool:
    """Whether an attribute of this name may hold the words of a person or a document."""
    return any(
        name == content_name or (content_name.endswith(".") and name.startswith(content_name))
        for content_name in names.CONTENT
    )
