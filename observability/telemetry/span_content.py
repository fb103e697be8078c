"""Remove what people said from spans, at the one place before every exporter."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, Status
from opentelemetry.util.types import Attributes

from foundation import names
from foundation.output.rendering import encodable


def exportable(span: ReadableSpan, clean: Callable[[str], str] | None) -> ReadableSpan:
    """Return a copy of an ended span that any exporter can take.

    Without `clean` it has no messages, tool arguments or error texts, only the class of an error. With it, these
    are what `clean` leaves of them. Lone surrogates are replaced: with one, an exporter would lose its batch.
    """
    return ReadableSpan(
        name=encodable(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_clean_attributes(span.attributes, clean),
        events=[
            Event(event.name, _clean_attributes(event.attributes, clean), event.timestamp) for event in span.events
        ],
        links=[Link(link.context, _clean_attributes(link.attributes, clean)) for link in span.links],
        kind=span.kind,
        # instrumentors put exception texts here, and the error text of a provider quotes the prompt
        status=Status(span.status.status_code, clean(encodable(span.status.description or "")) if clean else None),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _clean_attributes(attributes: Attributes, clean: Callable[[str], str] | None) -> Attributes:
    cleaned = {}
    for name, value in (attributes or {}).items():
        if not holds_content(name):
            cleaned[encodable(name)] = _every_text(value, encodable)
        elif clean:
            cleaned[encodable(name)] = _every_text(value, lambda text: clean(encodable(text)))
    return cleaned


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
