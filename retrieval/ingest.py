"""Documents into the ledger: parse, cut, embed, commit; then the vector index catches up.

Embedding takes nearly all of the time, so the passages of many documents are embedded together, the embedder never waits
for the disk, and a passage that is stored already is not embedded again. A document is acknowledged when its ledger
transaction has committed; the index follows and may fail without losing anything.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Self

import numpy as np

from foundation.clock import Clock
from foundation.crashpoints import crash_point
from foundation.errors import ComponentError, Conflict, DocumentRefused
from models.contract import Embeddings
from models.embedding import embed
from retrieval.contract import (
    Chunk,
    Chunker,
    Document,
    DocumentLedger,
    Entry,
    Parsed,
    Refusal,
    Source,
    VectorIndex,
    Vectors,
)
from retrieval.index_care import SameParts, catch_up

if TYPE_CHECKING:
    from retrieval.refused import RefusedFiles

log = logging.getLogger(__name__)

BATCH = 256
"""Passages that are embedded and committed together."""
UNDER_WAY = 2
"""Batches between preparing and committed: one is committed while the next is embedded, and so few documents are held at a
time, however many come."""


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
    """Passages embedded; the others were stored already, in an earlier version or under another name."""
    seconds: float


@dataclass
class _Pending:
    item: Item
    content_hash: str
    parsed: Parsed
    chunks: list[Chunk]
    new: bool


@dataclass(frozen=True, slots=True)
class _Embedded:
    vectors: Sequence[Vectors]
    """Of each document, in the order of its chunks."""
    texts: int
    """How many the embedder was given."""


@dataclass
class _Tally:
    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    chunks: int = 0
    embedded: int = 0
    refused: list[Refusal] = field(default_factory=list)

    def committed(self, documents: Sequence[_Pending], embedded: int) -> None:
        self.added += sum(each.new for each in documents)
        self.replaced += sum(not each.new for each in documents)
        self.chunks += sum(len(each.chunks) for each in documents)
        self.embedded += embedded


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
        with _Line(self._embed, self._commit, tally) as line:
            for done, item in enumerate(items, start=1):
                key = item.source.document_id
                if key in pending or line.carries(key):  # the same name twice: the later one replaces the earlier one
                    line.send(pending)
                    line.arrive()
                    pending = {}
                self._prepare(item, pending, tally)
                if sum(len(each.chunks) for each in pending.values()) >= BATCH:
                    line.send(pending)
                    pending = {}
                if progress:
                    progress(done)
            line.send(pending, last=True)
        return IngestReport(
            added=tally.added,
            replaced=tally.replaced,
            unchanged=tally.unchanged,
            refused=tuple(tally.refused),
            chunks=tally.chunks,
            embedded=tally.embedded,
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

    def _embed(self, documents: Sequence[_Pending]) -> _Embedded:
        """Each text once, and none of which its tenant has a vector already. That those are of this embedder is made sure
        when the system opens, and by `same_parts` before anything is committed."""
        passages = [[(each.item.source.tenant, chunk.indexed_text) for chunk in each.chunks] for each in documents]
        by_tenant: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for tenant, text in chain.from_iterable(passages):
            by_tenant[tenant][text] = None
        known = {
            (tenant, text): vector
            for tenant, texts in by_tenant.items()
            for text, vector in self._ledger.known_vectors(texts, tenant).items()
        }
        new = list(dict.fromkeys(each[1] for each in chain.from_iterable(passages) if each not in known))
        made = dict(zip(new, embed(self._embedder, new), strict=True))
        rows = [np.stack([known[each] if each in known else made[each[1]] for each in own]) for own in passages]
        return _Embedded(rows, len(new))

    def _commit(self, documents: Sequence[_Pending], vectors: Sequence[Vectors]) -> None:
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
        for each in documents:
            self._forget(each.item.source)

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


class _Line:
    """Batches on their way, one behind the other: while one is committed the next is embedded, and the caller prepares a
    third. Both run in threads of their own only where there is more than one batch."""

    def __init__(
        self,
        embed: Callable[[Sequence[_Pending]], _Embedded],
        commit: Callable[[Sequence[_Pending], Sequence[Vectors]], None],
        tally: _Tally,
    ) -> None:
        self._embed, self._commit, self._tally = embed, commit, tally
        self._embedding = ThreadPoolExecutor(1, "ingest-embed")
        self._committing = ThreadPoolExecutor(1, "ingest-commit")
        self._under_way: deque[tuple[dict[str, _Pending], Future[int]]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """What has begun ends as it would have; after a failure nothing else is begun."""
        for pool in (self._embedding, self._committing):
            pool.shutdown(cancel_futures=True)

    def carries(self, document_id: str) -> bool:
        """Whether the document is on its way, so that the ledger does not know yet what it will hold."""
        return any(document_id in batch for batch, _ in self._under_way)

    def send(self, batch: dict[str, _Pending], *, last: bool = False) -> None:
        """Take a batch, which nobody changes afterwards, as soon as there is room; the last one is waited for.

        Raises:
            ComponentError: an earlier batch failed, or with `last` this one.
        """
        documents = list(batch.values())
        if last and not self._under_way:
            embedded = self._embed(documents)
            self._commit(documents, embedded.vectors)
            self._tally.committed(documents, embedded.texts)
            return
        while len(self._under_way) >= UNDER_WAY:
            self._arrived()
        vectors = self._embedding.submit(copy_context().run, self._embed, documents)
        committed = self._committing.submit(copy_context().run, self._committed, documents, vectors)
        self._under_way.append((batch, committed))
        if last:
            self.arrive()

    def arrive(self) -> None:
        """Wait for all that is on its way. Raises as `send`."""
        while self._under_way:
            self._arrived()

    def _arrived(self) -> None:
        batch, committed = self._under_way.popleft()
        self._tally.committed(list(batch.values()), committed.result())

    def _committed(self, documents: Sequence[_Pending], embedding: Future[_Embedded]) -> int:
        """How many texts were embedded for it."""
        embedded = embedding.result()
        self._commit(documents, embedded.vectors)
        return embedded.texts


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
