"""Exact search: vectors in memory, all of which are compared (`rows.py` says how), so that whatever is stored is found.

A graph cannot promise that: insertions and deletions change its links, and a vector without links is never reached. Up
to some ten thousand vectors it is not faster either. Up to there nothing is saved either: to fill it from the ledger takes no longer
than to read a file.
"""

import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from foundation.errors import StoreUnavailable
from foundation.types import Scope
from retrieval.documents import VectorItem, Vectors
from retrieval.filters import Where, simplify
from retrieval.index.rows import CODED_FROM, Access, Partition, nearest
from retrieval.index.saved_rows import RowFiles, SavedRows


def best(hits: Iterable[tuple[str, float]], limit: int) -> list[tuple[str, float]]:
    """Merge the hits of several partitions."""
    # A chunk that is being moved is on two of them, and counted once
    similarities: dict[str, float] = {}
    for chunk_id, similarity in hits:
        similarities[chunk_id] = max(similarity, similarities.get(chunk_id, similarity))
    return sorted(similarities.items(), key=lambda item: (-item[1], item[0]))[:limit]


class ExactIndex:
    """A `VectorIndex` in memory. A search sees all of a write or nothing of it."""

    def __init__(self, name: str = "The index in memory") -> None:
        self._name = name
        self._lock, self._filling = threading.Lock(), threading.Lock()
        self._partitions: dict[Access, Partition] = {}
        self._partition_of: dict[str, Access] = {}
        """Of those that are not saved in files."""
        self._saved: SavedRows | None = None
        self._saved_left = 0
        self._sequence, self._token = 0, ""
        self._dimensions = 0
        self._closed = False

    def upsert(self, items: Iterable[VectorItem]) -> None:
        new = {item.chunk_id: item for item in items}
        with self._open():
            self._demand_one_size(new.values())
            self._remove(new)
            for chunk_id, item in new.items():
                access = self._partition_of[chunk_id] = item.tenant, item.groups
                self._partitions.setdefault(access, Partition()).put(item)

    def delete(self, chunk_ids: Iterable[str]) -> None:
        gone = list(chunk_ids)
        with self._open():
            self._remove(gone)

    def search(
        self, vector: Vectors, scope: Scope, *, limit: int, where: Where | None = None
    ) -> list[tuple[str, float]]:
        return best(self.hits(vector, scope, limit, simplify(where)), limit)

    def hits(self, vector: Vectors, scope: Scope, limit: int, wanted: Where | bool) -> Iterator[tuple[str, float]]:
        """Yield the best hits of each partition that `scope` admits; `wanted` is a simplified filter."""
        with self._open():
            admitted = [partition.see() for access, partition in self._partitions.items() if scope.admits(*access)]
        query = np.asarray(vector, dtype=np.float32)
        for seen in admitted:
            yield from nearest(seen, query, limit, wanted)

    def sequence(self) -> int:
        return self._sequence

    def version_token(self) -> str:
        return self._token

    def set_sequence(self, sequence: int, version_token: str = "") -> None:
        self._sequence, self._token = sequence, version_token

    def exclusive(self, *, patient: bool = False) -> AbstractContextManager[Any]:  # noqa: ARG002 - as in other indexes
        """Lock out other threads that fill it: they could put back what one of them has deleted."""
        return self._filling

    def count(self) -> int:
        with self._open():
            return len(self._partition_of) + self._saved_left

    def clear(self) -> None:
        with self._open():
            self._forget()
            self._sequence, self._token = 0, ""

    def close(self) -> None:
        """Drop the vectors; further calls raise StoreUnavailable."""
        with self._lock:
            self._forget()
            self._closed = True

    def changes(self) -> int:
        """Return the number of changes of which there are no files. A few vectors have none."""
        with self._open():
            known = self._saved.sequence if self._saved else 0
            return self._sequence - known if len(self._partition_of) + self._saved_left >= CODED_FROM else 0

    def save(self, files: RowFiles) -> None:
        """Move all vectors to files. The caller sees to it that nobody writes meanwhile."""
        with self._open():
            partitions = dict(self._partitions)
        self.load(files.write(partitions, self._sequence, self._token))

    def load(self, saved: SavedRows) -> None:
        """Have the vectors of these files, and no others."""
        with self._open():
            self._forget()
            self._partitions, self._saved, self._saved_left = saved.partitions(), saved, len(saved)
            self._sequence, self._token, self._dimensions = saved.sequence, saved.version_token, saved.dimensions

    def largest(self) -> Access | None:
        """Return the partition with the most vectors; `None`: there is none."""
        with self._open():
            return max(self._partitions, key=lambda access: len(self._partitions[access]), default=None)

    def partition(self, access: Access) -> list[VectorItem]:
        with self._open():
            return list(self._partitions.get(access, Partition()).items(*access))

    def _forget(self) -> None:
        self._partitions, self._partition_of, self._saved, self._saved_left = {}, {}, None, 0

    def _remove(self, chunk_ids: Collection[str]) -> None:
        for name in chunk_ids:
            if access := self._partition_of.pop(name, None):
                self._partitions[access].remove(name)
                self._leave_out_if_empty(access)
        for access, place in self._saved.find(chunk_ids) if self._saved else ():
            partition = self._partitions.get(access)
            if partition and partition.saved and partition.saved.remove_at(place):
                self._saved_left -= 1
                self._leave_out_if_empty(access)

    def _leave_out_if_empty(self, access: Access) -> None:
        if not len(self._partitions[access]):
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
