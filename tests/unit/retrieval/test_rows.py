"""Vectors in memory: what they find, and that they follow what is written."""

from __future__ import annotations

import numpy as np
import pytest

from foundation.types import Scope
from retrieval.documents import VectorItem
from retrieval.filters import equals
from retrieval.index.exact_search import ExactIndex
from retrieval.index.rows import Block, nearest

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
    """It goes on with what it saw, also where the rows are moved for others to have room."""
    block = Block.of([item("a", A), item("b", B)])
    for name in "cd":
        before = block.see()
        hits = nearest([before], A, 9, True)
        block.add([item(name, C)])
        block.remove([b"b"])
        assert nearest([before], A, 9, True) == hits
    assert {name for name, _ in nearest([block.see()], A, 9, True)} == {"a", "c", "d"}


@pytest.mark.parametrize("of", [None, "few"], ids=["all", "those few that match"])
def test_the_nearest_of_very_many_are_those_of_a_plain_comparison(of: str | None) -> None:
    """Many are compared by several threads, and only what is above the best of a sample is sorted."""
    vectors = np.random.default_rng(0).standard_normal((70_000, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    items = [item(f"{n}", vector, of="few" if n % 9000 == 0 else "many") for n, vector in enumerate(vectors)]
    blocks = Block.of(items[:66_000]), Block.of(items[66_000:])
    best = np.argsort(-(vectors @ vectors[7]))
    blocks[0].remove([b"%d" % best[1]])
    found = nearest([block.see() for block in blocks], vectors[7], 5, True if of is None else equals("of", of))
    expected = [n for n in best.tolist() if n != best[1] and (of is None or n % 9000 == 0)]
    assert [int(name) for name, _ in found] == expected[:5]


def test_a_partition_of_which_all_is_gone_is_gone() -> None:
    index = ExactIndex()
    index.upsert([item("a", A), VectorItem(0, "c", "north", frozenset(), C)])
    index.delete(["a"])
    assert [*index._partitions] == [("north", frozenset())]
    assert (index.count(), names(index, A)) == (1, [])
