"""What a comparison can see, against arithmetic by hand and against simulated runs."""

from __future__ import annotations

from random import Random

import pytest

from observability.evaluation.baseline import ScoreDifference, Side, compare, read_first
from observability.settings import ALLOWED


def side(name: str, passed: list[float]) -> Side:
    rows = [{"id": str(at), "question": "?", "status": "answered", "passed": value} for at, value in enumerate(passed)]
    return Side(name, rows, "corpus", "trials", {}, {})


def sight(before: list[float], after: list[float]) -> ScoreDifference:
    return compare(side("a", before), side("b", after), ALLOWED).metrics["passed"]


def test_where_nothing_changed_the_rule_of_three_bounds_it() -> None:
    few, many = sight([1.0] * 50, [1.0] * 50), sight([1.0] * 150, [1.0] * 150)
    assert (few.detects, few.more) == (3 / 50, 50)
    assert (many.detects, many.more) == (3 / 150, 0)


def test_it_follows_from_how_far_the_answers_differ() -> None:
    """Of 100 answers 10 turned wrong and 10 right: a spread of 0.4495, 2.80 standard errors of which are 0.126; 0.03 takes 1,762 cases."""
    seen = sight([1.0] * 10 + [0.0] * 90, [0.0] * 10 + [1.0] * 10 + [0.0] * 80)
    assert seen.detects == pytest.approx(0.1259, abs=0.0005)
    assert seen.more == pytest.approx(1662, abs=5)


def test_a_loss_as_large_as_it_says_shows_in_about_four_of_five_comparisons() -> None:
    n, lost = 400, 0.03
    shown, seen = 0, []
    for seed in range(200):
        random = Random(seed)
        moves = [random.choices((-1, 1, 0), (lost + 0.02, 0.02, 1 - lost - 0.04))[0] for _ in range(n)]
        outcome = compare(
            side("a", [float(move <= 0) for move in moves]), side("b", [float(move >= 0) for move in moves]), ALLOWED
        )
        shown += (outcome.metrics["passed"].high or 0) < 0
        seen.append(outcome.metrics["passed"].detects)
    assert sum(seen) / len(seen) == pytest.approx(lost * 1.2, rel=0.1)
    # a loss of 1 / 1.2 of what is seen shows in z = 2.80 / 1.2 - 1.96 = 0.37: 0.65 of the comparisons
    assert 0.5 < shown / 200 < 0.8


def test_cases_that_nobody_has_read_come_first_and_those_that_a_score_settles_are_left_out() -> None:
    changed = [
        {"id": "settled", "gain": -1.0},
        {"id": "open", "gain": 0.0},
        {"id": "unread", "gain": -1.0},
        *({"id": str(at), "gain": 0.0} for at in range(60)),
    ]
    found = read_first(changed, {"unread"})
    assert found[:2] == ["unread", "open"]
    assert "settled" not in found
    assert len(found) == 40
