"""Exact search in memory: nothing to install and nothing to lose, rebuilt from the ledger's vectors at each start.

Good for tests, for small corpora (a few ten thousand chunks), and as the yardstick of an approximate index.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import numpy as np

from foundation.components import Context
from foundation.errors import StoreUnavailable
from foundation.settings import Section
from foundation.stores.registry import Store
from foundation.types import Scope
from retrieval.contract import DOCUMENTS_STAY, VectorItem, Vectors
from retrieval.filters import Where, matches
from retrieval.index.exact_search import Access, Rows, best


class Options(Section):
    pass


class MemoryVectorIndex:
    """See `retrieval.contract.VectorIndex`. The matrix is stacked again at the first search after a change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: dict[str, VectorItem] = {}
        self._shelves: dict[Access, Rows] = {}
        self._sequence, self._stamp = 0, ""
        self._closed = False

    def upsert(self, items: Iterable[VectorItem]) -> None:
        new = {item.chunk_id: item for item in items}
        with self._open():
            _demand_one_size([*islice(self._items.values(), 1), *new.values()])
            self._shelves, self._items = {}, {**self._items, **new}

    def delete(self, chunk_ids: Iterable[str]) -> None:
        with self._open():
            gone = set(chunk_ids)
            self._items = {name: item for name, item in self._items.items() if name not in gone}
            self._shelves = {}

    def search(
        self, vector: Vectors, scope: Scope, *, limit: int, where: Where | None = None
    ) -> list[tuple[str, float]]:
        with self._open():
            items = self._items
            shelves = self._shelves = self._shelves or _stack(items.values())
        admitted = [rows for access, rows in shelves.items() if scope.admits(*access)]
        among = (
            None
            if where is None
            else {name for rows in admitted for name in rows.ids if matches(where, items[name].attributes)}
        )
        return best((hit for rows in admitted for hit in rows.nearest(vector, limit, among)), limit)

    def sequence(self) -> int:
        return self._sequence

    def stamp(self) -> str:
        return self._stamp

    def set_sequence(self, sequence: int, stamp: str = "") -> None:
        self._sequence, self._stamp = sequence, stamp

    def count(self) -> int:
        with self._open():
            return len(self._items)

    def clear(self) -> None:
        with self._open():
            self._items, self._shelves = {}, {}
            self._sequence, self._stamp = 0, ""

    def close(self) -> None:
        """Let go of the vectors."""
        with self._lock:
            self._items, self._shelves, self._closed = {}, {}, True

    @contextmanager
    def _open(self) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise StoreUnavailable("The index in memory was closed by this process. Open the system again.")
            yield


def _stack(items: Iterable[VectorItem]) -> dict[Access, Rows]:
    """The vectors of each tenant and set of groups as one matrix."""
    by_access: defaultdict[Access, list[VectorItem]] = defaultdict(list)
    for item in items:
        by_access[item.tenant, item.groups].append(item)
    return {
        access: Rows([item.chunk_id for item in group], np.stack([item.vector for item in group]))
        for access, group in by_access.items()
    }


def _demand_one_size(items: Sequence[VectorItem]) -> None:
    odd = next((item for item in items if item.vector.shape != items[0].vector.shape), None)
    if odd is not None:
        try:
            np.stack([items[0].vector, odd.vector])
        except ValueError as error:
            raise StoreUnavailable(
                f"The index in memory holds vectors of {items[0].vector.shape[0]} dimensions and was given one of "
                f"{odd.vector.shape[0]}. Is it the embedder that the index was built with?"
            ) from error


def build(options: Options, context: Context) -> MemoryVectorIndex:
    del options, context  # nothing to choose, nothing to keep
    return MemoryVectorIndex()


def stores(options: Options) -> tuple[Store, ...]:  # noqa: ARG001 - the signature of every adapter
    return (Store(name="vectors", stays=DOCUMENTS_STAY),)
