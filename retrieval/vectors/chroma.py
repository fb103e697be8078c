"""A vector index with small partitions in memory and large ones in embedded Chroma.

A partition has the vectors of one tenant and set of groups. Up to `exact_up_to` vectors are searched exactly, in memory;
with more, the largest partitions move to Chroma. A few are read from the ledger at each start; many are saved in files, as
long as Chroma has none. Where it has some, all is offered to it again at each start, and it keeps what it has.

Measured with Chroma 1.5.9: a kill during a write can leave files that crash their reader, and two writers lose vectors
without an error. So one process owns the folder, and Chroma is opened only if its checksum shows that it was
closed in order and is unchanged since; otherwise its folder is deleted.
"""

import json
import logging
import shutil
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from langchain_core.utils.iter import batch_iterate
from pydantic import Field

from foundation.components import Context
from foundation.errors import SixplyError, StorageFull, StoreUnavailable
from foundation.settings import Section
from foundation.stores.full_disk import room_at
from foundation.stores.registry import Store
from foundation.types import Scope
from retrieval.documents import DOCUMENTS_STAY, VectorItem, Vectors
from retrieval.filters import Where, simplify
from retrieval.index.checksum import FolderChecksum
from retrieval.index.chroma_collections import PAGE, Collections
from retrieval.index.exact_search import ExactIndex, best
from retrieval.index.lock import Ownership
from retrieval.index.rows import Access
from retrieval.index.saved_rows import RowFiles

log = logging.getLogger(__name__)

# File, part of the checksum, with the sequence and the token up to which Chroma is complete
_POSITION = "position.json"
# Part of the vectors that a start reads from the ledger after a kill: one of so many
_UNSAVED = 4
# Free bytes below which an error of Chroma's is taken for a full disk, since it does not always say so
_NO_ROOM = 1 << 20


class Options(Section):
    folder: Path = Path("index")
    """The folder, relative to the data folder."""
    exact_up_to: int = Field(default=5_000_000, ge=0)
    """Most vectors that are kept in memory and searched without a graph, at 1.2 KB each for 384 dimensions. A write with which there are
    more waits until the largest partition has its graph."""


