"""Maintenance of the vector index: checked when it is opened, caught up with the ledger, filled again when in doubt.

The index is a cache: it is repaired from the vectors in the ledger, and nothing is embedded again.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import accumulate

import numpy as np

from foundation.errors import FingerprintMismatch, IndexRebuilding
from foundation.stores.crashpoints import crash_point
from models.contract import Embeddings
from models.embedding import embed, probe
from retrieval.contract import Chunker, DocumentLedger, VectorIndex
from retrieval.documents import Entry, Fingerprint
from retrieval.index.exact_search import ExactIndex

log = logging.getLogger(__name__)

# Readings of an index's token that must all mismatch before it counts as foreign
READINGS = 5
Progress = Callable[[int, int], None]
# Number of chunks that a reindex embeds and commits together
REINDEX_BATCH = 256


def fingerprint_of(use: str, embedder: Embeddings, chunker: Chunker) -> Fingerprint:
    """Return the fingerprint of the configured embedder (`use` is its name in stack.toml) and chunker."""
    vectors = probe(embedder)
    return Fingerprint(embedder=use, dimensions=len(vectors[0]), probe=vectors, chunker=chunker.version)


def open_index(ledger: DocumentLedger, vectors: VectorIndex, fingerprint: Fingerprint) -> None:
    """Bring the vector index up to the ledger. Raises FingerprintMismatch: other parts wrote the ledger."""
    stored = ledger.fingerprint()
    if stored is None or not ledger.chunk_count():
        ledger.set_fingerprint(fingerprint)
    elif difference := stored.differs_from(fingerprint):
        raise FingerprintMismatch(
            f"The ledger was written with embedder {stored.embedder} and chunker {stored.chunker}; configured are "
            f"{fingerprint.embedder} and {fingerprint.chunker}: {difference}. Run make reindex, or set the parts back."
        )
    with _exclusive(vectors, patient=True):  # another process may be filling it from the start
        _catch_up(ledger, vectors)
        at = ledger.sequence()
        differs = vectors.count() != ledger.chunk_count()
        if differs and ledger.sequence() == at == vectors.sequence():  # nobody writes now
            log.warning("The vector index holds %d of %d chunks. It is rebuilt.", vectors.count(), ledger.chunk_count())
            vectors.clear()
            _catch_up(ledger, vectors)


def catch_up(ledger: DocumentLedger, vectors: VectorIndex) -> None:
    """Apply the ledger's changes since the index was last complete. An index with a token unknown to the ledger is
    filled again: it is of another ledger, of a copy that diverged, from before a reindex, or too old.
    """
    # One process at a time, so that none overwrites what another has read later
    with _exclusive(vectors):
        _catch_up(ledger, vectors)


def _exclusive(vectors: VectorIndex, *, patient: bool = False) -> AbstractContextManager[None]:
    lock: Callable[..., AbstractContextManager[None]] | None = getattr(vectors, "exclusive", None)
    return lock(patient=patient) if lock else nullcontext()


def _catch_up(ledger: DocumentLedger, vectors: VectorIndex) -> None:
    target, done = ledger.sequence(), vectors.sequence()
    if done and not _knows(ledger, vectors):
        log.warning("The vector index is not of this ledger as it stands, or is too far behind it. It is filled anew.")
        vectors.clear()
        done = 0
    if target == done:
        return
    # A kill in between loses nothing: the sequence is set last, and both steps can be repeated
    vectors.delete(ledger.deletions(after=done))
    crash_point("mid_index")
    vectors.upsert(ledger.embeddings(after=done))
    crash_point("before_index_sequence")
    vectors.set_sequence(target, ledger.version_token(target) or "")


def _knows(ledger: DocumentLedger, vectors: VectorIndex) -> bool:
    # Another process may change sequence and token between our two reads, so a single mismatch proves nothing
    return any(ledger.version_token(vectors.sequence()) == vectors.version_token() for _ in range(READINGS))


class SameParts:
    """Detects that another process has written to the ledger, or has reindexed it with other parts, while this one runs."""

    def __init__(self, ledger: DocumentLedger, fingerprint: Fingerprint, vectors: VectorIndex) -> None:
        self._ledger, self._fingerprint, self._vectors = ledger, fingerprint, vectors
        self._seen = -1

    def check(self) -> None:
        """Raises IndexRebuilding: the ledger's fingerprint is another one now."""
        now = self._ledger.sequence()
        if now == self._seen:  # the fingerprint is read only when the ledger has changed
            return
        stored = self._ledger.fingerprint()
        if stored and (difference := stored.differs_from(self._fingerprint)):
            raise IndexRebuilding(
                f"The ledger was reindexed with embedder {stored.embedder} and chunker {stored.chunker} while this process "
                f"runs with {self._fingerprint.embedder} and {self._fingerprint.chunker}: {difference}. Start it again."
            )
        if isinstance(self._vectors, ExactIndex):  # in the memory of this process, which alone can fill it
            catch_up(self._ledger, self._vectors)
        self._seen = now


def reindex(
    ledger: DocumentLedger,
    *,
    embedder: Embeddings,
    chunker: Chunker,
    fingerprint: Fingerprint,
    progress: Progress = lambda *_: None,
) -> int:
    """Cut and embed every stored document again in a second ledger, which replaces the present documents at the end; nothing
    is parsed again. Meanwhile the old ones are served, and may change. Stopped at any moment, even by a kill, it resumes
    when called again with the same fingerprint. `progress` gets old passages done, and all. Return the documents embedded.
    """
    second = ledger.open_second()
    started = second.fingerprint()
    if started is None or started.differs_from(fingerprint):
        second.close()
        second = ledger.open_second(fresh=True)
        second.set_fingerprint(fingerprint)
    embedded = 0
    try:
        while True:
            at = ledger.sequence()
            embedded += _fill(second, ledger, chunker, embedder, progress)
            crash_point("before_adopt")
            if ledger.adopt(second, at=at):
                return embedded
    finally:
        second.close()


def _fill(
    second: DocumentLedger, ledger: DocumentLedger, chunker: Chunker, embedder: Embeddings, progress: Progress
) -> int:
    of, present, batch, done, embedded = ledger.chunk_count(), set[str](), list[Entry](), 0, 0

    def store() -> int:
        # in one call, since a model is fastest on full batches
        vectors = embed(embedder, [chunk.indexed_text for entry in batch for chunk in entry.chunks])
        rows = np.split(vectors, list(accumulate(len(entry.chunks) for entry in batch)))[:-1]
        second.put([replace(entry, vectors=own) for entry, own in zip(batch, rows, strict=True)])
        count = len(batch)
        batch.clear()
        progress(done, max(of, done))
        return count

    for entry in ledger.entries():
        key = entry.source.document_id
        present.add(key)
        done += len(entry.chunks)
        stored = second.find(key)
        if stored is not None and stored.holds(entry):
            continue
        batch.append(replace(entry, chunks=chunker.chunk(entry.parsed, key)))  # and still its old vectors
        if sum(len(queued.chunks) for queued in batch) >= REINDEX_BATCH:
            embedded += store()
    embedded += store()
    for key in {entry.source.document_id for entry in second.entries()} - present:
        second.delete(key)
    return embedded
