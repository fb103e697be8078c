"""Chat models alone and one before the other: what each point costs, and which of them is chosen."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from extensions.cascade.cascade import why_up
from extensions.cascade.frontier import Point, draw_frontier
from extensions.cascade.frontier_command import _row as frontier_row
from extensions.value.outcome_contract import OutcomeContract, load_contract
from observability.evaluation.golden_set import CaseScore, score
from observability.evaluation.leaks import DocumentText, LeakFinder
from observability.evaluation.metrics import Estimate
from tests.doubles import answers

LEAKS = LeakFinder([DocumentText("b.md", "globex", frozenset(), "What only another tenant may read of the double.")])
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def contract() -> OutcomeContract:
    return load_contract(ROOT / "outcomes.toml")


def _asked(number: int, *, right: bool, usd: str, seconds: float, **changes: Any) -> CaseScore:
    text = "double: 30 days" if right else "double: nothing of it"
    told = answers.answer(text, cites=["a.md"], cost_usd=Decimal(usd), seconds=seconds, **changes)
    return score(answers.case(id=f"g{number}"), told, leaks=LEAKS)


def _refused(number: int, *, usd: str, seconds: float) -> CaseScore:
    case = answers.case(id=f"u{number}", gold_documents=(), answers=(), answerable=False, kind="unanswerable")
    told = answers.answer("double: no", status="abstained", cost_usd=Decimal(usd), seconds=seconds)
    return score(case, told, leaks=LEAKS)


def _models() -> dict[str, list[CaseScore]]:
    """A cheap model that is right where it is sure, half of 40 times, and one that is always right; both refuse 8 times."""
    sure = [number % 4 < 2 for number in range(40)]
    cheap = [
        _asked(number, right=known, usd="0.001", seconds=1.0, confidence=0.9 if known else 0.3)
        for number, known in enumerate(sure)
    ]
    strong = [_asked(number, right=True, usd="0.1", seconds=2.0) for number in range(40)]
    return {
        "cheap": cheap + [_refused(number, usd="0.001", seconds=1.0) for number in range(8)],
        "strong": strong + [_refused(number, usd="0.1", seconds=2.0) for number in range(8)],
    }


def _by(points: list[Point], name: str, up_below: float | None) -> Point:
    return next(point for point in points if (point.name, point.up_below) == (name, up_below))


def test_models_that_cost_nothing_have_no_interval_of_their_money(contract: OutcomeContract) -> None:
    free = [_asked(number, right=True, usd="0", seconds=1.0) for number in range(8)]
    points, _ = draw_frontier({"free": free}, why_up, contract, seed=1)
    assert (points[0].usd.low, points[0].usd.high) == (0, 0)
    assert points[0].passed.low < points[0].passed.high


def test_asking_the_cheaper_one_first_costs_both_where_it_goes_up_and_keeps_the_quality(
    contract: OutcomeContract,
) -> None:
    points, chosen = draw_frontier(_models(), why_up, contract, seed=7)
    assert chosen == _by(points, "cheap > strong", 0.9)
    assert chosen is not None
    assert (chosen.passed.mean, chosen.went_up) == (1.0, 14 / 24)
    assert chosen.usd.mean == pytest.approx(0.001 + 14 / 24 * 0.1)
    assert chosen.seconds.mean == pytest.approx(1.0 + 14 / 24 * 2.0)
    assert chosen.usd_per_accepted == pytest.approx(chosen.usd.mean)
    assert (_by(points, "strong", None).usd_per_accepted, _by(points, "strong", None).passed.n) == (
        pytest.approx(0.1),
        24,
    )


def test_a_point_that_breaks_a_floor_is_not_chosen_however_cheap_it_is(contract: OutcomeContract) -> None:
    points, _ = draw_frontier(_models(), why_up, contract, seed=7)
    alone = _by(points, "cheap", None)
    assert alone.usd_per_accepted == pytest.approx(0.001 * 24 / 14)
    assert any("answer contained 0.5" in floor for floor in alone.broken)
    assert draw_frontier({"cheap": _models()["cheap"]}, why_up, contract, seed=7)[1] is None


def test_what_has_no_price_is_not_chosen(contract: OutcomeContract) -> None:
    unpriced = [score(answers.case(id=f"g{n}"), answers.answer(cost_usd=None)) for n in range(8)]
    (point,), chosen = draw_frontier({"unpriced": unpriced}, why_up, contract, seed=7)
    assert (point.usd_per_accepted, point.usd.mean, chosen) == (None, None, None)


def test_a_cascade_whose_first_model_has_no_price_has_none_either(contract: OutcomeContract) -> None:
    models = _models()
    models["cheap"] = [replace(one, usd=None) for one in models["cheap"]]
    points, chosen = draw_frontier(models, why_up, contract, seed=7)
    cascade = _by(points, "cheap > strong", 0.9)
    assert (cascade.usd.n, cascade.usd_per_accepted) == (0, None)
    assert chosen == _by(points, "strong", None)


@pytest.mark.parametrize(
    ("passed", "usd", "shown"), [(0.0, None, "none accepted"), (0.5, 0.002, "$0.002000"), (0.5, None, "unpriced")]
)
def test_a_frontier_without_accepted_answers_does_not_say_that_they_have_no_price(
    passed: float, usd: float | None, shown: str
) -> None:
    of = Estimate(passed, passed, passed, 4)
    point = Point("double", None, 0.0, of, Estimate(0.001, 0.001, 0.001, 4), of, usd, ())
    assert shown in frontier_row(point)
