"""The share of answers that pass, corrected by the judge's measured errors."""

from __future__ import annotations

import numpy as np
import pytest

from extensions.judge.correction import Outcomes, outcomes_of, pass_rate

KNOWN = Outcomes(both=90, people_only=10, judge_only=30, neither=70)


def test_answers_are_counted_by_who_lets_them_pass() -> None:
    found = outcomes_of(judged=[4, 2, 3, 1, 4], people=[3, 3.5, 2.5, 1, 4])
    assert found == Outcomes(both=2, people_only=1, judge_only=1, neither=1)


def test_it_is_the_estimate_of_rogan_and_gladen_by_hand() -> None:
    """(0.60 + 0.70 - 1) / (0.90 + 0.70 - 1) = 0.5"""
    found = pass_rate([4] * 120 + [1] * 80, KNOWN, seed=7)
    assert (found.judged, found.n) == (0.6, 200)
    assert found.corrected == pytest.approx(0.5)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.5 < found.high


def test_the_interval_holds_the_truth_in_about_95_of_100_pairs_of_samples() -> None:
    random, held, truth = np.random.default_rng(3), 0, 0.8
    for seed in range(200):
        right, wrong = random.binomial(80, 0.9), random.binomial(80, 0.75)
        passing = random.binomial(150, truth * 0.9 + (1 - truth) * 0.25)
        known = Outcomes(both=right, people_only=80 - right, judge_only=80 - wrong, neither=wrong)
        found = pass_rate([3] * passing + [2] * (150 - passing), known, seed=seed)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= truth <= found.high
    assert 180 <= held < 200


def test_it_is_wider_than_the_noise_of_the_judged_answers_alone() -> None:
    marks = [4] * 120 + [1] * 80
    few = pass_rate(marks, Outcomes(both=18, people_only=2, judge_only=6, neither=14), seed=7)
    many = pass_rate(marks, Outcomes(both=9000, people_only=1000, judge_only=3000, neither=7000), seed=7)
    assert (few.high or 0) - (few.low or 0) > 1.3 * ((many.high or 0) - (many.low or 0))


@pytest.mark.parametrize(
    "known",
    [
        Outcomes(both=50, people_only=50, judge_only=50, neither=50),
        Outcomes(both=3, people_only=0, judge_only=1, neither=0),
        Outcomes(both=0, people_only=0, judge_only=0, neither=0),
    ],
)
def test_a_judge_that_does_not_surely_tell_right_from_wrong_corrects_nothing(known: Outcomes) -> None:
    found = pass_rate([4, 4, 1], known, seed=7)
    assert (found.corrected, found.low, found.high) == (None, None, None)
    assert str(found) == "-"


def test_without_marks_there_is_no_rate() -> None:
    assert pass_rate([], KNOWN, seed=7).corrected is None
