"""Exact search in memory: what came and went since its matrix was stacked."""

import numpy as np

from foundation.types import Scope
from retrieval.documents import VectorItem
from retrieval.index import exact_search
from retrieval.index.exact_search import ExactIndex

ACME = Scope("acme")


def test_vectors_that_come_go_and_come_again_are_found_once_and_as_they_are_now(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(exact_search, "_BESIDE", 3)
    chance, index, stored = np.random.default_rng(7), ExactIndex(), dict[str, np.ndarray]()
    for step in range(200):
        name = f"{chance.integers(60)}"
        if name in stored and step % 3 == 0:
            index.delete([name])
            del stored[name]
        else:
            row = chance.standard_normal(8).astype(np.float32)
            stored[name] = row / np.linalg.norm(row)
            index.upsert([VectorItem(step, name, "acme", frozenset(), stored[name], {})])
        vector = chance.standard_normal(8).astype(np.float32)
        wanted = sorted(stored, key=lambda name: -float(stored[name] @ vector))[:5]
        assert [name for name, _ in index.search(vector, ACME, limit=5)] == wanted
    assert index.count() == len(stored)
