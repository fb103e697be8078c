"""The threshold from which the system answers is fitted to questions of both kinds."""

from __future__ import annotations

import numpy as np
import pytest

from extensions.calibration.fitting import Graded, Judged, calibrate, fit_confidence
from foundation.errors import InvalidRequest


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


def judged(strength: float, right: bool, *, said: bool = False, contradicted: bool = False) -> Judged:
    return Judged(strength, said, contradicted, right)


def test_what_is_told_as_an_answer_is_right_as_often_as_asked_on_questions_that_the_fit_left_out():
    random = np.random.default_rng(5)
    strengths = random.random(600)
    asked = [judged(one, bool(random.random() < 1 / (1 + np.exp(-(8 * one - 4))))) for one in strengths]
    found = fit_confidence(asked)
    assert found["confidence"]["strength"] == pytest.approx(8, abs=2)
    assert found["answered_right"]["mean"] >= 0.85
    assert 0.2 < found["answered_share"] < 0.9
    assert found["calibration_error"] < 0.08


def test_where_nothing_tells_right_from_wrong_nothing_is_told_as_an_answer():
    found = fit_confidence([judged(0.5, right=bool(n % 2)) for n in range(100)])
    assert (found["answered_from"], found["answered_share"]) == (1.0, 0.0)


def test_too_few_of_either_kind_fit_no_curve():
    assert fit_confidence([judged(0.5, right=True)] * 40) == {"n_judged": 40}
