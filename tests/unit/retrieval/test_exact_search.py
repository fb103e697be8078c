"""Exact search in memory: blocks that grow and are written anew, what came and went since, and eight bits first."""

from __future__ import annotations

import numpy as np
import pytest

from foundation.types import Scope
from retrieval.documents import VectorItem
from retrieval.filters import equals
from retrieval.index import rows
from retrieval.index.exact_search import ExactIndex

ACME, GROUPS = Scope("acme"), frozenset[str]()
DIMENSIONS = 32


def unit(chance: np.random.Generator) -> np.ndarray:
    row = chance.standard_normal(DIMENSIONS).astype(np.float32)
    return np.asarray(row / np.linalg.norm(row))


@pytest.mark.parametrize("most", [8, 10**9], ids=["in many blocks", "in one"])
@pytest.mark.parametrize("hollow", [0, 5, 10**9])
def test_vectors_that_come_go_and_come_again_are_found_once_and_as_they_are_now(
    most: int, hollow: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "BLOCK", most)
    monkeypatch.setattr(rows, "HOLLOW", hollow)
    chance, index, stored = np.random.default_rng(7), ExactIndex(), dict[str, VectorItem]()
    for step in range(400):
        name = f"{chance.integers(60)}"
        if name in stored and step % 3 == 0:
            index.delete([name])
            del stored[name]
        else:
            stored[name] = VectorItem(step, name, "acme", GROUPS, unit(chance), {"even": str(step % 2 == 0)})
            index.upsert([stored[name]])
        vector = unit(chance)
        exact = {name: float(item.vector @ vector) for name, item in stored.items()}
        found = index.search(vector, ACME, limit=5)
        assert [name for name, _ in found] == sorted(stored, key=lambda name: -exact[name])[:5]
        assert dict(found) == pytest.approx({name: exact[name] for name, _ in found}, abs=1e-4)
        if step % 20 == 0:
            even = [name for name, item in stored.items() if item.attributes["even"] == "True"]
            found = index.search(vector, ACME, limit=99, where=equals("even", "True"))
            assert [name for name, _ in found] == sorted(even, key=lambda name: -exact[name])
    assert index.count() == len(stored)


def test_eight_bits_first_find_what_an_exact_search_finds() -> None:
    """Among near-duplicates too, which differ by less than a step of eight bits."""
    chance = np.random.default_rng(7)
    centre = np.stack([unit(chance) for _ in range(40)])
    near = np.repeat(centre, 100, axis=0) + chance.standard_normal((4000, DIMENSIONS)).astype(np.float32) * 0.01
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    index = ExactIndex()
    index.upsert(VectorItem(n, f"{n:04}", "acme", GROUPS, row, {}) for n, row in enumerate(near))
    for query in centre:
        wanted = {f"{n:04}" for n in np.argsort(-(near @ query))[:50]}
        found = {name for name, _ in index.search(query, ACME, limit=50)}
        assert len(found & wanted) >= 49


def test_who_reads_one_passage_in_a_hundred_finds_what_an_exact_search_of_those_finds() -> None:
    """A tenant, a group and a filter with one in a hundred each: what is left out is left out before the best are chosen."""
    chance = np.random.default_rng(7)
    readers = [("acme", GROUPS)] * 97 + [("acme", frozenset({"few"})), ("north", GROUPS), ("*", GROUPS)]
    items = [
        VectorItem(n, f"{n:04}", *readers[n % 100], unit(chance), {"rare": str(n % 97 == 0)}) for n in range(12_000)
    ]
    index = ExactIndex()
    index.upsert(items)
    for scope in (ACME, Scope("north"), Scope("acme", frozenset({"few"})), Scope("nobody")):
        for where in (None, equals("rare", "True")):
            query = unit(chance)
            permitted = [
                item
                for item in items
                if scope.admits(item.tenant, item.groups) and (where is None or item.attributes["rare"] == "True")
            ]
            exact = sorted(permitted, key=lambda item: -float(item.vector @ query))[:50]
            assert [name for name, _ in index.search(query, scope, limit=50, where=where)] == [
                i.chunk_id for i in exact
            ]


def test_zeros_have_no_direction_and_do_no_harm() -> None:
    index = ExactIndex()
    index.upsert([VectorItem(1, "zero", "acme", GROUPS, np.zeros(DIMENSIONS, dtype=np.float32), {})])
    assert index.search(np.zeros(DIMENSIONS, dtype=np.float32), ACME, limit=1) == [("zero", 0.0)]
