"""After it runs: what recorded outcomes were worth, against the contract that was agreed before.

`value_report` joins outcomes to the cost ledger. It compares with the work done by hand and counts no answer as value
that nobody accepted: an answer without an outcome is unknown, and widens the interval.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
from rich.markup import escape
from rich.table import Table

from observability.evaluation.golden_set import Report
from observability.evaluation.metrics import RESAMPLES
from observability.reports import formatting
from observability.stores.costs import AnswerCost
from observability.stores.outcomes import Outcome
from observability.value.figures import Basis, Figure, weakest
from observability.value.outcome_contract import VERDICTS, FloorException, OutcomeContract, Rule

Decision = Literal["ship", "hold", "stop"]
PRODUCTION = "from production"
STEPS = ("minutes that count", "errors avoided", "answers", "running it", "a month's part of building it")
A_MONTH_S = 30 * 86400.0
ENOUGH_S = 28 * 86400.0
"""Less was seen than a month needs to be counted."""
Interval = tuple[float | None, float, float]
"""(estimate, low, high): `None` without any outcome; 95 %, every unknown outcome at its worst and at its best."""


@dataclass(frozen=True, slots=True)
class Floor:
    """One limit of the contract, with what was measured."""

    name: str
    limit: float
    measured: float | None
    risk: bool
    exception: FloorException | None = None
    """What the contract excepts from it. `met` does not ask."""

    @property
    def met(self) -> bool:
        if self.measured is None:
            return False
        return self.measured <= self.limit if self.name.endswith("_max") else self.measured >= self.limit

    def is_excused(self, today: date) -> bool:
        """Whether it is broken within an exception that is in force."""
        if self.met or self.exception is None or self.measured is None:
            return False
        return self.exception.excuses(self.measured, today=today)

    def as_dict(self) -> dict[str, Any]:
        exception = self.exception.model_dump(mode="json") if self.exception else None
        return {
            "name": self.name,
            "limit": self.limit,
            "measured": self.measured,
            "met": self.met,
            "exception": exception,
        }

    def __str__(self) -> str:
        word = "at most" if self.name.endswith("_max") else "at least"
        value = "not measured" if self.measured is None else f"{self.measured:.3g}"
        return f"{self.name.rpartition('_')[0].replace('_', ' ')} {value}, {word} {self.limit:g} was agreed"


@dataclass(frozen=True, slots=True)
class Slice:
    """The cases of one tenant, week or kind."""

    key: str
    outcomes: int
    unknown: int
    accepted_share: float | None
    """Accepted or edited, of those with an outcome."""
    usd_per_case: Interval
    """What a case was worth after the cost of its answer, before the fixed costs."""
    usd_per_accepted: float | None


@dataclass(frozen=True, slots=True)
class ValueReport:
    """An estimate from a sample of outcomes, taken to a month's volume."""

    process: str
    origin: str
    """`from production`, or plainly that it is not."""
    counts: Mapping[str, int]
    """Answers by verdict, and `unknown`: nobody recorded what became of them."""
    usd_per_case: Interval
    """What a case was worth after the cost of its answer, before the fixed costs."""
    usd_net_per_month: Interval
    hours_saved_per_month: float | None
    """By everybody together, whether it counts as money or not; `None` without any outcome."""
    counted_share: float
    conversion: str
    steps_usd: Mapping[str, float]
    """A month's net value in parts that add up to its estimate; empty without any outcome."""
    deflected_share: float | None
    """Cases that an answer closed, accepted as it was or edited, of those with an outcome."""
    rework_hours_per_month: float | None
    """Spent on editing answers and on doing rejected ones again."""
    usd_per_answer: float | None
    usd_per_accepted: float | None
    """Cost of all answers over those that were accepted or edited, with what running and building it costs a case, by the declared volume."""
    usd_per_accepted_parts: Mapping[str, float]
    """The parts of that; empty where it is unknown."""
    unpriced: int
    """Answers with a call whose price is not known: the costs are lower bounds."""
    break_even_cases_per_month: float | None
    floors: tuple[Floor, ...]
    volume_per_month: float
    """As the contract declares it."""
    seen: str
    """What the figures of a case were taken from: how many answers, of what, in which time."""
    measured_volume_per_month: float | None
    """`None` where less than four weeks of work were seen."""
    minutes_recorded: bool
    """Whether all outcomes came with the minutes that were spent."""
    slices: Mapping[str, tuple[Slice, ...]] = field(default_factory=dict)
    """By `tenant` and by `week`."""
    verdict: Decision = "hold"
    reasons: tuple[str, ...] = ()
    label: str = "estimate"

    @property
    def outcomes(self) -> int:
        return sum(self.counts.get(verdict, 0) for verdict in VERDICTS)

    @property
    def outcomes_basis(self) -> Basis:
        """What an evaluation or a simulation says in people's place is assumed."""
        return "measured" if self.origin == PRODUCTION else "assumed"

    @property
    def minutes_basis(self) -> Basis:
        return weakest(self.outcomes_basis, "declared" if self.minutes_recorded else "assumed")

    @property
    def case_basis(self) -> Basis:
        """Errors that are avoided are assumed: nobody has counted them."""
        return weakest(self.minutes_basis, self.step_bases["errors avoided"])

    @property
    def step_bases(self) -> dict[str, Basis]:
        """Of each of `steps_usd`."""
        of_steps: tuple[Basis, ...] = (self.minutes_basis, "assumed", "declared", "declared", "declared")
        return dict(zip(STEPS, of_steps, strict=True))

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Every figure of the report, with what it rests on."""
        return tuple(_figures(self))

    def as_dict(self) -> dict[str, Any]:
        return {
            "process": self.process,
            "label": self.label,
            "origin": self.origin,
            "seen": self.seen,
            "outcomes": self.outcomes,
            "counts": dict(self.counts),
            "counts_basis": self.outcomes_basis,
            "figures": {figure.key: figure.as_dict() for figure in self.figures},
            "conversion": self.conversion,
            "unpriced_answers": self.unpriced,
            "floors": [floor.as_dict() for floor in self.floors],
            "by": {by: [self._slice_dict(part) for part in slices] for by, slices in self.slices.items()},
            "verdict": self.verdict,
            "reasons": list(self.reasons),
        }

    def _slice_dict(self, part: Slice) -> dict[str, Any]:
        values = {name: getattr(part, name) for name in part.__slots__} | {"usd_per_case": _interval(part.usd_per_case)}
        bases = {
            "accepted_share": self.outcomes_basis,
            "usd_per_case": self.case_basis,
            "usd_per_accepted": self.accepted_basis,
        }
        return values | {"basis": bases}

    @property
    def accepted_basis(self) -> Basis:
        """Of what an accepted answer costs: its share of running and building follows the declared volume."""
        return weakest(self.outcomes_basis, "declared")

    def table(self) -> Table:
        table = formatting.table("value", f"{self.label}, {self.origin}")
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items() if count)
        table.add_row("outcomes", f"{counts} ({self.outcomes_basis})" if counts else "none")
        for figure in self.figures:
            table.add_row(
                figure.words, escape(str(figure)), style="bold" if figure.key == "usd_net_per_month" else None
            )
            if figure.key == "usd_net_per_month":
                table.add_row("projected from", escape(figure.rests_on))
            if figure.key == "counted_share":
                table.add_row("", escape(self.conversion))
        for floor in self.floors:
            table.add_row("floor", f"{'[green]met[/]' if floor.met else '[red]not met[/]'}  {escape(str(floor))}")
            if floor.exception and not floor.met:
                table.add_row("", f"excepted {escape(str(floor.exception))}", style="dim")
        table.add_row("verdict", f"{self.verdict.upper()}: {escape('; '.join(self.reasons))}", style="bold")
        return table


def _figures(report: ValueReport) -> Iterator[Figure]:
    estimate, low, high = report.usd_net_per_month
    case, least, most = report.usd_per_case
    declared = f"{report.volume_per_month:,.0f} cases a month (declared)"
    month = f"{declared} at the worth of a case in {report.seen}"
    yield Figure(
        key="volume_per_month", words="cases a month", value=report.volume_per_month, unit="cases", basis="declared",
        rests_on="the contract",
    )  # fmt: skip
    yield Figure(
        key="measured_volume_per_month", words="of them seen", value=report.measured_volume_per_month, unit="cases",
        basis="measured", rests_on=report.seen, where_unknown=f"not measured: {report.seen}",
    )  # fmt: skip
    yield Figure(
        key="usd_per_case", words="a case is worth", value=case, low=least, high=most, unit="usd_cents", basis=report.case_basis,
        rests_on=report.seen,
    )  # fmt: skip
    yield Figure(
        key="hours_saved_per_month", words="time saved a month", value=report.hours_saved_per_month, unit="hours",
        basis=report.minutes_basis, rests_on=month, projected=True,
    )  # fmt: skip
    yield Figure(
        key="counted_share", words="of it counts", value=report.counted_share, unit="share", basis="declared",
        rests_on="the contract",
    )  # fmt: skip
    yield Figure(
        key="usd_net_per_month", words="net a month", value=estimate, low=low, high=high, unit="usd", basis=report.case_basis,
        rests_on=month, projected=True,
    )  # fmt: skip
    for name, usd in report.steps_usd.items():
        yield Figure(
            key=f"usd_{name.replace(' ', '_').replace(chr(39), '')}_per_month", words=f"  {name}", value=usd, unit="usd",
            basis=report.step_bases[name], rests_on=month, projected=True,
        )  # fmt: skip
    yield Figure(
        key="deflected_share", words="deflected", value=report.deflected_share, unit="share", basis=report.outcomes_basis,
        rests_on=report.seen,
    )  # fmt: skip
    yield Figure(
        key="rework_hours_per_month", words="rework a month", value=report.rework_hours_per_month, unit="hours",
        basis=report.minutes_basis, rests_on=month, projected=True,
    )  # fmt: skip
    unpriced = f"; {report.unpriced} without a known price, so this is a lower bound" if report.unpriced else ""
    nothing = "unpriced" if report.unpriced else "unknown"
    yield Figure(
        key="usd_per_answer", words="an answer costs", value=report.usd_per_answer, unit="usd_exact", basis="measured",
        rests_on=f"the cost ledger{unpriced}", where_unknown=nothing,
    )  # fmt: skip
    yield Figure(
        key="usd_per_accepted", words="an accepted answer costs", value=report.usd_per_accepted, unit="usd_exact",
        basis=report.accepted_basis, rests_on=f"the cost ledger{unpriced}, and running and building it over {declared}",
        where_unknown=nothing,
    )  # fmt: skip
    for name, usd in report.usd_per_accepted_parts.items():
        answers = name == "its answers"
        yield Figure(
            key=f"usd_per_accepted_{name.replace(' ', '_')}", words=f"  {name}", value=usd, unit="usd_exact",
            basis=report.outcomes_basis if answers else report.accepted_basis,
            rests_on="the cost ledger" if answers else declared,
        )  # fmt: skip
    yield Figure(
        key="break_even_cases_per_month", words="break-even", value=report.break_even_cases_per_month, unit="cases",
        basis=report.case_basis, rests_on=report.seen,
        where_unknown=formatting.cases(None, known=report.outcomes > 0),
    )  # fmt: skip


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
    cases = _Cases(contract, {outcome.answer_id: outcome for outcome in outcomes}, answers, seed)
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
            "week": cases.slice_by(_week),
        },
    )
    verdict, reasons = _decide(contract.decision, draft)
    return replace(draft, verdict=verdict, reasons=reasons)


def usd_net_per_month(
    contract: OutcomeContract, outcomes: Iterable[Outcome], answers: Mapping[str, AnswerCost], *, seed: int = 7
) -> Interval:
    """The estimate of the report and its interval, without the rest of it."""
    return _Cases(contract, {outcome.answer_id: outcome for outcome in outcomes}, answers, seed).usd_net_per_month()


class _Cases:
    """Outcomes joined to what their answers cost, under one contract."""

    def __init__(
        self,
        contract: OutcomeContract,
        outcomes: Mapping[str, Outcome],
        answers: Mapping[str, AnswerCost],
        seed: int,
    ) -> None:
        self._contract = contract
        self._outcomes = outcomes
        self._answers = answers
        self._seed = seed
        self.known = list(outcomes.values())
        self.unknown = sum(answer not in outcomes for answer in answers)
        self._priced = [float(answer.usd) for answer in answers.values() if answer.usd is not None]
        self.usd_per_answer = sum(self._priced) / len(self._priced) if self._priced else None

    @property
    def counts(self) -> dict[str, int]:
        verdicts = Counter[str](outcome.verdict for outcome in self.known)
        return {**dict.fromkeys(VERDICTS, 0), **verdicts, "unknown": self.unknown}

    @property
    def accepted_count(self) -> int:
        return self.counts["accepted"] + self.counts["edited"]

    @property
    def accepted_share(self) -> float | None:
        return self.accepted_count / len(self.known) if self.known else None

    @property
    def usd_per_accepted(self) -> float | None:
        return sum(self.usd_per_accepted_parts.values()) if self.usd_per_accepted_parts else None

    @property
    def usd_per_accepted_parts(self) -> dict[str, float]:
        """Every case bears its share of running and building it, and the accepted ones bear those of the others."""
        if not self.accepted_count or not self._priced:
            return {}
        costs, cases = (
            self._contract.costs,
            self._contract.process.volume_per_month * self.accepted_count / len(self.known),
        )
        return {
            "its answers": sum(self._priced) / self.accepted_count,
            "running it": costs.usd_run_per_month / cases,
            "building it": costs.usd_build / costs.months_to_earn_it_back / cases,
        }

    def describe_basis(self, origin: str) -> str:
        """In words, what the figures of a case were taken from."""
        answers = len({**self._answers, **dict.fromkeys(outcome.answer_id for outcome in self.known)})
        if not answers:
            return "no answer yet"
        plural = "" if answers == 1 else "s"
        return f"{answers} answer{plural} within {_duration(self._span_s)}, {origin}"

    def measured_volume(self, origin: str) -> float | None:
        """Answers a month, where at least four weeks of them were seen at work."""
        if origin != PRODUCTION or self._span_s < ENOUGH_S:
            return None
        return len(self._answers) / self._span_s * A_MONTH_S

    @property
    def _span_s(self) -> float:
        at = [answer.at for answer in self._answers.values()] or [outcome.at for outcome in self.known]
        return (max(at) - min(at)).total_seconds() if at else 0.0

    @property
    def break_even(self) -> float | None:
        mean, _, _ = self.usd_per_case()
        return self._contract.fixed_usd_per_month / mean if mean is not None and mean > 0 else None

    def minutes_saved(self, outcome: Outcome) -> float:
        return self._contract.minutes_saved(outcome.verdict, outcome.minutes)

    def minutes_reworked(self, outcome: Outcome) -> float:
        if outcome.verdict not in ("edited", "rejected"):
            return 0.0
        return self._contract.process.minutes_per_case - self.minutes_saved(outcome)

    def per_month(self, of: Callable[[Outcome], float], factor: float = 1.0) -> float | None:
        """A mean over cases, taken to a month's volume."""
        if not self.known:
            return None
        return (
            self._contract.process.volume_per_month * factor * float(np.mean([of(outcome) for outcome in self.known]))
        )

    def usd_net_per_month(self) -> Interval:
        estimate, low, high = self.usd_per_case()
        return None if estimate is None else self._monthly(estimate), self._monthly(low), self._monthly(high)

    def _monthly(self, usd_per_case: float) -> float:
        return self._contract.process.volume_per_month * usd_per_case - self._contract.fixed_usd_per_month

    def steps_usd(self) -> dict[str, float]:
        contract = self._contract
        minutes = self.per_month(lambda outcome: contract.usd_of_minutes(self.minutes_saved(outcome)))
        errors = self.per_month(lambda outcome: contract.usd_of_errors(outcome.verdict))
        answers = self.per_month(lambda outcome: -self._cost(outcome.answer_id))
        if minutes is None or errors is None or answers is None:
            return {}
        building = contract.fixed_usd_per_month - contract.costs.usd_run_per_month
        return dict(zip(STEPS, (minutes, errors, answers, -contract.costs.usd_run_per_month, -building), strict=True))

    def usd_per_case(self) -> Interval:
        """Worth after the answer's cost; percentile bootstrap over cases (Efron and Tibshirani 1993, chapter 13)."""
        worst, best = self._extremes()
        unknown = np.array([-self._cost(answer) for answer in self._answers if answer not in self._outcomes])
        if not self.known:
            cost = float(unknown.mean()) if len(unknown) else 0.0
            return (None, worst + cost, best + cost)
        values = np.array([self._worth(outcome) for outcome in self.known])
        low = np.percentile(self._means(values, unknown + worst), 2.5)
        high = np.percentile(self._means(values, unknown + best), 97.5)
        return float(values.mean()), float(low), float(high)

    def slice_by(self, key_of: Callable[[Outcome | None, AnswerCost | None], str]) -> tuple[Slice, ...]:
        ids: dict[str, list[str]] = defaultdict(list)
        for answer in {**self._outcomes, **self._answers}:
            ids[key_of(self._outcomes.get(answer), self._answers.get(answer))].append(answer)
        return tuple(self._slice(key, members) for key, members in sorted(ids.items()))

    def _slice(self, key: str, members: Sequence[str]) -> Slice:
        part = _Cases(
            self._contract,
            {answer: self._outcomes[answer] for answer in members if answer in self._outcomes},
            {answer: self._answers[answer] for answer in members if answer in self._answers},
            self._seed,
        )
        return Slice(
            key, len(part.known), part.unknown, part.accepted_share, part.usd_per_case(), part.usd_per_accepted
        )

    def _cost(self, answer: str) -> float:
        """Of one answer; where it has no known price, the mean of those that have."""
        cost = self._answers.get(answer)
        return float(cost.usd) if cost is not None and cost.usd is not None else self.usd_per_answer or 0.0

    def _worth(self, outcome: Outcome) -> float:
        return self._contract.usd_saved(outcome.verdict, outcome.minutes) - self._cost(outcome.answer_id)

    def _extremes(self) -> tuple[float, float]:
        worth = [self._contract.usd_saved(verdict) for verdict in VERDICTS]
        return min(worth), max(worth)

    def _means(self, values: npt.NDArray[np.float64], unknown: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        everyone = np.concatenate([values, unknown])
        draws = np.random.default_rng(self._seed).integers(0, len(everyone), size=(RESAMPLES, len(everyone)))
        return cast("npt.NDArray[np.float64]", everyone[draws].mean(axis=1))


def _week(outcome: Outcome | None, answer: AnswerCost | None) -> str:
    at = answer.at if answer is not None else cast("Outcome", outcome).at
    year, week, _ = at.isocalendar()
    return f"{year}-W{week:02d}"


def _interval(interval: Interval) -> dict[str, float | None]:
    return dict(zip(("estimate", "low", "high"), interval, strict=True))


def _duration(seconds: float) -> str:
    """
    >>> _duration(35), _duration(5400), _duration(20 * 86400)
    ('35 seconds', '90 minutes', '20 days')
    """
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


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
