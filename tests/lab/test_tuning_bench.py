"""What a tuning was worth, and by which weight a reranker is used."""

from __future__ import annotations

from typing import Any

import pytest

from foundation.types import Scope
from lab.finetune.held_out import Query, RemembersScores, Split, best_weight, compared
from retrieval.documents import Chunk, Hit, Source

QUERIES = [Query(str(number), f"question {number}", Scope("t"), {"gold": 1, "bad": 0}) for number in range(20)]


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (["bad", "gold"], ["gold"], "better"),
        (["gold"], ["bad", "gold"], "worse"),
        (["gold"], ["gold", "bad"], "no difference shown"),
    ],
)
def test_the_verdict_is_that_of_the_interval(before: list[str], after: list[str], verdict: str) -> None:
    runs = [{query.query_id: found for query in QUERIES} for found in (before, after)]
    found = compared(Split(QUERIES, QUERIES, "as given", 2), *runs, seed=7)

    assert found["verdict"] == verdict
    assert found["gain"] == pytest.approx(found["ndcg_at_10_after"] - found["ndcg_at_10_before"])
    assert (found["n_held_out"], found["queries_left_out"]) == (20, 2)
    assert f"{found['gain']:+.3f}" in found["told"]


def test_a_gain_that_few_queries_show_is_no_difference() -> None:
    before = {query.query_id: ["bad", "gold"] if query is QUERIES[0] else ["gold"] for query in QUERIES}
    after = {query.query_id: ["gold"] for query in QUERIES}

    found = compared(Split(QUERIES, QUERIES, "as given", 0), before, after, seed=7)

    assert found["gain"] > 0
    assert found["verdict"] == "no difference shown"


class Searching:
    """Finds the gold document first from a weight on."""

    def __init__(self, weight: float, enough: float) -> None:
        self.names = ["gold", "bad"] if weight >= enough else ["bad", "gold"]

    def retrieve(self, *_: Any, **__: Any) -> list[Hit]:
        return [Hit(Chunk(name, name, 0, name, 0, 1), Source(name, "t"), 1.0) for name in self.names]


@pytest.mark.parametrize(("enough", "best"), [(0.4, 0.4), (0.0, 0.1), (2.0, 0.1)])
def test_the_smallest_of_the_best_weights_is_taken(enough: float, best: float) -> None:
    assert best_weight(QUERIES, lambda weight: Searching(weight, enough)) == best  # type: ignore[arg-type, return-value]


def test_a_query_and_its_passages_are_scored_once() -> None:
    asked = []

    class Counting:
        def score(self, query: str, texts: list[str]) -> list[float]:
            asked.append((query, tuple(texts)))
            return [float(len(text)) for text in texts]

    reranker = RemembersScores(Counting())
    assert [reranker.score("q", ["a", "bb"]) for _ in range(3)] == [[1.0, 2.0]] * 3
    reranker.score("q", ["bb", "a"])
    assert asked == [("q", ("a", "bb")), ("q", ("bb", "a"))]
