"""Replacement of documents, and their history: a replaced text is kept as a dated version.

An offer replaces the document with its name and readers, else the only one with its name that the writer may read.
Documents that the writer may not read are left alone, so that two may share a name.

The version in force keeps the document's name; an earlier one is named with its day, `policy.md@2025-03-14`. A text
stored and replaced on one day leaves no version, since questions ask about days. Earlier versions are deleted with the
document, and are read by those who may read both that version and the document now.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import date

from foundation.errors import DocumentRefused
from foundation.types import BOTH, NOBODY, UNCLASSIFIED, Scope
from retrieval.contract import DocumentLedger
from retrieval.documents import DATA_CLASS, Document, Entry, Source
from retrieval.tables.row_codec import VERSION

# Reason of a refusal: several documents have the offer's name
AMBIGUOUS = "ambiguous"


def find_replaced(ledger: DocumentLedger, offer: Source, scope: Scope | None) -> Document | None:
    """Return the document that a writer's offer replaces; `None`: it is new. Raises DocumentRefused: several are."""
    if same := ledger.find(offer.document_id):  # it has the same readers, so it needs no check
        return same
    others = readable(ledger, offer.tenant, offer.uri, scope)
    if len(others) > 1:
        sources = (document.source for document in others)
        whose = "; ".join(sorted(f"{', '.join(sorted(it.groups)) or 'everybody'}, {it.data_class}" for it in sources))
        raise DocumentRefused(
            f"{len(others)} documents that you may read are named {offer.uri} ({whose}), and none has the groups and the "
            "class of this one, so it is not clear which it replaces. Send it as one of those, or delete what is to go.",
            reason=AMBIGUOUS,
        )
    return others[0] if others else None


def readable(ledger: DocumentLedger, tenant: str, uri: str, scope: Scope | None) -> list[Document]:
    """Return the tenant's documents with that name that `scope` may read."""
    return [document for document in ledger.documents_where(tenant, uri=uri) if document.source.is_readable(scope)]


def replace_document(
    ledger: DocumentLedger, new: Entry, replaced: Document, today: date, *, keep: bool
) -> tuple[list[Entry], list[str]]:
    """Return the entries that put `new` in place of a document, which with `keep` becomes an earlier version of it, and the
    ids of stored documents that they replace under another id.
    """
    gone = {replaced.document_id}
    stored = ledger.entry(replaced.document_id)
    since = replaced.source.effective_from or replaced.ingested_at.date()
    begins = new.source.effective_from or today
    earlier = versions(ledger, replaced)
    superseded = stored is not None and keep and stored.parsed.text != new.parsed.text and since < begins
    entries = []
    if superseded or earlier:
        if not superseded:  # the same text, or a correction within a day: it is in force as long as before
            begins = new.source.effective_from or since
        series = new.source.series or new.source.uri
        new = replace(new, source=replace(new.source, series=series, effective_from=begins))
        changed = [version for version in earlier if version.source != _as_earlier(version.source, new.source)]
        gone |= {version.document_id for version in changed}
        moved = [(ledger.entry(version.document_id), _as_earlier(version.source, new.source)) for version in changed]
        if superseded and stored is not None:
            version = replace(stored, content_hash=f"{VERSION}{stored.content_hash}")  # that of no offer
            about, name = _as_earlier(stored.source, new.source), f"{new.source.uri}@{since}"
            moved.append((version, replace(about, uri=name, effective_from=since, origin="")))
        own = {version.document_id for version in earlier}
        entries += [entry.under(_free(ledger, source, own)) for entry, source in moved if entry]
    entries.append(new)
    return entries, sorted(gone - {entry.source.document_id for entry in entries})


def versions(ledger: DocumentLedger, document: Document) -> list[Document]:
    """Return the kept earlier versions of a document. No scope is applied."""
    return ledger.documents_where(document.source.tenant, version_of=document.document_id)


def _free(ledger: DocumentLedger, source: Source, own: Collection[str]) -> Source:
    # Two documents may share a name and a day
    while source.document_id not in own and ledger.find(source.document_id):
        source = replace(source, uri=f"{source.uri}+")
    return source


def _as_earlier(version: Source, now: Source) -> Source:
    data_class = BOTH.join(sorted({*version.data_class.split(BOTH), *now.data_class.split(BOTH)}))
    attributes = {key: value for key, value in now.attributes.items() if key != DATA_CLASS}
    if data_class != UNCLASSIFIED:
        attributes[DATA_CLASS] = data_class
    groups = version.groups or now.groups  # no group means everybody, so no common group needs NOBODY
    if version.groups and now.groups:
        groups = version.groups & now.groups or frozenset({NOBODY})
    return replace(version, groups=groups, attributes=attributes, series=now.series, version_of=now.document_id)
