"""An index that compares every vector, in memory (`rows.py` says how); many are saved in files, so that a start maps them into memory."""

import logging
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
from langchain_core.utils.iter import batch_iterate

from foundation.errors import StoreUnavailable
from foundation.types import Scope
from retrieval.documents import VectorItem, Vectors
from retrieval.filters import Where, simplify
from retrieval.index.rows import Block, nearest
from retrieval.index.saved_rows import Access, RowFiles, SavedRows

log = logging.getLogger(__name__)

# Vectors from which on they are saved: to read fewer from the ledger takes no longer than to read a file
SAVED_FROM = 20_000
# Part of the vectors that a start reads from the ledger after a kill: one of so many
_UNSAVED = 4
# Items that are written at a time, between which a search may run
_PAGE = 1000


class ExactIndex:
    """A `VectorIndex` in memory, with or without files. Vectors with the same readers form a partition."""

    def __init__(self, name: str = "The index in memory", files: RowFiles | None = None) -> None:
        self._name, self._files = name, files
        self._lock, self._filling = threading.Lock(), threading.RLock()
        self._closed = False
        self._start(files.read() if files else None)

    def upsert(self, items: Iterable[VectorItem]) -> None:
        for page in batch_iterate(_PAGE, items):
            new = {item.chunk_id: item for item in page}
            with self._open():
                self._demand_one_size(new.values())
                self._remove(new)
                by_access: dict[Access, list[VectorItem]] = {}
                for item in new.values():
                    by_access.setdefault((item.tenant, item.groups), []).append(item)
                for access, own in by_access.items():
                    self._put(access, own)

    def delete(self, chunk_ids: Iterable[str]) -> None:
        gone = list(chunk_ids)
        with self._open():
            self._remove(gone)

    def search(
        self, vector: Vectors, scope: Scope, *, limit: int, where: Where | None = None
    ) -> list[tuple[str, float]]:
        with self._open():
            admitted = [blocks for access, blocks in self._partitions.items() if scope.admits(*access)]
            seen = [block.see() for blocks in admitted for block in blocks]
        return nearest(seen, np.asarray(vector, dtype=np.float32), limit, simplify(where))

    def sequence(self) -> int:
        return self._sequence

    def version_token(self) -> str:
        return self._token

    def set_sequence(self, sequence: int, version_token: str = "") -> None:
        self._sequence, self._token = sequence, version_token
        if self._sequence - self._saved_at > self.count() // _UNSAVED:
            self._save()

    def exclusive(self, *, patient: bool = False) -> AbstractContextManager[Any]:  # noqa: ARG002 - as in other indexes
        """Lock out other threads that fill it: they could put back what one of them has deleted."""
        return self._filling

    def count(self) -> int:
        with self._open():
            return sum(len(block) for blocks in self._partitions.values() for block in blocks)

    def clear(self) -> None:
        with self._open():
            self._start(None)

    def close(self) -> None:
        """Save and drop the vectors; further calls raise StoreUnavailable. A second call does nothing."""
        with self._filling:
            if self._closed:
                return
            if self._sequence != self._saved_at:
                self._save()
            with self._lock:
                self._start(None)
                self._closed = True
            if self._files:
                self._files.close()

    def _start(self, saved: SavedRows | None) -> None:
        """Have what was saved, and nothing else."""
        self._partitions: dict[Access, list[Block]] = saved.partitions if saved else {}
        self._sequence, self._token = (saved.sequence, saved.version_token) if saved else (0, "")
        self._dimensions = saved.dimensions if saved else 0
        self._saved_at = self._sequence

    def _save(self) -> None:
        """Move all vectors to files. Whoever fills the index has locked out others that write."""
        if self._files is None or self.count() < SAVED_FROM:
            return
        with self._open():
            seen = {access: [block.see() for block in blocks] for access, blocks in self._partitions.items()}
        try:
            saved = self._files.write(seen, self._sequence, self._token)
        except OSError as error:
            log.warning("The vectors are not saved in files, so that a start reads them from the ledger: %s", error)
            return
        with self._open():
            self._start(saved)

    def _put(self, access: Access, items: Sequence[VectorItem]) -> None:
        blocks = self._partitions.setdefault(access, [])
        if blocks and blocks[-1].has_room(len(items)):
            blocks[-1].add(items)
        else:
            blocks.append(Block.of(items))

    def _remove(self, chunk_ids: Iterable[str]) -> None:
        names = [name.encode() for name in chunk_ids]
        for access, blocks in [*self._partitions.items()]:
            for block in blocks:
                block.remove(names)
            self._partitions[access] = [block for block in blocks if len(block)]
            if not self._partitions[access]:
                del self._partitions[access]

    def _demand_one_size(self, new: Collection[VectorItem]) -> None:
        known = [self._dimensions] if self._partitions else []
        sizes = list(dict.fromkeys([*known, *(len(item.vector) for item in new)]))
        if len(sizes) > 1:
            raise StoreUnavailable(
                f"{self._name} holds vectors of {sizes[0]} dimensions and was given one of {sizes[1]}."
            ) from ValueError(f"{sizes[0]} and {sizes[1]}")
        self._dimensions = sizes[0] if sizes else 0

    @contextmanager
    def _open(self) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise StoreUnavailable(f"{self._name} was closed by this process. Open the system again.")
            yield
