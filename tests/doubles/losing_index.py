"""Doubles of a vector index that breaks its promise in one way, for the trials that must notice it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from foundation.components import Context, load
from foundation.settings import Part, Section
from retrieval.documents import VectorItem


class Options(Section):
    every: int = 10


class LosingIndex:
    """Counts every vector, and finds all but one in `every`."""

    def __init__(self, inner: Any, every: int) -> None:
        self._inner, self._every = inner, every

    def upsert(self, items: Iterable[VectorItem]) -> None:
        self._inner.upsert(items)

    def search(self, *asked: Any, **named: Any) -> list[tuple[str, float]]:
        found = self._inner.search(*asked, **named)
        return [(chunk_id, score) for chunk_id, score in found if int(chunk_id[:4], 16) % self._every]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def build(options: Options, context: Context) -> Any:
    return LosingIndex(load("retrieval.vectors", Part(use="memory"), context), options.every)
