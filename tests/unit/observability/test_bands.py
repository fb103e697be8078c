"""How quotes were told is counted at the gate, with the distance of their confidence from how often they are right."""

import pytest

from observability.evaluation.bands import bands_of, expected_error


def test_the_calibration_error_is_the_distance_of_the_confidence_from_the_share_of_right_ones():
    assert expected_error([0.8] * 100, ([True] * 4 + [False]) * 20) == pytest.approx(0.0)
    assert expected_error([1.0] * 10 + [0.0] * 10, [True] * 10 + [False] * 10) == 0.0
    assert expected_error([1.0] * 10, [False] * 10) == 1.0


def test_the_gate_counts_what_was_told_as_an_answer_and_is_surely_wrong_too_often():
    rows = [
        *({"band": "answered", "confidence": 0.9, "passed": 1.0} for _ in range(3)),
        *({"band": "closest", "confidence": 0.4, "passed": 0.0} for _ in range(5)),
        {"band": None, "confidence": None, "passed": 1.0},
        {"band": "not_found", "passed": 1.0},
    ]
    bands = bands_of(rows)
    assert (bands.shown, bands.right.n, bands.right.mean, bands.too_often_wrong) == (8, 3, 1.0, False)
    assert str(bands).startswith("3 of 8 quoted answers (38%) were told as an answer, right 1.000")
    wrong = [{"band": "answered", "confidence": 0.9, "passed": 0.0}] * 20
    assert bands_of(wrong).too_often_wrong
    assert str(bands_of([])) == "nothing was quoted from documents"


def test_what_was_worked_out_is_no_quote_and_needs_no_confidence() -> None:
    worked_out = {"band": "answered", "confidence": None, "passed": 1.0}
    quoted = {"band": "closest", "confidence": 0.4, "passed": 0.0}
    bands = bands_of([worked_out, quoted])
    assert (bands.shown, bands.right.n, bands.error) == (1, 0, pytest.approx(0.4))
