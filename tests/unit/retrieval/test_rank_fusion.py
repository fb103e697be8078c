"""One ranking out of several, by their ranks."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.search.rank_fusion import reciprocal_rank_fusion

NAMES = st.lists(st.sampled_from("abcdefgh"), unique=True)
RANKINGS = st.dictionaries(st.sampled_from(["keyword", "vector", "third"]), NAMES)


def order(rankings: dict[str, list[str]], **options: object) -> list[str]:
    return [name for name, _ in reciprocal_rank_fusion(rankings, **options)]  # type: ignore[arg-type]


def test_what_two_searches_find_stands_above_what_one_finds_at_the_same_rank() -> None:
    assert order({"keyword": ["both", "one"], "vector": ["both", "other"]})[0] == "both"


def test_two_middling_ranks_beat_one_first_rank() -> None:
    assert order({"keyword": ["first", "middling"], "vector": ["other", "middling"]})[0] == "middling"


def test_the_score_is_the_published_formula() -> None:
    fused = reciprocal_rank_fusion({"keyword": ["x"], "vector": ["y", "x"]}, k=9)
    assert dict(fused) == pytest.approx({"x": 1 / 10 + 1 / 11, "y": 1 / 10})


def test_equal_scores_stand_in_the_order_of_first_appearance() -> None:
    assert order({"keyword": ["x", "y"], "vector": ["y", "x"]}) == ["x", "y"]
    assert order({"keyword": ["y", "x"], "vector": ["x", "y"]}) == ["y", "x"]


def test_a_small_k_lets_a_first_rank_count_for_more() -> None:
    searches = {"keyword": ["first", "middling"], "vector": ["x", "y", "middling"]}
    assert order(searches, k=60)[0] == "middling"
    assert order(searches, k=0)[0] == "first"


@pytest.mark.parametrize("rankings", [{}, {"keyword": []}, {"keyword": [], "vector": []}])
def test_nothing_found_gives_nothing(rankings: dict[str, list[str]]) -> None:
    assert reciprocal_rank_fusion(rankings) == []


def test_a_leg_that_finds_nothing_leaves_the_other_as_it_is() -> None:
    assert order({"keyword": [], "vector": ["c", "a", "b"]}) == ["c", "a", "b"]


@given(rankings=RANKINGS)
def test_every_name_appears_once_and_the_best_first(rankings: dict[str, list[str]]) -> None:
    fused = reciprocal_rank_fusion(rankings)
    assert Counter(name for name, _ in fused) == Counter({name for leg in rankings.values() for name in leg})
    scores = [score for _, score in fused]
    assert scores == sorted(scores, reverse=True)


@given(rankings=RANKINGS)
def test_the_rankings_are_left_as_they_were(rankings: dict[str, list[str]]) -> None:
    before = {leg: list(names) for leg, names in rankings.items()}
    reciprocal_rank_fusion(rankings)
    assert rankings == before


@given(ranking=NAMES)
def test_one_leg_alone_keeps_its_order(ranking: list[str]) -> None:
    assert order({"vector": ranking}) == ranking
