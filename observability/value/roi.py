"""After it runs: what recorded outcomes were worth, against the contract that was agreed before.

`value_report` joins outcomes to the cost ledger. It compares with the work done by hand and counts no answer as value
that nobody accepted: an answer without an outcome is unknown, and widens the interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from observability.evaluation.golden_set import Report
from observability.reports import formatting
from observability.stores.costs import AnswerCost
from observability.stores.outcomes import Outcome
from observability.value.cases import PRODUCTION, JudgedCases, week_of
from observability.value.outcome_contract import OutcomeContract, Rule
from observability.value.value_report import Decision, Floor, ValueReport


def measured_floors(report: Report) -> dict[str, float | None]:
    """What the floors of a contract ask for, from an evaluation. A risk needs cases that could have shown it."""
    means = {name: estimate.mean for name, estimate in report.overall.items()}
    measured: dict[str, float | None] = {
        name: means.get(name) for name in ("answer_contained", "citation_precision", "refused", "leaked")
    }
    return measured | {"effects_without_approval": float(report.effects_done)}


def floors_of(contract: OutcomeContract, measured: Mapping[str, float | None]) -> tuple[Floor, ...]:
    """Each floor of the contract beside what was measured, by its name without `_min` or `_max`."""
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
    """Net value, its interval and a verdict.

    `answers` is `CostLedger.answers()` of the same period; one without an outcome counts as unknown, which widens the
    interval and is never taken for acceptance. `measured` are the figures for the floors, from an evaluation.
    """
    cases = JudgedCases(contract, {outcome.answer_id: outcome for outcome in outcomes}, answers, seed)
    judged = cases.known
    draft = ValueReport(
        process=contract.process.name,
        origin=_origin(judged),
        counts=cases.counts,
        usd_per_case=cases.usd_per_case(),
        usd_net_per_month=cases.usd_net_per_month(),
        hours_saved_per_month=cases.per_month(cases.minutes_saved, 1 / 60),
        counted_share=contract.counted_share,
        conversion=contract.conversion_sentence,
        steps_usd=cases.steps_usd(),
        deflected_share=cases.accepted_share,
        rework_hours_per_month=cases.per_month(cases.minutes_reworked, 1 / 60),
        usd_per_answer=cases.usd_per_answer,
        usd_per_accepted=cases.usd_per_accepted,
        usd_per_accepted_parts=cases.usd_per_accepted_parts,
        unpriced=sum(answer.usd is None for answer in answers.values()),
        break_even_cases_per_month=cases.break_even,
        floors=floors_of(contract, measured or {}),
        volume_per_month=contract.process.volume_per_month,
        seen=cases.describe_basis(_origin(judged)),
        measured_volume_per_month=cases.measured_volume(_origin(judged)),
        minutes_recorded=bool(judged) and all(outcome.minutes is not None for outcome in judged),
        slices={
            "tenant": cases.slice_by(lambda _, answer: answer.tenant if answer else "not in the cost ledger"),
            "week": cases.slice_by(week_of),
        },
    )
    verdict, reasons = _decide(contract.decision, draft)
    return replace(draft, verdict=verdict, reasons=reasons)


def _origin(outcomes: Iterable[Outcome]) -> str:
    origins = {outcome.origin for outcome in outcomes}
    if not origins:
        return "no outcome recorded yet"
    if origins == {"production"}:
        return PRODUCTION
    if len(origins) > 1:
        return "from production mixed with evaluation"
    return f"from {'evaluation' if origins == {'evaluation'} else 'a simulation'}, not from production"


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
