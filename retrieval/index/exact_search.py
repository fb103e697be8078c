"""Exact search: vectors in memory, all of which are compared, so that whatever is stored is found.

A graph cannot promise that: insertions and deletions change its links, and a vector without links is never reached. Up
to some ten thousand vectors it is not faster either. Nothing is saved: to fill it from the ledger takes no longer than to read a file.
"""

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from foundation.errors import StoreUnavailable
from foundation.types import Scope
from retrieval.documents import VectorItem, Vectors
from retrieval.filters import Value, Where, matches, simplify

# (tenant, groups). Vectors with the same readers form a *partition*.
Access = tuple[str, frozenset[str]]
_Matrix = tuple[Sequence[str], Vectors]
# The matrix, the ids in it that are no longer stored, and what came after it
_Rows = tuple[_Matrix, frozenset[str], _Matrix | None]
# Changes of a partition before its matrix is stacked again, which an eighth of it are, too
_BESIDE = 1000


def nearest(
    ids: Sequence[str], matrix: Vectors, vector: Vectors, limit: int, among: Collection[str] | None
) -> Iterator[tuple[str, float]]:
    """Yield (id, cosine similarity) of the nearest rows of unit length, best first, `among` these ids or all."""
    if limit <= 0 or not ids:
        return
    # `matrix @ vector` would wake the threads of BLAS: four searches at once then took 2.2 ms each for 10,000 rows
    similarities = np.vecdot(matrix, vector)
    places: npt.NDArray[np.intp] = np.arange(len(ids))
    if among is not None:
        places = places[[name in among for name in ids]]
    if limit < len(places):
        places = places[np.argpartition(-similarities[places], limit)[:limit]]
    first = places[np.argsort(-similarities[places], kind="stable")]
    yield from zip([ids[place] for place in first.tolist()], similarities[first].tolist(), strict=True)


def best(hits: Iterable[tuple[str, float]], limit: int) -> list[tuple[str, float]]:
    """Merge the hits of several partitions."""
    # A chunk that is being moved is on two of them, and counted once
    similarities: dict[str, float] = {}
    for chunk_id, similarity in hits:
        similarities[chunk_id] = max(similarity, similarities.get(chunk_id, similarity))
    return sorted(similarities.items(), key=lambda item: (-item[1], item[0]))[:limit]


class _Partition:
    """Vectors in one matrix, and beside it those that came or went since: to stack all again after each write would cost a
    search 100 ms at 100,000 of them. A write makes new parts, so that a search never sees half of it.
    """

    def __init__(self) -> None:
        self.known: dict[str, tuple[int, Mapping[str, Value]]] = {}
        """Sequence number and filterable attributes of each chunk; passages of a document share one mapping."""
        self._stacked: tuple[Sequence[str], Vectors] = (), np.zeros((0, 0), dtype=np.float32)
        self._places: dict[str, int] = {}
        self._fresh: dict[str, Vectors] = {}
        self._gone: set[str] = set()
        self._rows: _Rows | None = None

    def put(self, item: VectorItem) -> None:
        self.remove(item.chunk_id)
        self._fresh[item.chunk_id] = item.vector
        self.known[item.chunk_id] = item.sequence, item.attributes

    def remove(self, name: str) -> None:
        self._rows = None
        self.known.pop(name, None)
        self._fresh.pop(name, None)
        if name in self._places:
            self._gone.add(name)

    def vectors(self) -> Iterator[tuple[str, Vectors]]:
        for name, row in zip(*self._stacked, strict=True):
            if name not in self._gone:
                yield name, row
        yield from self._fresh.items()

    def rows(self) -> _Rows:
        if self._rows is None:
            if len(self._fresh) + len(self._gone) > max(_BESIDE, len(self._places) // 8):
                names, rows = zip(*self.vectors(), strict=True)
                self._stacked, self._fresh, self._gone = (names, np.stack(rows)), {}, set()
                self._places = {name: place for place, name in enumerate(names)}
            fresh = (list(self._fresh), np.stack(list(self._fresh.values()))) if self._fresh else None
            self._rows = self._stacked, frozenset(self._gone), fresh
        return self._rows


class ExactIndex:
    """A `VectorIndex` in memory. A search sees all of a write or nothing of it."""

    def __init__(self, name: str = "The index in memory") -> None:
        self._name = name
        self._lock, self._filling = threading.Lock(), threading.Lock()
        self._partitions: dict[Access, _Partition] = {}
        self._partition_of: dict[str, Access] = {}
        self._sequence, self._token = 0, ""
        self._closed = False

    def upsert(self, items: Iterable[VectorItem]) -> None:
        new = {item.chunk_id: item for item in items}
        with self._open():
            self._demand_one_size(new.values())
            self._remove(new)
            for chunk_id, item in new.items():
                access = self._partition_of[chunk_id] = item.tenant, item.groups
                self._partitions.setdefault(access, _Partition()).put(item)

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
            admitted = [
                (partition.rows(), partition.known)
                for access, partition in self._partitions.items()
                if scope.admits(*access)
            ]
        query = np.asarray(vector, dtype=np.float32)
        for (stacked, gone, fresh), known in admitted:
            among = None
            if wanted is not True:
                among = {name for name, (_, about) in list(known.items()) if wanted and matches(wanted, about)}
            hits = nearest(*stacked, query, limit + len(gone) if limit > 0 else 0, among)
            yield from islice((hit for hit in hits if hit[0] not in gone), max(limit, 0))
            if fresh:
                yield from nearest(*fresh, query, limit, among)

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
            return len(self._partition_of)

    def clear(self) -> None:
        with self._open():
            self._partitions, self._partition_of = {}, {}
            self._sequence, self._token = 0, ""

    def close(self) -> None:
        """Drop the vectors; further calls raise StoreUnavailable."""
        with self._lock:
            self._partitions, self._partition_of, self._closed = {}, {}, True

    def largest(self) -> tuple[Access, int] | None:
        """Return the partition with the most vectors, and their number; `None`: there is none."""
        with self._open():
            sizes = ((access, len(partition.known)) for access, partition in self._partitions.items())
            return max(sizes, key=lambda size: size[1], default=None)

    def partition(self, access: Access) -> list[VectorItem]:
        with self._open():
            partition = self._partitions.get(access, _Partition())
            known = partition.known
            return [VectorItem(known[name][0], name, *access, row, known[name][1]) for name, row in partition.vectors()]

    def _remove(self, chunk_ids: Iterable[str]) -> None:
        for name in chunk_ids:
            if access := self._partition_of.pop(name, None):
                self._partitions[access].remove(name)
                if not self._partitions[access].known:
                    del self._partitions[access]

    def _demand_one_size(self, new: Collection[VectorItem]) -> None:
        stored = (vector for partition in self._partitions.values() for _, vector in partition.vectors())
        sizes = list(dict.fromkeys(vector.shape for vector in [*islice(stored, 1), *(item.vector for item in new)]))
        if len(sizes) > 1:
            raise StoreUnavailable(
                f"{self._name} holds vectors of {sizes[0][0]} dimensions and was given one of {sizes[1][0]}."
            ) from ValueError(f"{sizes[0]} and {sizes[1]}")

    @contextmanager
    def _open(self) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise StoreUnavailable(f"{self._name} was closed by this process. Open the system again.")
            yield
