"""Reindexing: every stored document is cut and embedded anew, in a second ledger that replaces the present documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from foundation.stores.crashpoints import crash_point
from models.contract import Embeddings
from models.embedding import embed
from retrieval.contract import Chunker, DocumentLedger
from retrieval.documents import Chunk, Entry, Fingerprint, Vectors

# Number of chunks that are embedded and committed together
REINDEX_BATCH = 256


@dataclass(frozen=True, slots=True)
class Reindexed:
    """Documents that a reindex cut and embedded, and those that an earlier, stopped run had finished (`kept`)."""

    documents: int
    kept: int


def reindex(
    ledger: DocumentLedger,
    *,
    embedder: Embeddings,
    chunker: Chunker,
    fingerprint: Fingerprint,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Reindexed:
    """Cut and embed every stored document anew in a second ledger, which replaces the present documents at the end; nothing
    is parsed again. Meanwhile the old ones are served, and may change. Stopped at any moment, even by a kill, it resumes
    when called again with the same fingerprint. `progress` gets the number of old passages done, and their total.
    """
    beside = ledger.beside()
    started = beside.fingerprint()
    if started is None or started.differs_from(fingerprint):
        beside.close()
        beside = ledger.beside(fresh=True)
        beside.set_fingerprint(fingerprint)
    building = _Building(beside, chunker, embedder, progress)
    try:
        while True:
            at = ledger.sequence()
            building.go_through(ledger.entries(), of=ledger.chunk_count())
            crash_point("before_adopt")
            if ledger.adopt(beside, at=at):
                return Reindexed(building.documents, building.kept)
    finally:
        beside.close()


class _Building:
    def __init__(
        self, beside: DocumentLedger, chunker: Chunker, embedder: Embeddings, progress: Callable[[int, int], None]
    ) -> None:
        self._beside, self._chunker, self._embedder, self._progress = beside, chunker, embedder, progress
        # Ids of documents that this run has seen
        self._through: set[str] = set()
        self.documents = self.kept = 0

    def go_through(self, entries: Iterable[Entry], *, of: int) -> None:
        batch: list[Entry] = []
        present: set[str] = set()
        done = 0
        for entry in entries:
            key = entry.source.document_id
            present.add(key)
            done += len(entry.chunks)
            stored = self._beside.find(key)
            if same := stored is not None and stored.holds(entry):
                self.kept += key not in self._through
            self._through.add(key)
            if same:
                continue
            chunks = self._chunker.chunk(entry.parsed, key)
            batch.append(replace(entry, chunks=chunks))  # and still its old vectors
            if sum(len(queued.chunks) for queued in batch) >= REINDEX_BATCH:
                self._store(batch)
                batch = []
                self._progress(done, max(of, done))
        self._store(batch)
        self._progress(done, max(of, done))
        for key in {entry.source.document_id for entry in self._beside.entries()} - present:
            self._beside.delete(key)

    def _store(self, batch: Sequence[Entry]) -> None:
        vectors = embed_chunks(self._embedder, [entry.chunks for entry in batch])
        self._beside.put([replace(entry, vectors=rows) for entry, rows in zip(batch, vectors, strict=True)])
        self.documents += len(batch)


def embed_chunks(embedder: Embeddings, documents: Sequence[Sequence[Chunk]]) -> list[Vectors]:
    """Return the vectors of each document's chunks, embedded in one call, since a model is fastest on full batches."""
    vectors = embed(embedder, [chunk.indexed_text for chunks in documents for chunk in chunks])
    ends = list(accumulate(len(chunks) for chunks in documents))
    return [vectors[end - len(chunks) : end] for end, chunks in zip(ends, documents, strict=True)]
