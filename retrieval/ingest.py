"""Documents into the ledger: parse, cut, embed, commit; then the vector index catches up.

Embedding takes nearly all of the time, so the passages of many documents are embedded together. A document is
acknowledged when its ledger transaction has committed; the index follows and may fail without losing anything.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from foundation.clock import Clock
from foundation.crashpoints import crash_point
from foundation.errors import ComponentError, Conflict, DocumentRefused
from models.contract import Embeddings
from retrieval.contract import Chunk, Chunker, Document, DocumentLedger, Entry, Parsed, Refusal, Source, VectorIndex
from retrieval.index_care import SameParts, catch_up, embed_chunks

if TYPE_CHECKING:
    from retrieval.refused import RefusedFiles

log = logging.getLogger(__name__)

BATCH = 256
"""Passages that are embedded and committed together."""


@dataclass(frozen=True, slots=True)
class Item:
    """A document as it arrives. The suffix of `name` chooses the parser."""

    source: Source
    content: bytes
    name: str


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of the items; each of them is in exactly one of the first four."""

    added: int
    replaced: int
    unchanged: int
    refused: tuple[Refusal, ...]
    chunks: int
    """Passages written."""
    embedded: int
    """Passages embedded."""
    seconds: float


@dataclass
class _Pending:
    item: Item
    content_hash: str
    parsed: Parsed
    chunks: list[Chunk]
    new: bool


@dataclass
class _Tally:
    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    chunks: int = 0
    refused: list[Refusal] = field(default_factory=list)


class Ingestor:
    """Adds, replaces and deletes documents. Safe to share between threads: they parse and embed side by side, and
    commit one after the other."""

    def __init__(
        self,
        *,
        ledger: DocumentLedger,
        vectors: VectorIndex,
        embedder: Embeddings,
        chunker: Chunker,
        parse: Callable[[bytes, str], Parsed],
        clock: Clock,
        refused: RefusedFiles | None = None,
        same_parts: SameParts | None = None,
    ) -> None:
        """`refused` keeps what is refused for `retry`; without it that is sent again by whoever has it."""
        self._ledger, self._vectors, self._embedder = ledger, vectors, embedder
        self._same_parts = same_parts
        self._chunker, self._parse, self._clock = chunker, parse, clock
        self._refused = refused
        self._committing = threading.Lock()

    def ingest(self, items: Iterable[Item], *, progress: Callable[[int], None] | None = None) -> IngestReport:
        """Take every item. A document that cannot be taken is recorded with its reason and stops none of the others.

        `progress` is told how many items are done.

        Raises:
            ComponentError: the embedder or the ledger failed. What was committed before stays; nothing is half-written.
        """
        begun, tally = self._clock.monotonic_s(), _Tally()
        pending: dict[str, _Pending] = {}
        for done, item in enumerate(items, start=1):
            if item.source.document_id in pending:  # the same name twice: the later one replaces the earlier one
                self._commit(pending, tally)
            self._prepare(item, pending, tally)
            if sum(len(each.chunks) for each in pending.values()) >= BATCH:
                self._commit(pending, tally)
            if progress:
                progress(done)
        self._commit(pending, tally)
        return IngestReport(
            added=tally.added,
            replaced=tally.replaced,
            unchanged=tally.unchanged,
            refused=tuple(tally.refused),
            chunks=tally.chunks,
            embedded=tally.chunks,
            seconds=self._clock.monotonic_s() - begun,
        )

    def ingest_one(self, item: Item) -> Document:
        """Take one document.

        Raises:
            DocumentRefused: it cannot be taken; the refusal has been recorded.
            ComponentError: the embedder or the ledger failed; nothing has been stored.
        """
        report = self.ingest([item])
        if report.refused:
            refusal = report.refused[0]
            raise DocumentRefused(refusal.message, reason=refusal.reason)
        stored = self._ledger.find(item.source.uri, item.source.tenant)
        if stored is None:
            raise Conflict(f"{item.source.uri} was deleted by somebody else just after it was stored. Add it again.")
        return stored

    def retry(self, *tenants: str, progress: Callable[[int], None] | None = None) -> IngestReport:
        """Try the refused documents of these tenants again, as they were offered.

        Raises:
            As `ingest`.
        """
        return self.ingest(self._refused.items(*tenants) if self._refused else (), progress=progress)

    def delete(self, uri: str, tenant: str) -> bool:
        """Whether there was such a document. Afterwards nobody finds it."""
        with self._committing:
            gone = self._ledger.delete(uri, tenant)
            crash_point("after_commit")
            self._follow()
        self._forget(Source(uri, tenant))
        return gone

    def _prepare(self, item: Item, pending: dict[str, _Pending], tally: _Tally) -> None:
        digest = _content_hash(item)
        known = self._ledger.find(item.source.uri, item.source.tenant)
        if known is not None and known.content_hash == digest:
            tally.unchanged += 1
            return
        try:
            parsed = self._parse(item.content, item.name)
            parsed = replace(parsed, title=item.source.title or parsed.title)
            chunks = self._chunked(item, parsed)
        except DocumentRefused as error:
            refusal = Refusal(item.source.uri, item.source.tenant, error.reason, str(error), self._clock.now())
            self._ledger.refuse(refusal)
            tally.refused.append(refusal)
            if self._refused:
                self._refused.keep(item)
            return
        pending[item.source.document_id] = _Pending(item, digest, parsed, chunks, new=known is None)

    def _chunked(self, item: Item, parsed: Parsed) -> list[Chunk]:
        chunks = self._chunker.chunk(parsed, item.source.document_id)
        if not chunks:
            raise DocumentRefused(
                f"{item.name} holds no text. Is it a scan? Run it through text recognition.", reason="empty"
            )
        return chunks

    def _commit(self, pending: dict[str, _Pending], tally: _Tally) -> None:
        documents = list(pending.values())
        vectors = embed_chunks(self._embedder, [each.chunks for each in documents])
        entries = [
            Entry(_described(each), each.content_hash, each.parsed, each.chunks, rows)
            for each, rows in zip(documents, vectors, strict=True)
        ]
        with self._committing:
            if self._same_parts:
                self._same_parts.check()
            if entries:
                self._ledger.put(entries)
            crash_point("after_commit")
            self._follow()
        tally.added += sum(each.new for each in documents)
        tally.replaced += sum(not each.new for each in documents)
        tally.chunks += sum(len(each.chunks) for each in documents)
        for each in documents:
            self._forget(each.item.source)
        pending.clear()

    def _forget(self, source: Source) -> None:
        if self._refused:
            self._refused.forget(source)

    def _follow(self) -> None:
        """Bring the index up to the ledger. When it cannot, the commit stands: the index is behind, which readiness
        shows, keyword search finds the document already, and the next commit or start makes up for it."""
        try:
            catch_up(self._ledger, self._vectors)
        except ComponentError as error:
            log.warning("The vector index could not follow the ledger; it will be tried again. %s", error)


def _described(pending: _Pending) -> Source:
    source = pending.item.source
    return source if source.title else replace(source, title=pending.parsed.title or source.uri)


def _content_hash(item: Item) -> str:
    """Of the bytes and of everything that is known about them: new access rights are a change, too."""
    source = asdict(item.source) | {"groups": sorted(item.source.groups)}
    digest = hashlib.blake2b(item.content, digest_size=32)
    digest.update(json.dumps(source, default=str, sort_keys=True).encode())
    digest.update(item.name.encode(errors="surrogatepass"))
    return digest.hexdigest()
