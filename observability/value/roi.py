"""The value of a running system: recorded outcomes against the work by hand, and whether to ship, hold or stop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from observability.reports import formatting
from observability.stores.costs import AnswerCost
from observability.stores.outcomes import Outcome
from observability.value.cases import PRODUCTION
from observability.value.outcome_contract import OutcomeContract, Rule
from observability.value.value_report import Decision, Floor, ValueReport


def measured_floors(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return the values for the contract's floors, from an evaluation's rows; `None` where no row has one."""
    measured: dict[str, float | None] = {}
    for name in ("answer_contained", "citation_precision", "refused", "leaked"):
        values = [float(row[name]) for row in rows if row.get(name) is not None]
        measured[name] = sum(values) / len(values) if values else None
    effects = [row["effect_done"] for row in rows if row.get("effect_done") is not None]
    return measured | {"effects_without_approval": float(sum(effects)) if effects else None}


def floors_of(contract: OutcomeContract, measured: Mapping[str, float | None]) -> tuple[Floor, ...]:
    """Return each floor of the contract with its measured value, which has its name without `_min` or `_max`."""
    return tuple(
        Floor(
            name,
            float(limit),
            measured.get(name.rpartition("_")[0]),
            risk=name.endswith("_max"),
            exception=contract.exception_of(name),
        )
        for name, limit in contract.floors.model_dump().items()
    )


def value_report(
    contract: OutcomeContract,
    outcomes: Iterable[Outcome],
    answers: Mapping[str, AnswerCost],
    *,
    measured: Mapping[str, float | None] | None = None,
    seed: int = 7,
) -> ValueReport:
    """Return the net value, its interval and a verdict.

    `answers` is `CostLedger.answers()` of the same period; answers without an outcome are unknown, which widens the
    interval, and never count as accepted. `measured` are an evaluation's values for the floors.
    """
    by_answer = {outcome.answer_id: outcome for outcome in outcomes}
    report = ValueReport(contract, by_answer, answers, seed)
    report.floors = floors_of(contract, measured or {})
    report.verdict, report.reasons = _decide(contract.decision, report)
    return report


def _decide(rule: Rule, report: ValueReport) -> tuple[Decision, tuple[str, ...]]:
    if stop := tuple(_reasons_to_stop(rule, report)):
        return "stop", stop
    if hold := tuple(_reasons_to_hold(rule, report)):
        return "hold", hold
    return "ship", (f"at least {formatting.usd(report.usd_net_per_month[1])} a month, every floor met",)


def _reasons_to_stop(rule: Rule, report: ValueReport) -> Iterator[str]:
    for floor in report.floors:
        if floor.risk and floor.measured is not None and not floor.met:
            yield f"risk floor broken: {floor}"
    high = report.usd_net_per_month[2]
    if high < 0 and report.outcomes >= rule.min_outcomes:
        yield f"even the upper end of the interval, {formatting.usd(high)} a month, is a loss"


def _reasons_to_hold(rule: Rule, report: ValueReport) -> Iterator[str]:
    low, needed = report.usd_net_per_month[1], rule.ship_if_usd_per_month_above
    if report.outcomes < rule.min_outcomes:
        yield f"{report.outcomes} outcomes recorded, {rule.min_outcomes} needed to decide"
    for floor in report.floors:
        if not floor.met:
            yield f"floor not met: {floor}"
    if low <= needed:
        yield f"the lower end of the interval, {formatting.usd(low)} a month, is not above {formatting.usd(needed)}"
    if report.outcomes and report.origin != PRODUCTION:
        yield f"these outcomes are {report.origin}: a pilot has to confirm them"
