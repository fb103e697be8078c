"""Types that the bodies of several resources share. Those of a single resource are in its own file."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
)

from retrieval.documents import Document


def _storable(text: str) -> str:
    """Refuse NUL, where databases end a text, and lone surrogates, which JSON can spell and UTF-8 cannot encode."""
    try:
        text.encode()  # fast on the event loop, also for megabytes of history: no loop over characters
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
    """A request body. Unknown members are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# The value of a document's field or attribute. A text such as 2026-01-15 is a date.
Known = bool | float | Annotated[Text, StringConstraints(max_length=2000)]


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
