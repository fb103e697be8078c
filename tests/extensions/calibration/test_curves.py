"""A curve is fitted to the signs that tell, and a score is measured at every threshold."""

import numpy as np
import pytest

from extensions.calibration.curves import auc, fit_logistic


def test_a_curve_learns_the_sign_that_tells_and_ignores_the_one_that_does_not() -> None:
    chance = np.random.default_rng(3)
    rows = np.zeros((200, 2))
    truth = [bool(n % 2) for n in range(200)]
    rows[:, 0] = [0.9 if true else 0.1 for true in truth]
    rows[:, 1] = chance.random(200)
    curve = fit_logistic(rows, truth)

    assert curve.score(rows[1]) > 0.9
    assert curve.score(rows[0]) < 0.1
    assert abs(curve.weights[0]) > 10 * abs(curve.weights[1])


def test_both_outcomes_weigh_the_same_however_rare_one_is() -> None:
    rows = np.zeros((100, 2))

    assert fit_logistic(rows, [n < 10 for n in range(100)]).score(rows[0]) == pytest.approx(0.5)


def test_within_an_outcome_rows_weigh_as_they_are_told_to() -> None:
    rows = np.array([[0.9], [0.8], [0.2], [0.8]])
    truth = [True, True, False, False]
    same, fewer = fit_logistic(rows, truth), fit_logistic(rows, truth, weights=[1, 1, 1, 1e-6])

    assert fewer.score(rows[1]) > same.score(rows[1])
    assert fit_logistic(rows, truth, weights=[5, 5, 2, 2]).score(rows[1]) == pytest.approx(
        same.score(rows[1]), abs=1e-4
    )


def test_the_area_under_the_curve_counts_pairs_in_order_and_ties_as_half() -> None:
    assert auc([0.9, 0.5, 0.5, 0.1], [True, True, False, False]).mean == 0.875
    assert auc([0.9, 0.5], [True, True]).mean is None
