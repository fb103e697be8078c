"""Chroma, embedded, as a cache of the ledger's vectors.

Measured with 1.5.9: a kill in the middle of a write can leave files that crash whoever reads them, and two writers lose
vectors without an error. So one process owns the folder, it is probed in a child process before it is opened (unless
its seal says that nothing changed since it was closed), and a damaged one is put aside; the ledger fills a new one.
How the vectors stand in it: `retrieval/index/chroma_collections.py`.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from foundation.components import Context
from foundation.errors import SixplyError, StorageFull, StoreUnavailable
from foundation.stores.full_disk import room_at
from foundation.stores.registry import Store
from foundation.types import Scope
from retrieval.contract import DOCUMENTS_STAY, VectorItem, Vectors
from retrieval.filters import Where, simplify
from retrieval.index.chroma_collections import PAGE, Collections, Options, is_plain, list_shelves, open_client
from retrieval.index.closed_snapshot import FILE, Snapshot
from retrieval.index.lock import Ownership
from retrieval.index.maintenance import BLOCK, PROBING, Seal, keep_or_quarantine

_SAMPLED = 20
"""The probe searches for one vector in so many."""


class ChromaVectorIndex:
    """See `retrieval.contract.VectorIndex`.

    An index of small shelves that was closed in order is asleep at first: searches without a filter read its snapshot, and
    Chroma, whose import takes longer than anything else at a start, is not opened until something else is asked for.
    """

    def __init__(self, folder: Path, options: Options) -> None:
        """Raises:
        StoreInUse: another process owns the folder.
        """
        self._options = options
        self._store = folder / "chroma"
        self._changing, self._waking = threading.RLock(), threading.Lock()
        self._gate = threading.Condition()
        self._inside = 0
        """Calls that are using the index; the gate guards this and whether it is closed."""
        self._closed = False
        self._asleep: Snapshot | None = None
        self._chroma: Collections | None = None
        self._owner = Ownership(folder / "owner.lock", what="The vector index")
        try:
            self._seal = Seal(folder / "seal", self._store)
            with ThreadPoolExecutor(1) as beside:
                if not (self._store / FILE).exists():  # the import takes about as long as the look at the files
                    beside.submit(importlib.import_module, "chromadb.api.rust")
                probe = [sys.executable, "-P", "-m", __name__, str(self._store)]
                intact = keep_or_quarantine(self._store, self._seal, probe=probe)
            asleep = Snapshot.load(self._store) if intact else None
            if asleep and asleep.fits(options.exact_up_to):
                self._asleep = asleep
            else:
                self._awake()
        except BaseException:
            self._owner.release()
            raise

    def upsert(self, items: Iterable[VectorItem]) -> None:
        with self._change() as chroma:
            chroma.upsert(items)

    def delete(self, chunk_ids: Iterable[str]) -> None:
        with self._change() as chroma:
            chroma.delete(chunk_ids)

    def search(
        self, vector: Vectors, scope: Scope, *, limit: int, where: Where | None = None
    ) -> list[tuple[str, float]]:
        wanted = simplify(where)
        with self._use():
            if limit <= 0 or wanted is False:
                return []
            if wanted is True and (asleep := self._asleep):
                return asleep.search(vector, scope, limit=limit)
            return self._awake().search(vector, scope, limit, wanted)

    def sequence(self) -> int:
        with self._use():
            return (self._asleep or self._awake()).sequence

    def stamp(self) -> str:
        with self._use():
            return (self._asleep or self._awake()).stamp

    def set_sequence(self, sequence: int, stamp: str = "") -> None:
        """Kept in the same database as the vectors, so that it cannot reach the disk before them."""
        with self._change() as chroma:
            chroma.set_sequence(sequence, stamp)

    def count(self) -> int:
        with self._use():
            return (self._asleep or self._awake()).count()

    def clear(self) -> None:
        with self._change() as chroma:
            chroma.clear()

    def close(self) -> None:
        """Refuse whoever comes from now on, wait for those inside, then close, seal and let another own the folder: what
        still ran would change files behind the seal. A second call does nothing."""
        with self._changing:
            with self._gate:
                if self._closed:
                    return
                self._closed = True
                self._gate.wait_for(lambda: not self._inside)
            try:
                if self._chroma:
                    snapshot = self._chroma.close()
                    with suppress(OSError):  # without it, for lack of room say, the next start opens Chroma
                        if snapshot:
                            snapshot.save(self._store)
                    with suppress(OSError):  # without a seal it probes
                        self._seal.write()
            finally:
                self._owner.release()

    def _awake(self) -> Collections:
        with self._waking:
            if self._chroma is None:
                if self._asleep and self._seal.intact() is False:  # to open damaged files may end the process
                    raise StoreUnavailable(
                        f"The vector index {self._store} was damaged since this process started. Nothing is lost: stop the "
                        f"system and start it again, and it is mended from the ledger."
                    )
                with self._translate_errors():
                    self._seal.break_()
                    (self._store / FILE).unlink(missing_ok=True)
                    self._chroma = Collections(self._store, self._options, self._asleep)
                self._asleep = None
            return self._chroma

    @contextmanager
    def _change(self) -> Iterator[Collections]:
        with self._changing, self._use():
            yield self._awake()

    @contextmanager
    def _use(self) -> Iterator[None]:
        with self._gate:
            if self._closed:
                raise StoreUnavailable(
                    f"The vector index {self._store} was closed by this process. Open the system again."
                )
            self._inside += 1
        try:
            with self._translate_errors():
                yield
        finally:
            with self._gate:
                self._inside -= 1
                self._gate.notify_all()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except SixplyError:
            raise  # the items come from the ledger, whose errors are its own
        except Exception as error:  # Chroma raises many kinds, some from its Rust core
            disk_full = "disk is full" in str(error) or "No space left" in str(error)
            if disk_full or room_at(self._store.parent) < BLOCK:  # Chroma does not always say it
                raise StorageFull(
                    f"There is no room on the disk for the vector index {self._store}: {error}. Free some space first. Nothing "
                    f"is lost: with room again it is filled from the ledger."
                ) from error
            raise StoreUnavailable(
                f"The vector index {self._store} cannot be used: {type(error).__name__}: {error}. "
                f"Nothing is lost: stop the system and start it again, and it is mended from the ledger."
            ) from error


def build(options: Options, context: Context) -> ChromaVectorIndex:
    return ChromaVectorIndex(context.data_dir / options.folder, options)


def stores(options: Options) -> tuple[Store, ...]:
    return (
        Store(
            name="vectors",
            files=(f"{options.folder}/*", f"{options.folder}-*", f"{options.folder}.*", "quarantine-*"),
            stays=DOCUMENTS_STAY,
        ),
    )


def _probe(store: Path) -> None:
    """Read every vector, and search for some. A damaged store kills the process that does it, or has holes: vectors
    that it counts and cannot give, or gives as zeros. Takes about a second for each 10,000 vectors.

    A plain shelf need not find what it holds, but its links are walked along like the others: the next write follows them."""
    for _, shelf in list_shelves(open_client(store)):
        for offset in range(0, shelf.count(), PAGE):
            page = shelf.get(limit=PAGE, offset=offset, include=["embeddings"])["embeddings"]
            vectors = np.asarray(page, dtype=np.float32)
            if not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3):
                raise SystemExit(f"{shelf.name} holds vectors that nobody stored.")
            result = shelf.query(query_embeddings=vectors[::_SAMPLED], n_results=1, include=["distances"])
            if not is_plain(shelf) and not all(nearest and nearest[0] < 1e-3 for nearest in result["distances"] or []):
                raise SystemExit(f"{shelf.name} does not find vectors that it holds.")


if __name__ == "__main__":
    import chromadb.api.rust  # noqa: F401 - before it says that it begins: what cannot be imported is no damage

    sys.stdout.write(PROBING)
    sys.stdout.flush()
    _probe(Path(sys.argv[1]))
