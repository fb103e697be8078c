"""Vectors in memory: what they find, and that they follow what is written."""

from __future__ import annotations

import numpy as np
import pytest

from foundation.types import Scope
from retrieval.documents import VectorItem
from retrieval.filters import equals
from retrieval.index.exact_search import ExactIndex

A, B, C = np.eye(3, dtype=np.float32)
ACME = Scope("acme")


def item(name: str, vector: np.ndarray, **attributes: object) -> VectorItem:
    return VectorItem(0, name, "acme", frozenset(), vector, attributes)  # type: ignore[arg-type]


def names(index: ExactIndex, vector: np.ndarray) -> list[str]:
    return [name for name, _ in index.search(vector, ACME, limit=9)]


def test_the_nearest_come_first_and_only_those_asked_for() -> None:
    index = ExactIndex()
    query = np.array([0.6, 0.8, 0.0], dtype=np.float32)
    assert index.search(query, ACME, limit=3) == []
    index.upsert([item("a", A, of="a"), item("b", B), item("c", C)])
    assert [name for name, _ in index.search(query, ACME, limit=2)] == ["b", "a"]
    assert dict(index.search(query, ACME, limit=9, where=equals("of", "a"))) == pytest.approx({"a": 0.6})
    assert index.search(query, ACME, limit=0) == []


def test_a_search_under_way_is_not_disturbed_by_a_write() -> None:
    index = ExactIndex()
    index.upsert([item("a", A), item("b", B)])
    hits = index.hits(A, ACME, 9, True)
    first = next(hits)
    index.upsert([item("a", B), item("c", C)])
    index.delete(["b"])
    assert [first, *hits] == [("a", 1.0), ("b", 0.0)]
    assert index.search(B, ACME, limit=1) == [("a", 1.0)]
    assert sorted(names(index, A)) == ["a", "c"]


def test_the_largest_partition_is_told_and_one_that_is_empty_is_gone() -> None:
    index = ExactIndex()
    assert index.largest() is None
    index.upsert([item("a", A), item("b", B), VectorItem(0, "c", "north", frozenset(), C)])
    assert index.largest() == ("acme", frozenset())
    index.delete(["a", "b"])
    assert index.largest() == ("north", frozenset())
    assert [kept.chunk_id for kept in index.partition(("north", frozenset()))] == ["c"]
