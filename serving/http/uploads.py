"""Documents as callers send them and see them: by the API, jobs, MCP and the page."""

from __future__ import annotations

import mimetypes
from datetime import date, datetime
from typing import Annotated

from fastapi import Request
from pydantic import BaseModel, BeforeValidator

from foundation.errors import DocumentRefused, InvalidRequest, suggest
from foundation.types import Scope
from retrieval.documents import Document
from retrieval.ingest.pipeline import Demand, Ingestor, demand_readable
from retrieval.ingest.preparation import Item


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


def media_type_of(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


async def refuse_unknown_fields(request: Request) -> None:
    """Raises InvalidRequest: the form has a field that the route does not take. A misspelt `groups` would be a document for everybody."""
    known = sorted(field.alias for field in request.scope["route"].dependant.body_params)
    if unknown := next((name for name in await request.form() if name not in known), None):
        raise InvalidRequest(
            f'The form has a field "{unknown[:80]}", which is none: {", ".join(known)}. {suggest(unknown, known)}'.rstrip()
        )


def take_in(ingestor: Ingestor, item: Item, scope: Scope, demand: Demand) -> Document:
    """Store an upload of somebody who reads `scope`. A document that they may not read is neither replaced nor revealed. `demand` is
    called right before it is stored: reading takes long, and they may have been stopped since, or their key revoked.
    Raises DocumentRefused: the file is empty, or cannot be read. Forbidden: the caller could not read the document.
    """
    demand_readable(item.source, scope)
    if not item.content:
        raise DocumentRefused(f"{item.source.uri} is empty. Upload a file with text in it.", reason="empty")
    return ingestor.ingest_one(item, scope=scope, demand=demand)
