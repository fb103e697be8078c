"""The promises of a reranker, on every adapter in models/rerankers, and on broken ones that must be rejected."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundation.components import Context, load
from foundation.settings import Part
from models.contract import Reranker
from tests.contracts import under_test
from tests.contracts.broken import reranker as broken

QUERY = "when is a refund paid"
TEXTS = ["the printer prints", "a refund is paid within fourteen days", "", "漢字 🙂", "a refund"]


def gives_one_score_a_text(reranker: Reranker) -> None:
    assert len(reranker.score(QUERY, list(TEXTS))) == len(TEXTS)


def takes_no_texts(reranker: Reranker) -> None:
    assert reranker.score(QUERY, []) == []


def is_deterministic(reranker: Reranker) -> None:
    assert reranker.score(QUERY, list(TEXTS)) == reranker.score(QUERY, list(TEXTS))


def gives_finite_numbers(reranker: Reranker) -> None:
    assert all(isinstance(score, float) and math.isfinite(score) for score in reranker.score(QUERY, list(TEXTS)))


def leaves_its_input_alone(reranker: Reranker) -> None:
    given = list(TEXTS)
    reranker.score(QUERY, given)
    assert given == TEXTS


def takes_an_empty_query(reranker: Reranker) -> None:
    assert len(reranker.score("", list(TEXTS))) == len(TEXTS)


PROMISES: list[Callable[[Reranker], None]] = [
    gives_one_score_a_text, takes_no_texts, is_deterministic, gives_finite_numbers, leaves_its_input_alone,
    takes_an_empty_query,
]  # fmt: skip


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("adapter", under_test.adapters("models.reranker"))
def test_every_adapter_keeps(adapter: str, promise: Callable[[Reranker], None], tmp_path: Path) -> None:
    part = under_test.part("models.reranker", adapter)
    promise(load("models.reranker", part, Context(data_dir=tmp_path), expected=Reranker))


def test_no_reranking_leaves_the_order_of_retrieval(tmp_path: Path) -> None:
    reranker: Reranker = load("models.reranker", Part(use="none"), Context(data_dir=tmp_path))
    scores = reranker.score(QUERY, TEXTS)
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == len(scores)


def _failures(reranker: Reranker) -> list[str]:
    failed = []
    for promise in PROMISES:
        try:
            promise(reranker)
        except Exception:  # any failure counts, as it does in pytest
            failed.append(promise.__name__)
    return failed


def test_the_suite_accepts_a_healthy_double() -> None:
    assert _failures(broken.Healthy()) == []


@pytest.mark.parametrize("fault", broken.BROKEN, ids=lambda fault: fault.__name__)
def test_the_suite_rejects(fault: Any) -> None:
    assert fault.caught_by in _failures(fault())
