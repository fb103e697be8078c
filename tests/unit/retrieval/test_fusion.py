"""One ranking out of the scores of several searches."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.search.fusion import standard_score_fusion

SCORES = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0.01, 30))
SEARCHES = st.dictionaries(st.sampled_from(["keyword", "vector"]), SCORES)


def fused(searches: dict[str, dict[str, float]], floor: float = 0.0, **weights: float) -> list[str]:
    found = standard_score_fusion(
        searches,
        weights={search: weights.get(search, 1.0) for search in searches},
        floors=dict.fromkeys(searches, floor),
    )
    return [name for name, _ in found]


def test_a_hit_that_stands_far_out_in_one_leg_beats_small_differences_in_the_other() -> None:
    others = [f"other {number}" for number in range(20)]
    keyword = {"exact": 30.0} | {name: 2.0 + 0.1 * place for place, name in enumerate(others)}
    vector = {"exact": 0.49} | {name: 0.50 + 0.01 * place for place, name in enumerate(others)}
    assert fused({"keyword": keyword, "vector": vector})[0] == "exact"


def test_the_scale_of_a_leg_does_not_matter() -> None:
    searches = {"keyword": {"x": 3.0, "y": 2.0, "z": 1.0}, "vector": {"z": 0.9, "y": 0.8, "x": 0.1}}
    larger = {**searches, "keyword": {name: 1000 * score for name, score in searches["keyword"].items()}}
    assert fused(searches) == fused(larger)


def test_what_a_leg_did_not_return_stands_at_its_floor() -> None:
    searches = {"keyword": {"x": 9.0}, "vector": {"y": 0.9, "x": 0.8}}
    assert fused(searches, floor=0.0, vector=0.5) == ["x", "y"]
    assert fused({"keyword": {"x": 9.0}, "vector": searches["vector"]}, floor=9.0) == ["y", "x"]


def test_a_leg_whose_scores_are_all_alike_changes_nothing() -> None:
    assert fused({"keyword": {"x": 1.0, "y": 1.0 + 1e-12}, "vector": {"x": 0.2, "y": 0.3}}) == ["y", "x"]


def test_the_weight_decides_between_searches_that_disagree() -> None:
    searches = {"keyword": {"words": 2.0, "meaning": 1.0}, "vector": {"meaning": 0.9, "words": 0.1}}
    assert fused(searches, keyword=2.0)[0] == "words"
    assert fused(searches, vector=2.0)[0] == "meaning"
    assert fused(searches, keyword=0.0)[0] == "meaning"


@pytest.mark.parametrize("searches", [{}, {"keyword": {}}, {"keyword": {}, "vector": {}}])
def test_searches_that_found_nothing_give_nothing(searches: dict[str, dict[str, float]]) -> None:
    assert fused(searches) == []


@given(searches=SEARCHES)
def test_every_name_of_every_search_comes_back_once_with_falling_scores(searches: dict[str, dict[str, float]]) -> None:
    found = standard_score_fusion(searches, weights=dict.fromkeys(searches, 1.0), floors=dict.fromkeys(searches, 0.0))
    assert Counter(name for name, _ in found) == Counter({name for search in searches.values() for name in search})
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)


@given(scores=SCORES)
def test_a_single_leg_keeps_its_order(scores: dict[str, float]) -> None:
    ranked = sorted(scores, key=lambda name: -scores[name])
    distinct = len({round(score, 3) for score in scores.values()}) == len(scores)
    assert not distinct or fused({"vector": scores}) == ranked
