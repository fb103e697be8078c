"""Add, list, read and delete documents. Changes are committed before they are acknowledged."""

from datetime import date
from functools import partial
from pathlib import PurePosixPath
from typing import Annotated

from fastapi import APIRouter, Depends, File, Form, Query, UploadFile
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from foundation.errors import Forbidden, InvalidRequest, NotFound
from foundation.types import EVERY_TENANT, Principal
from retrieval.documents import Document, Refusal, Source
from retrieval.filters import Value, parse_value
from retrieval.ingest.pipeline import IngestReport
from retrieval.ingest.preparation import Item
from serving.access.identity import Asker, Writer
from serving.api.schemas import Identifier, Known, Name, Pages
from serving.http.bodies import check_json
from serving.http.errors import responses
from serving.http.uploads import DocumentSummary, media_type_of, refuse_unknown_fields, take_in
from serving.runtime import Running, admit

_ATTRIBUTES: TypeAdapter[dict[Name, Known]] = TypeAdapter(dict[Name, Known])

router = APIRouter(prefix="/v1/documents", tags=["documents"])


DocumentId = Annotated[Identifier, Field(examples=["doc-1"])]


class DocumentList(BaseModel):
    documents: list[DocumentSummary]
    refusals: list[Refusal]
    """Refused documents with the reason, listed after the documents on the same pages."""
    next_cursor: str | None


class DocumentText(BaseModel):
    document: DocumentSummary
    start: int
    end: int
    text: str
    """The characters from `start` to `end` of the document, as citations count them."""


@router.post(
    "", status_code=201, responses=responses(504), dependencies=[admit("writes"), Depends(refuse_unknown_fields)]
)
def add(
    file: Annotated[
        UploadFile, File(description="Markdown, HTML, PDF, DOCX, PPTX, XLSX, mail, CSV, JSON or plain text.")
    ],
    caller: Writer,
    runtime: Running,
    *,
    uri: Annotated[
        Name | None, Form(description="The name by which it is replaced and deleted; else the file's.")
    ] = None,
    title: Annotated[Name | None, Form()] = None,
    series: Annotated[Name | None, Form(description="Versions of one document share it.")] = None,
    effective_from: Annotated[date | None, Form()] = None,
    published: Annotated[date | None, Form()] = None,
    groups: Annotated[list[Name] | None, Form(description="Who in the tenant may read it; everyone if absent.")] = None,
    attributes: Annotated[
        str, Form(description='What else is known, to filter by, as a JSON object: {"product": "QL-20"}.')
    ] = "{}",
    shared: Annotated[bool, Form(description="For every tenant; operators only.")] = False,
) -> DocumentSummary:
    """Add a document, or replace the one of the same `uri`. 201 means that it is stored and can be found.

    You can only store what you could read yourself. A document that you may not read is not replaced: two documents
    then share the `uri`.
    """
    name = file_name(file)
    source = Source(
        uri=uri or name,
        tenant=owner(caller, shared=shared),
        groups=frozenset(groups or ()),
        title=title or "",
        media_type=media_type_of(name),
        series=series,
        effective_from=effective_from,
        published=published,
        attributes=_attributes(attributes),
    )
    item = Item(source=source, content=file.file.read(), name=name)
    scope, demand = runtime.system.policy.scope(caller), partial(runtime.demand, "write", caller)
    return DocumentSummary.of(take_in(runtime.system.retrieval.ingestor, item, scope, demand))


@router.post("/retry", responses=responses(504), dependencies=[admit("writes")])
def retry(caller: Writer, runtime: Running) -> IngestReport:
    """Retry your tenant's refused documents that you could read, after a limit was raised or a parser fixed. An
    operator's call includes documents of all tenants. Documents refused again stay listed, with the new reason.
    """
    tenants = [caller.tenant, *([EVERY_TENANT] if "operator" in caller.roles else [])]
    return runtime.system.retrieval.ingestor.retry(*tenants, scope=runtime.system.policy.scope(caller))


@router.get("", responses=responses(), dependencies=[admit("reads")])
def listed(caller: Asker, runtime: Running, pages: Pages) -> DocumentList:
    """List the documents that you may read, by `uri`, followed by the refused ones."""
    ledger, scope = runtime.system.retrieval.ledger, runtime.system.policy.scope(caller)
    entries: list[Document | Refusal] = [*ledger.documents(scope), *ledger.refusals(scope)]
    page, cursor = pages.page(entries, _place)
    return DocumentList(
        documents=[DocumentSummary.of(entry) for entry in page if isinstance(entry, Document)],
        refusals=[entry for entry in page if isinstance(entry, Refusal)],
        next_cursor=cursor,
    )


@router.get("/{document_id}", responses=responses(404), dependencies=[admit("reads")])
def read(
    document_id: DocumentId,
    caller: Asker,
    runtime: Running,
    start: Annotated[int, Query(ge=0)] = 0,
    end: Annotated[int | None, Query(ge=0, description="The whole text if absent.")] = None,
) -> DocumentText:
    """Return a document's text, or the span that a citation names."""
    ledger, scope = runtime.system.retrieval.ledger, runtime.system.policy.scope(caller)
    document, text = ledger.find(document_id), ledger.text(document_id, scope)  # the text alone looks at the scope
    if document is None or text is None:
        raise NotFound(f'No document "{document_id}" that you may read.')
    part = text[start:end]
    return DocumentText(document=DocumentSummary.of(document), start=start, end=start + len(part), text=part)


@router.delete("", status_code=204, responses=responses(404, 409), dependencies=[admit("writes")])
def delete(
    uri: Annotated[Name, Query(examples=["double.md"])],
    caller: Writer,
    runtime: Running,
    *,
    shared: Annotated[bool, Query(description="The one of every tenant; operators only.")] = False,
    document_id: Annotated[
        DocumentId | None, Query(description="Which one, where you may read several of that name.")
    ] = None,
) -> None:
    """Delete a document that you may read, with its earlier versions. Nobody can find any of it afterwards."""
    scope = runtime.system.policy.scope(caller)
    if not runtime.system.retrieval.ingestor.delete(
        uri, owner(caller, shared=shared), scope=scope, document_id=document_id
    ):
        raise NotFound(f'No document "{uri}" of yours. GET /v1/documents lists them.')


def _place(entry: Document | Refusal) -> str:
    if isinstance(entry, Document):
        return f"0 {entry.source.uri} {entry.document_id}"
    return f"1 {entry.uri} {entry.tenant}"


def _attributes(text: str) -> dict[str, Value]:
    check_json(text.encode("utf-8", "surrogatepass"), "attributes")
    try:
        attributes = _ATTRIBUTES.validate_json(text)
    except ValidationError as error:
        raise InvalidRequest(
            f"attributes is no JSON object of texts, numbers and truth values: {error.errors()[0]['msg']}."
        ) from error
    return {key: parse_value(value) for key, value in attributes.items()}


def owner(caller: Principal, *, shared: bool) -> str:
    """Return the tenant that will own what `caller` writes. Raises Forbidden: only operators write for every tenant."""
    if not shared:
        return caller.tenant
    if "operator" not in caller.roles:
        raise Forbidden("Only the role operator writes documents for every tenant.")
    return EVERY_TENANT


def file_name(file: UploadFile) -> str:
    """Return the file's name without folders. Raises InvalidRequest: the upload has no name."""
    name = PurePosixPath((file.filename or "").replace("\\", "/")).name.replace("\0", "")
    if not name:
        raise InvalidRequest("The upload has no file name; its ending says how the file is read.")
    return name
