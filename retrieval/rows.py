"""The vectors of small collections in memory, compared one by one: whatever is stored is found.

A graph cannot promise that. Each insertion and deletion changes links near by, and a vector whose last link went is
counted and not reached (docs/decisions/0038). Up to some thousand vectors it is not even faster.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import numpy as np

from retrieval.contract import Vectors

_UNREAD = object()


@dataclass(frozen=True)
class Rows:
    ids: Sequence[str]
    matrix: Vectors
    """Rows of unit length."""

    def nearest(self, vector: Vectors, limit: int, among: Collection[str] | None) -> Iterator[tuple[str, float]]:
        """The best first, with their cosine similarities; only those `among`, where given."""
        if not self.ids:
            return
        similarities = self.matrix @ vector
        for place in np.argsort(-similarities, kind="stable"):
            if limit <= 0:
                return
            if among is None or self.ids[place] in among:
                limit -= 1
                yield self.ids[place], float(similarities[place])

    def after(self, put: Mapping[str, Vectors], gone: Collection[str]) -> Rows:
        kept = {name: row for name, row in zip(self.ids, self.matrix, strict=True) if name not in gone}
        kept.update(put)
        return Rows(list(kept), np.stack(list(kept.values())) if kept else self.matrix[:0])


class SmallCollections:
    """Rows of those collections that are small, read when first searched and kept true to what is written.

    Searches go on while one thread writes: what was read while something was written may be older than that, and is used
    once and not kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._known: dict[str, Rows | None] = {}
        """`None`: too many."""
        self._writes = 0
        """Begun and ended ones, so it is odd while one is under way."""

    def rows(self, name: str, count: Callable[[], int], read: Callable[[], Rows]) -> Rows | None:
        """`None` where there are too many."""
        known = self._known.get(name, _UNREAD)
        if known is not _UNREAD:
            return cast("Rows | None", known)
        begun = self._writes
        rows = read() if count() <= self._most else None
        with self._lock:
            if begun == self._writes and not begun % 2:
                self._known[name] = rows
        return rows

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

    def written(self, name: str, put: Mapping[str, Vectors], gone: Collection[str] = ()) -> None:
        """Called while `writing`."""
        if rows := self._known.get(name):
            after = rows.after(put, gone)
            self._known[name] = after if len(after.ids) <= self._most else None

    def forget(self) -> None:
        """Called while `writing`."""
        self._known = {}

    def _step(self) -> None:
        with self._lock:
            self._writes += 1
