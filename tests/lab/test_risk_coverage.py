"""How many answers are wrong at each share that is answered, and how that is drawn."""

from __future__ import annotations

import pytest

from lab.bench.risk_coverage import curve, curves, plot, refused_at_85, threshold_at


def row(confidence, *, right=True, answerable=True, status="answered"):
    return {
        "confidence": confidence,
        "answerable": answerable,
        "status": status,
        "citation_recall": float(right) if answerable else None,
        "answer_contained": float(right) if answerable else None,
    }


def test_the_risk_at_each_coverage_is_what_one_works_out_by_hand():
    rows = [row(0.9), row(0.7, right=False), row(0.8), row(0.6, answerable=False), row(0.2, status="abstained")]
    found = curve(rows, "document")
    assert [(p.threshold, p.n) for p in found.points] == [(0.9, 1), (0.8, 2), (0.7, 3), (0.6, 4)]
    assert [p.coverage for p in found.points] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert [p.risk for p in found.points] == pytest.approx([0, 0, 1 / 3, 2 / 4])
    assert found.area == pytest.approx((0 + 0 + 1 / 3 + 2 / 4) / 4)


def test_equal_confidences_are_answered_together():
    found = curve([row(0.5, right=False), row(0.5), row(0.9)], "answer")
    assert [(p.n, p.risk) for p in found.points] == [(1, 0), (3, pytest.approx(1 / 3))]
    assert found.area == pytest.approx((0 + 1 / 3 + 1 / 3) / 3)


def test_what_cannot_be_judged_is_left_out_of_its_curve():
    without_gold = row(0.9) | {"answer_contained": None}
    found = curves([without_gold, row(0.8)])["risk_coverage"]
    assert (found["answer"]["questions"], found["document"]["questions"]) == (1, 2)


def test_a_long_curve_is_thinned_and_keeps_both_ends():
    points = curve([row(1 - i / 1000) for i in range(500)], "document").points
    assert len(points) == 40
    assert (points[0].n, points[-1].n) == (1, 500)


def test_a_system_that_answers_nothing_has_no_area():
    found = curves([row(0.1, status="abstained")])
    assert found["risk_area_document"] is None
    assert "<svg" in plot(found["risk_coverage"], "nothing")


def test_the_threshold_answers_at_least_that_share():
    rows = [row(value / 10) for value in range(1, 11)]
    assert threshold_at(0.85, rows) == pytest.approx(0.2)
    assert threshold_at(1.0, rows) == pytest.approx(0.1)


def test_what_was_never_graded_is_answered_at_no_threshold():
    assert threshold_at(0.85, [row(None), row(0.5)]) is None
    _, refused = refused_at_85([row(0.5), row(None, answerable=False)], [])
    assert refused["refused_unanswerable_at_85"] == [1.0]


def test_refusals_of_both_kinds_are_taken_where_85_percent_are_answered():
    own = [row(value / 100) for value in range(1, 101)]
    none = [row(0.1, answerable=False), row(0.9, answerable=False)]
    foreign = [row(0.05, answerable=False), row(0.15, answerable=False), row(0.16, answerable=False)]
    threshold, refused = refused_at_85([*own, *none], foreign)
    assert threshold == pytest.approx(0.16)
    assert refused == {"refused_unanswerable_at_85": [1.0, 0.0], "refused_foreign_at_85": [1.0, 1.0, 0.0]}


def test_the_plot_has_a_line_for_each_kind_of_error_and_escapes_its_title():
    drawn = plot(curves([row(0.9), row(0.8, right=False)])["risk_coverage"], "<b>&")
    assert drawn.count("<polyline") == 2
    assert "document, area 0.250" in drawn
    assert "<b>&" not in drawn
