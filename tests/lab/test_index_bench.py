"""What `make bench-index` says of a vector index, of an exact one and of one that loses some."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extensions.datasets.reading import SCOPE
from foundation.components import Context, load
from foundation.settings import Part
from lab.bench.index import LIKENESS, Copies, copies, fill, recall

SENTENCES = [f"Sentence {number} says what one may do with the lamp after {number} years." for number in range(30)]
CHUNKS = 1500


class LosesTheNearest:
    """A double of an index that misses the best hit of every search."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def search(self, *asked: Any, **named: Any) -> list[tuple[str, float]]:
        found: list[tuple[str, float]] = self._real.search(*asked, **named)
        return found[1:]


@pytest.fixture
def corpus(tmp_path: Path) -> Copies:
    return copies(
        SENTENCES, load("models.embedder", Part(use="hashing"), Context(data_dir=tmp_path)), chunks=CHUNKS, seed=3
    )


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Any]:
    made = load("retrieval.ledger", Part(use="sqlite"), Context(data_dir=tmp_path))
    yield made
    made.close()


@pytest.fixture
def exact(tmp_path: Path) -> Any:
    return load("retrieval.vectors", Part(use="memory"), Context(data_dir=tmp_path))


def filled(corpus: Copies, ledger: Any, vectors: Any) -> list[tuple[str, int, int]]:
    told: list[tuple[str, int, int]] = []
    fill(corpus, ledger, vectors, seed=3, progress=lambda *said: told.append(said))
    return told


def test_an_exact_index_finds_all_and_a_losing_one_is_told_by_the_figure(
    corpus: Copies, ledger: Any, exact: Any
) -> None:
    filled(corpus, ledger, exact)
    assert recall(corpus, exact)["recall_at_10"] == 1
    lost = recall(corpus, LosesTheNearest(exact))
    assert (lost["recall_at_10"], lost["worst_recall_at_10"]) == pytest.approx((0.9, 0.9))


def test_everything_is_stored_as_an_ingest_stores_it(corpus: Copies, ledger: Any, exact: Any) -> None:
    told = filled(corpus, ledger, exact)
    assert ledger.chunk_count() == exact.count() == told[-1][1] == CHUNKS
    assert exact.sequence() == ledger.sequence()
    assert ledger.keyword_search(corpus.texts[0], SCOPE, limit=3, as_of=None)
    [first, *_] = ledger.documents(SCOPE)
    assert (first.chunks, ledger.text(first.document_id, SCOPE).count("\n")) == (10, 10)


def test_copies_lie_beside_their_family_and_are_not_the_same(corpus: Copies) -> None:
    first = [place for place, family in enumerate(corpus.family) if family == corpus.family[0]]
    assert len(first) == CHUNKS // len(corpus.texts) + 1
    assert np.allclose(np.linalg.norm(corpus.vectors, axis=1), 1, atol=1e-5)
    cosine = float(corpus.vectors[first[0]] @ corpus.vectors[first[1]])
    assert cosine == pytest.approx(LIKENESS**2, abs=0.1)
