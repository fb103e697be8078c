"""The value report: what recorded outcomes were worth, with every figure and what it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from rich.markup import escape
from rich.table import Table

from observability.reports import formatting
from observability.value.cases import PRODUCTION, STEPS, Interval, Slice
from observability.value.figures import Basis, Figure, weakest
from observability.value.outcome_contract import VERDICTS, FloorException

Decision = Literal["ship", "hold", "stop"]


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
        declared = f"{self.volume_per_month:,.0f} cases a month (declared)"
        month = f"{declared} at the worth of a case in {self.seen}"
        return (*_worth_figures(self, month), *_answer_figures(self, declared, month))

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
        values = {name: getattr(part, name) for name in part.__slots__} | {
            "usd_per_case": interval_dict(part.usd_per_case)
        }
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


def _worth_figures(report: ValueReport, month: str) -> Iterator[Figure]:
    estimate, low, high = report.usd_net_per_month
    case, least, most = report.usd_per_case
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


def _answer_figures(report: ValueReport, declared: str, month: str) -> Iterator[Figure]:
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


def interval_dict(interval: Interval) -> dict[str, float | None]:
    return dict(zip(("estimate", "low", "high"), interval, strict=True))
