"""Where the words of a citation stand on the picture of their page."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from foundation.errors import NotFound
from serving.access.identity import Asker
from serving.api.documents import DocumentId
from serving.http.errors import responses
from serving.runtime import Running, admit

router = APIRouter(prefix="/v1/documents", tags=["documents"], dependencies=[admit("reads")])


class WordBox(BaseModel):
    """A word on its page, in thousandths of the page's width and height from its upper left corner."""

    start: int
    end: int
    page: int
    left: int
    top: int
    right: int
    bottom: int


class WordBoxes(BaseModel):
    boxes: list[WordBox]
    """Empty where the words were not recognised in a picture."""


@router.get("/{document_id}/boxes", responses=responses(404))
def boxes(
    document_id: DocumentId,
    caller: Asker,
    runtime: Running,
    start: Annotated[int, Query(ge=0, description="As in a citation.", examples=[0])],
    end: Annotated[int, Query(ge=0, examples=[40])],
) -> WordBoxes:
    """Tell where the characters from `start` to `end` of a document stand on its pages, if they were recognised in a picture."""
    ledger, scope = runtime.system.retrieval.ledger, runtime.system.policy.scope(caller)
    document = ledger.find(document_id)
    # of somebody else's document the long text is not even read, which would tell by its time that it is there
    entry = ledger.entry(document_id) if document is not None and document.source.is_readable(scope) else None
    if entry is None:
        raise NotFound(f"There is no document {document_id} that you may read.")
    found = [box for box in entry.parsed.boxes if box.end > start and box.start < end]
    return WordBoxes(boxes=[WordBox(**dict(zip(WordBox.model_fields, box, strict=True))) for box in found])
