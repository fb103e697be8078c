"""What a document said on earlier days: a replaced text is kept as a dated version of the same series.

The version in force keeps the document's name; an earlier one has its day behind it, `policy.md@2025-03-14`. What was stored
and replaced on one day leaves no version: days are what one can ask about. An earlier version has the access rights that the
document has now, and goes when the document is deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from retrieval.contract import Document, DocumentLedger, Entry, Source
from retrieval.sections import chunk_id


def with_history(ledger: DocumentLedger, new: Entry, today: date) -> list[Entry]:
    """What is to be put in one transaction so that `new` replaces what is stored under its name: itself, with the day from
    which on it is in force, and the earlier versions that change with it."""
    uri, tenant = new.source.uri, new.source.tenant
    known = ledger.find(uri, tenant)
    stored = ledger.entry(uri, tenant) if known else None
    if known is None or stored is None:
        return [new]
    since = known.source.effective_from or known.ingested_at.date()
    begins = new.source.effective_from or today
    earlier = versions(ledger, known)
    superseded = stored.parsed.text != new.parsed.text and since < begins
    if not superseded and not earlier:
        return [new]
    if not superseded:  # the same text, or a correction within a day: it is in force as long as before
        begins = new.source.effective_from or since
    new = replace(new, source=replace(new.source, series=new.source.series or uri, effective_from=begins))
    kept = [_version(stored, new.source, since)] if superseded else []
    return [*kept, *_aligned(ledger, earlier, new.source), new]


def versions(ledger: DocumentLedger, document: Document) -> list[Document]:
    """The earlier versions of a document that were kept when it was replaced."""
    source = document.source
    series = ledger.stored(source.tenant, series=source.series) if source.series else []
    return [one for one in series if one.source.uri.startswith(f"{source.uri}@")]


def _version(stored: Entry, now: Source, since: date) -> Entry:
    """The stored text under a name of its own. Its hash is that of no offer, so that an offer of that name is taken."""
    source = replace(_as_now(stored.source, now), uri=f"{now.uri}@{since}", effective_from=since, origin="")
    chunks = [
        replace(one, document_id=source.document_id, chunk_id=chunk_id(source.document_id, one.position, one.text))
        for one in stored.chunks
    ]
    return replace(stored, source=source, chunks=chunks, content_hash=f"version {stored.content_hash}")


def _aligned(ledger: DocumentLedger, earlier: Sequence[Document], now: Source) -> list[Entry]:
    """Those whose rights, class or series are no longer those of the document, put right."""
    wrong = [one.source for one in earlier if one.source != _as_now(one.source, now)]
    entries = [ledger.entry(one.uri, one.tenant) for one in wrong]
    return [replace(one, source=_as_now(one.source, now)) for one in entries if one]


def _as_now(version: Source, now: Source) -> Source:
    """Who may read a document may read what it said, and nobody else: its groups, and its class among the attributes."""
    return replace(version, groups=now.groups, attributes=dict(now.attributes), series=now.series)
