"""Maintenance of the vector index: opened only if sound, caught up with the ledger, rebuilt when in doubt.

The index is a cache: it is repaired from the vectors in the ledger, and nothing is embedded again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from foundation.errors import FingerprintMismatch, IndexRebuilding, StorageFull, StoreUnavailable
from foundation.stores.crashpoints import crash_point
from foundation.stores.full_disk import room_at
from models.contract import Embeddings
from models.embedding import embed, probe
from retrieval.contract import Chunk, Chunker, DocumentLedger, Entry, Fingerprint, SharedIndex, VectorIndex, Vectors

log = logging.getLogger(__name__)

# The folder of the layers, from which a child process imports them wherever it is started
ROOT = Path(__file__).resolve().parents[2]
# Seconds that a probe may take for its imports, on a busy machine, and then for reading
BEGIN_S, PROBE_S = 300, 60
# The line that a probe prints after its imports, before it reads
PROBING = "probing\n"
BLOCK = 1 << 20
# Bytes up to which a file is never taken for hollow
HOLLOW = 16 << 20
# Readings of an index's stamp that must all mismatch before it counts as foreign
READINGS = 5
# Number of chunks that are embedded and committed together
REINDEX_BATCH = 256


class Seal:
    """A checksum of an index folder, written when it is closed properly and deleted while it is open."""

    def __init__(self, path: Path, folder: Path) -> None:
        self._path, self._folder = path, folder

    def write(self) -> None:
        """Write the checksum, atomically: half a one would look like a damaged index."""
        # A hollow index gets none, so that it is probed at the next start
        if not hollow(self._folder):
            new = self._path.with_suffix(".new")
            new.write_text(self._digest(), encoding="ascii")
            new.replace(self._path)

    def break_(self) -> None:
        self._path.unlink(missing_ok=True)

    def intact(self) -> bool | None:
        """Whether the folder is unchanged since; `None`: there is no checksum, so the last owner did not close properly."""
        try:
            digest = self._path.read_text(encoding="ascii").rpartition("\n")[2]
        except FileNotFoundError:
            return None
        return not hollow(self._folder) and digest == self._digest()

    def _digest(self) -> str:
        digest = hashlib.blake2b()
        for file in _files(self._folder):
            digest.update(str(file.relative_to(self._folder)).encode())
            with file.open("rb") as content:
                while block := content.read(BLOCK):
                    digest.update(block)
        return digest.hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def hollow(folder: Path) -> bool:
    """Whether a file is far larger than its blocks on disk. A damaged graph can claim more than the disk holds, and
    would take hours to read.
    """
    states = [file.stat() for file in _files(folder)]
    return any(state.st_size > HOLLOW and state.st_blocks * 512 < state.st_size / 2 for state in states)


def keep_or_quarantine(folder: Path, seal: Seal, *, probe: Sequence[str]) -> bool:
    """Make sure that `folder` may be opened: by an intact seal, or a child process (`probe`) that survives reading it; else
    move it to `quarantine-<time>`. Return whether the seal is intact; the caller must break it before opening the folder.

    Raises StoreUnavailable: the probe ended before it said `PROBING`. StorageFull: the folder cannot be read, and there
    is no room for another; a full disk can make a sound index unreadable. It stays in both cases.
    """
    if not folder.exists():
        seal.break_()
        folder.mkdir(parents=True)
        return False
    intact = seal.intact()
    if intact is False or (intact is None and (hollow(folder) or not _survives(probe))):
        # The latest is enough to find the cause, and several would fill the disk
        for earlier in folder.parent.glob("quarantine-*"):
            shutil.rmtree(earlier, ignore_errors=True)
        _demand_room(folder)
        aside = folder.with_name(f"quarantine-{time.time_ns()}")
        folder.rename(aside)
        log.warning("The vector index is damaged. It was moved to %s and is rebuilt from the ledger.", aside)
        seal.break_()
        folder.mkdir()
    return bool(intact)


def _demand_room(folder: Path) -> None:
    needed = max(BLOCK, sum(file.stat().st_blocks * 512 for file in _files(folder)))
    if (free := room_at(folder)) < needed:
        raise StorageFull(
            f"The vector index {folder} cannot be read, and its disk has only {free / 1e6:.1f} MB left; to fill it anew takes "
            f"{needed / 1e6:.1f} MB. Free some space first, then start again. Nothing is lost, and the index was left as it is."
        )


def _survives(probe: Sequence[str]) -> bool:
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(probe, stdout=subprocess.PIPE, stderr=errors, env=os.environ | {"PYTHONPATH": paths}) as child,
    ):
        assert child.stdout
        watch = threading.Timer(BEGIN_S, child.kill)
        watch.start()
        began = child.stdout.readline() == PROBING.encode()
        watch.cancel()
        with suppress(subprocess.TimeoutExpired):
            child.communicate(timeout=PROBE_S)
        child.kill()  # if it is still at it
        survived = child.wait() == 0
        errors.seek(0)
        complained = errors.read().decode(errors="replace").strip().splitlines()
    if not survived and not began:
        cause = (complained or ["it said nothing"])[-1]
        raise StoreUnavailable(
            f"The vector index was not closed in order, and the process that should check it could not begin: {cause}. "
            f"The index was left as it is. Remove the cause and start again."
        )
    return survived


def fingerprint_of(use: str, embedder: Embeddings, chunker: Chunker) -> Fingerprint:
    """Return the fingerprint of the configured embedder (`use` is its name in stack.toml) and chunker."""
    vectors = probe(embedder)
    return Fingerprint(embedder=use, dimensions=len(vectors[0]), probe=vectors, chunker=chunker.version)


def open_index(ledger: DocumentLedger, vectors: VectorIndex, fingerprint: Fingerprint) -> None:
    """Check the fingerprint of the ledger, and bring the vector index up to it. Raises FingerprintMismatch: another
    embedder or chunker wrote the ledger; the text names both sides.
    """
    stored = ledger.fingerprint()
    if stored is None or not ledger.chunk_count():
        ledger.set_fingerprint(fingerprint)
    elif difference := stored.differs_from(fingerprint):
        raise FingerprintMismatch(
            f"The ledger was written with embedder {stored.embedder} and chunker {stored.chunker}; configured are "
            f"{fingerprint.embedder} and {fingerprint.chunker}: {difference}. Old and new vectors cannot be compared. "
            f"Run make reindex, or set the parts back."
        )
    with _alone(vectors, patient=True):  # another process may be filling it from the start
        _catch_up(ledger, vectors)
        at = ledger.sequence()
        differs = vectors.count() != ledger.chunk_count()
        if differs and ledger.sequence() == at == vectors.sequence():  # nobody writes now
            log.warning("The vector index holds %d of %d chunks. It is rebuilt.", vectors.count(), ledger.chunk_count())
            vectors.clear()
            _catch_up(ledger, vectors)


def catch_up(ledger: DocumentLedger, vectors: VectorIndex) -> None:
    """Apply the ledger's changes since the index was last complete. An index with a stamp that the ledger does not know is
    filled anew: it is of another ledger, of a copy that diverged, from before a reindex, or too old.
    """
    # One process at a time, so that none overwrites what another has read later
    with _alone(vectors):
        _catch_up(ledger, vectors)


def _alone(vectors: VectorIndex, *, patient: bool = False) -> AbstractContextManager[None]:
    return vectors.alone(patient=patient) if isinstance(vectors, SharedIndex) else nullcontext()


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
    vectors.set_sequence(target, ledger.stamp(target) or "")


def _knows(ledger: DocumentLedger, vectors: VectorIndex) -> bool:
    # Another process may change sequence and stamp between our two reads, so a single mismatch proves nothing
    return any(ledger.stamp(vectors.sequence()) == vectors.stamp() for _ in range(READINGS))


@dataclass(frozen=True, slots=True)
class Reindexed:
    """Documents that a reindex cut and embedded, each time if they changed meanwhile, and those that an earlier, stopped
    run had finished (`kept`).
    """

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


class SameParts:
    """Detects that the ledger was reindexed with other parts while this process runs, so that its vectors and ours
    cannot be compared. It reads the fingerprint only when the ledger has changed.
    """

    def __init__(self, ledger: DocumentLedger, fingerprint: Fingerprint) -> None:
        self._ledger, self._fingerprint = ledger, fingerprint
        self._seen = -1

    def check(self) -> None:
        """Raises IndexRebuilding: the ledger's fingerprint is another one now."""
        now = self._ledger.sequence()
        if now == self._seen:
            return
        stored = self._ledger.fingerprint()
        if stored and (difference := stored.differs_from(self._fingerprint)):
            raise IndexRebuilding(
                f"The ledger was reindexed with embedder {stored.embedder} and chunker {stored.chunker} while this process "
                f"runs with {self._fingerprint.embedder} and {self._fingerprint.chunker}: {difference}. Start it again "
                f"with the new configuration."
            )
        self._seen = now


def embed_chunks(embedder: Embeddings, documents: Sequence[Sequence[Chunk]]) -> list[Vectors]:
    """Return the vectors of each document's chunks, embedded in one call, since a model is fastest on full batches."""
    vectors = embed(embedder, [chunk.indexed_text for chunks in documents for chunk in chunks])
    ends = list(accumulate(len(chunks) for chunks in documents))
    return [vectors[end - len(chunks) : end] for end, chunks in zip(ends, documents, strict=True)]
