"""What the bodies of several resources have in common. What only one of them takes or gives stands in its own file.

What is a noun of a lower layer already goes over the wire as it is. (Never called models: that is layer 2.)
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
)

from retrieval.contract import Document


def _storable(text: str) -> str:
    """Databases end a text at NUL, and a lone surrogate, which JSON can spell, has no UTF-8."""
    try:
        text.encode()  # on the event loop, for megabytes of history: no loop over characters
    except UnicodeEncodeError:
        storable = False
    else:
        storable = "\0" not in text
    if not storable:
        raise ValueError("must not contain NUL or lone surrogate characters")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


Text = Annotated[str, AfterValidator(_storable)]
Question = Annotated[Text, AfterValidator(_not_blank)]
Name = Annotated[Text, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:\-]{1,128}$")]


class RequestBody(BaseModel):
    """A request body; a member that we do not know is an error, not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Known = bool | float | Annotated[Text, StringConstraints(max_length=2000)]
"""What can be known of a document. A text such as 2026-01-15 is a day."""


class Summary(BaseModel):
    """Fields of a noun of ours that a caller is shown."""

    @classmethod
    def of(cls, noun: Any) -> Self:
        return cls(**{name: getattr(noun, name) for name in cls.model_fields})


class DocumentSummary(BaseModel):
    document_id: str
    uri: str
    title: str
    tenant: str
    groups: Annotated[list[str], BeforeValidator(sorted)]
    media_type: str
    series: str | None
    effective_from: date | None
    published: date | None
    characters: int
    chunks: int
    ingested_at: datetime
    superseded: bool

    @classmethod
    def of(cls, document: Document) -> DocumentSummary:
        places = {name: document if hasattr(document, name) else document.source for name in cls.model_fields}
        return cls(**{name: getattr(place, name) for name, place in places.items()})
