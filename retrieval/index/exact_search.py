"""The vectors of small collections in memory, compared one by one: whatever is stored is found.

A graph cannot promise that. Each insertion and deletion changes links near by, and a vector whose last link went is
counted and not reached. Up to some ten thousand vectors it is not even faster.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval.contract import Vectors

Access = tuple[str, frozenset[str]]
"""Tenant and groups, whose vectors stand together."""

TOGETHER = 5
"""All collections in memory have at most so many times the vectors of the largest."""


@dataclass(frozen=True)
class Rows:
    ids: Sequence[str]
    matrix: Vectors
    """Rows of unit length."""

    def nearest(self, vector: Vectors, limit: int, among: Collection[str] | None) -> Iterator[tuple[str, float]]:
        """The best first, with their cosine similarities; only those `among`, where given."""
        if limit <= 0 or not self.ids:
            return
        # `matrix @ vector` would wake the threads of BLAS: four searches at once then took 2.2 ms each for 10,000 rows
        similarities = np.vecdot(self.matrix, vector)
        places: npt.NDArray[np.intp] = np.arange(len(self.ids))
        if among is not None:
            places = places[[name in among for name in self.ids]]
        if limit < len(places):
            places = places[np.argpartition(-similarities[places], limit)[:limit]]
        best = places[np.argsort(-similarities[places], kind="stable")]
        yield from zip([self.ids[place] for place in best.tolist()], similarities[best].tolist(), strict=True)


def best(hits: Iterable[tuple[str, float]], limit: int) -> list[tuple[str, float]]:
    """The nearest of several collections. What is on the move stands in two of them."""
    similarities: dict[str, float] = {}
    for chunk_id, similarity in hits:
        similarities[chunk_id] = max(similarity, similarities.get(chunk_id, similarity))
    return sorted(similarities.items(), key=lambda item: (-item[1], item[0]))[:limit]


class _Kept:
    """A small collection that follows what is written. It is stacked when it is next searched: an ingest writes often and
    searches little."""

    def __init__(self, rows: Rows) -> None:
        self.vectors: dict[str, Vectors] = dict(zip(rows.ids, rows.matrix, strict=True))
        self._rows: Rows | None = rows

    def record(self, put: Mapping[str, Vectors], gone: Collection[str]) -> None:
        here = self.vectors.keys() & gone
        for name in here:
            del self.vectors[name]
        self.vectors |= put
        if here or put:
            self._rows = None

    def rows(self) -> Rows:
        if self._rows is None:
            vectors = list(self.vectors.values())
            matrix = np.stack(vectors) if vectors else np.zeros((0, 0), dtype=np.float32)
            self._rows = Rows(list(self.vectors), matrix)
            self.vectors = dict(zip(self._rows.ids, matrix, strict=True))  # lets go of what it was stacked from
        return self._rows


class SmallCollections:
    """Rows of those collections that are small, read when first searched and kept true to what is written; those longest
    unsearched are let go where all together have too many.

    Searches go on while one thread writes: what was read while something was written may be older than that, and is used
    once and not kept.
    """

    def __init__(self, most: int, initial: Mapping[str, Rows] | None = None) -> None:
        self._most, self._most_together = most, TOGETHER * most
        self._lock = threading.Lock()
        self._collections: OrderedDict[str, _Kept | None] = OrderedDict(
            (name, _Kept(rows)) for name, rows in (initial or {}).items()
        )
        """The longest unsearched first. `None`: too many."""
        self._writes = 0
        """Begun and ended ones, so it is odd while one is under way."""

    def rows(self, name: str, count: Callable[[], int], read: Callable[[], Rows]) -> Rows | None:
        """`None` where there are too many."""
        with self._lock:
            if name in self._collections:
                self._collections.move_to_end(name)
                collection = self._collections[name]
                return None if collection is None else collection.rows()
            writes_before = self._writes
        rows = read() if count() <= self._most else None
        with self._lock:
            if writes_before == self._writes and not writes_before % 2:
                self._collections[name] = None if rows is None else _Kept(rows)
                self._let_go()
        return rows

    def holds(self, name: str) -> bool:
        """Whether its rows are in memory."""
        with self._lock:
            return self._collections.get(name) is not None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Around what changes collections, in one thread at a time. If it fails, nobody knows what was written."""
        self._step()
        try:
            yield
        except BaseException:
            self.forget()
            raise
        finally:
            self._step()

    def add(self, name: str) -> None:
        """A new collection, with nothing in it. Called while `writing`, like the next two."""
        with self._lock:
            self._collections[name] = _Kept(Rows([], np.zeros((0, 0), dtype=np.float32)))

    def record(self, name: str, put: Mapping[str, Vectors], gone: Collection[str] = ()) -> None:
        with self._lock:
            if collection := self._collections.get(name):
                collection.record(put, gone)
                if len(collection.vectors) > self._most:
                    self._collections[name] = None
                self._let_go()

    def forget(self, name: str | None = None) -> None:
        """One collection, or all."""
        with self._lock:
            for forgotten in [name] if name else list(self._collections):
                self._collections.pop(forgotten, None)

    def _let_go(self) -> None:
        total = sum(len(collection.vectors) for collection in self._collections.values() if collection)
        while total > self._most_together:
            _, collection = self._collections.popitem(last=False)
            total -= len(collection.vectors) if collection else 0

    def _step(self) -> None:
        with self._lock:
            self._writes += 1
