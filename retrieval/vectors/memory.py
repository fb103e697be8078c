"""Exact search in memory: nothing to install and nothing to lose, rebuilt from the ledger's vectors at each start.

Good for tests, for small corpora (a few ten thousand chunks), and as the yardstick of an approximate index.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from foundation.components import Context
from foundation.errors import StoreUnavailable
from foundation.settings import Section
from foundation.stores.registry import Store
from foundation.types import Scope
from retrieval.contract import DOCUMENTS_STAY, VectorItem, Vectors
from retrieval.filters import Value, Where, matches


class Options(Section):
    pass


@dataclass(frozen=True)
class _Stack:
    """All vectors as one matrix. Rows with the same tenant and groups share a number in `access`."""

    chunk_ids: Sequence[str]
    matrix: Vectors
    kinds: Sequence[tuple[str, frozenset[str]]]
    access: npt.NDArray[np.intp]
    attributes: Sequence[Mapping[str, Value]]

    @classmethod
    def of(cls, items: Sequence[VectorItem]) -> _Stack:
        kinds = {
            kind: number for number, kind in enumerate(dict.fromkeys((item.tenant, item.groups) for item in items))
        }
        return cls(
            chunk_ids=[item.chunk_id for item in items],
            matrix=np.stack([item.vector for item in items]) if items else np.zeros((0, 0), dtype=np.float32),
            kinds=list(kinds),
            access=np.array([kinds[item.tenant, item.groups] for item in items], dtype=np.intp),
            attributes=[item.attributes for item in items],
        )


class MemoryVectorIndex:
    """See `retrieval.contract.VectorIndex`. The matrix is stacked again at the first search after a change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: dict[str, VectorItem] = {}
        self._stack: _Stack | None = None
        self._sequence, self._stamp = 0, ""
        self._closed = False

    def upsert(self, items: Iterable[VectorItem]) -> None:
        new = {item.chunk_id: item for item in items}
        with self._open():
            _demand_one_size([*islice(self._items.values(), 1), *new.values()])
            self._stack = None
            self._items |= new

    def delete(self, chunk_ids: Iterable[str]) -> None:
        with self._open():
            self._stack = None
            for chunk_id in chunk_ids:
                self._items.pop(chunk_id, None)

    def search(
        self, vector: Vectors, scope: Scope, *, limit: int, where: Where | None = None
    ) -> list[tuple[str, float]]:
        with self._open():
            stack = self._stack = self._stack or _Stack.of(list(self._items.values()))
        admitted = np.array([scope.admits(tenant, groups) for tenant, groups in stack.kinds], dtype=bool)
        if limit < 1 or not admitted.any():
            return []
        rows = np.flatnonzero(admitted[stack.access])
        if where is not None:
            rows = np.array([row for row in rows.tolist() if matches(where, stack.attributes[row])], dtype=np.intp)
        scores = (stack.matrix if len(rows) == len(stack.matrix) else stack.matrix[rows]) @ vector
        best = np.argsort(-scores, kind="stable")[:limit]
        return [(stack.chunk_ids[rows[place]], float(scores[place])) for place in best]

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
            self._items, self._stack = {}, None
            self._sequence, self._stamp = 0, ""

    def close(self) -> None:
        """Let go of the vectors."""
        with self._lock:
            self._items, self._stack, self._closed = {}, None, True

    @contextmanager
    def _open(self) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise StoreUnavailable("The index in memory was closed by this process. Open the system again.")
            yield


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