class ChromaVectorIndex:
    """A `VectorIndex` in memory and embedded Chroma."""

    _large: Collections | None = None
    partial = False

    def __init__(self, folder: Path, options: Options) -> None:
        """Raises StoreInUse: another process owns the folder."""
        self._most = options.exact_up_to
        self._store = (folder / "chroma").resolve()  # a link to another disk stays when its folder is deleted
        self._changing = threading.RLock()
        self._gate = threading.Condition()
        # Number of calls in progress; `_gate` guards it and `_closed`
        self._inside = 0
        self._closed = False
        self._owner = Ownership(folder / "owner.lock", what="The vector index")
        self._small = ExactIndex(f"The vector index {folder}")
        with suppress(OSError):  # its name until November 2026
            (folder / "seal.txt").rename(folder / "checksum.txt")
        self._checksum = FolderChecksum(folder / "checksum.txt", self._store)
        self._rows = RowFiles(folder / "rows")
        try:
            if self._store.exists():
                self._open_what_is_there()
            elif saved := self._rows.read():
                self._small.load(saved)
        except BaseException:
            self._owner.release()
            raise

    def upsert(self, items: Iterable[VectorItem]) -> None:
        with self._changing, self._use():
            for batch in batch_iterate(PAGE, items):
                by_access: defaultdict[Access, list[VectorItem]] = defaultdict(list)
                for item in {item.chunk_id: item for item in batch}.values():
                    by_access[item.tenant, item.groups].append(item)
                for access, group in by_access.items():
                    chunk_ids = [item.chunk_id for item in group]
                    if self._large and access in self._large:
                        self._large.put(access, group)
                        self._small.delete(chunk_ids)
                    else:
                        self._small.upsert(group)
                    if self._large:
                        self._large.delete(chunk_ids, but=access)
                self._move_what_is_large()

    def delete(self, chunk_ids: Iterable[str]) -> None:
        with self._changing, self._use():
            for batch in batch_iterate(PAGE, chunk_ids):
                self._small.delete(batch)
                if self._large:
                    self._large.delete(batch)

    def search(
        self, vector: Vectors, scope: Scope, *, limit: int, where: Where | None = None
    ) -> list[tuple[str, float]]:
        wanted = simplify(where)
        with self._use():
            if limit <= 0 or wanted is False:
                return []
            # First, since partitions move from here to Chroma
            hits = list(self._small.hits(vector, scope, limit, wanted))
            if self._large:
                hits += self._large.hits(vector, scope, limit, wanted)
            return best(hits, limit)

    def sequence(self) -> int:
        with self._use():
            return self._small.sequence()

    def version_token(self) -> str:
        with self._use():
            return self._small.version_token()

    def set_sequence(self, sequence: int, version_token: str = "") -> None:
        with self._changing, self._use():
            self._small.set_sequence(sequence, version_token)
            self.partial = False
            self._save_if(self._small.changes() > self._small.count() // _UNSAVED)

    def count(self) -> int:
        with self._use():
            return self._small.count() + (self._large.count() if self._large else 0)

    def clear(self) -> None:
        with self._changing, self._use():
            self._small.clear()
            self.partial = False
            if self._large:
                self._large.clear()

    def close(self) -> None:
        """Close and release the folder, with its checksum. A second call does nothing."""
        with self._changing:
            with self._gate:
                if self._closed:
                    return
                self._closed = True
                # Calls in progress would change files behind the checksum
                self._gate.wait_for(lambda: not self._inside)
            try:
                if self._large:
                    self._large.close()
                    with suppress(OSError):  # without a checksum the next start fills it again
                        (self._store / _POSITION).write_text(
                            json.dumps([self._small.sequence(), self._small.version_token()])
                        )
                        self._checksum.write()
                self._save_if(self._small.changes() > 0)
            finally:
                self._small.close()
                self._owner.release()

    def _open_what_is_there(self) -> None:
        if self._checksum.is_intact():
            # set at once, so that a ledger with another history is noticed before it is filled
            self._small.set_sequence(*json.loads((self._store / _POSITION).read_text()))
            self._open_chroma()
            self.partial = True
            return
        log.warning("The vector index %s is damaged or was not closed in order. It is filled anew.", self._store)
        with self._translate_errors():
            self._checksum.delete()
            shutil.rmtree(self._store)

    def _save_if(self, needed: bool) -> None:
        if needed and not self._large:
            try:
                self._small.save(self._rows)
            except OSError as error:
                log.warning("The vectors are not saved in files, so that a start reads them from the ledger: %s", error)

    def _open_chroma(self) -> Collections:
        with self._translate_errors():
            self._checksum.delete()
            self._rows.delete()
            self._large = Collections(self._store)
        return self._large

    def _move_what_is_large(self) -> None:
        while self._small.count() > self._most and (access := self._small.largest()):
            items = self._small.partition(access)
            with self._translate_errors():
                (self._large or self._open_chroma()).add(access, items)
            self._small.delete([item.chunk_id for item in items])

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
            if disk_full or room_at(self._store.parent) < _NO_ROOM:
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


def describe_search(options: Options, passages: int) -> str:
    kind = (
        "exact" if passages <= options.exact_up_to else "exact, or by a graph for the tenants and groups with the most"
    )
    return f"{kind}; a graph from {options.exact_up_to:,} passages on"


def stores(options: Options) -> tuple[Store, ...]:
    return (
        Store(
            name="vectors",
            files=(f"{options.folder}/*", f"{options.folder}-*", f"{options.folder}.*"),
            stays=DOCUMENTS_STAY,
        ),
    )
