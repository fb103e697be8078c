"""The threshold from which the system answers is fitted to questions of both kinds."""

from __future__ import annotations

import numpy as np
import pytest

from foundation.errors import InvalidRequest
from observability.evaluation.calibration import Graded, calibrate


def questions(*, answerable, alike=(), foreign=()):
    return [
        *(Graded(each, answerable=True) for each in answerable),
        *(Graded(each, answerable=False) for each in alike),
        *(Graded(each, answerable=False, foreign=True) for each in foreign),
    ]


def spread(middle, count=20, width=0.1):
    return np.linspace(middle - width, middle + width, count).tolist()


def test_the_threshold_lies_in_the_middle_between_both_kinds():
    found = calibrate(questions(answerable=spread(0.7), alike=spread(0.3)))
    assert found["min_evidence"] == pytest.approx(0.5, abs=0.01)
    assert (found["auc_unanswerable"], found["auc_foreign"]) == (1.0, None)
    assert (found["n_answerable"], found["n_unanswerable"], found["n_foreign"]) == (20, 20, 0)


def test_how_many_there_are_of_a_kind_does_not_move_the_threshold():
    own = {"answerable": spread(0.7, width=0.2), "alike": spread(0.5, width=0.2)}
    few, many = (calibrate(questions(**own, foreign=spread(0.3, count, 0.2)))["min_evidence"] for count in (20, 400))
    assert many == pytest.approx(few, abs=0.02)


def test_confidences_that_tell_nothing_have_the_score_of_a_coin():
    random = np.random.default_rng(3)
    found = calibrate(questions(answerable=random.random(150), alike=random.random(150)))
    assert 0.4 < found["auc_unanswerable"] < 0.6


def test_each_share_that_is_answered_has_its_refusals():
    found = calibrate(questions(answerable=[0.1 * n for n in range(1, 11)], alike=[0.05] * 5, foreign=[0.15, 0.95] * 3))
    first = found["at"][0]
    assert (first["answered"], first["threshold"]) == (0.8, pytest.approx(0.3))
    assert (first["refused_unanswerable"], first["refused_foreign"]) == (1.0, 0.5)


def test_the_same_questions_give_the_same_figures():
    asked = questions(answerable=spread(0.6), alike=spread(0.5))
    assert calibrate(asked) == calibrate(asked)


def test_too_few_of_a_kind_say_how_to_get_them():
    with pytest.raises(InvalidRequest, match="FOREIGN=folder"):
        calibrate(questions(answerable=spread(0.7), foreign=[0.1]))
