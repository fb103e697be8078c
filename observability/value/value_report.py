"""The value report: what recorded outcomes were worth, with every figure and what it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from typing import Any, Literal

from rich.markup import escape
from rich.table import Table

from observability.reports import formatting
from observability.stores.costs import AnswerCost
from observability.stores.outcomes import Outcome
from observability.value.cases import PRODUCTION, STEPS, JudgedCases, Slice, week_of
from observability.value.figures import Basis, Figure, weakest
from observability.value.outcome_contract import FloorException, OutcomeContract

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


class ValueReport(JudgedCases):
    """What recorded outcomes were worth, with the floors of the contract and what follows from all of it."""

    label = "estimate"

    def __init__(
        self,
        contract: OutcomeContract,
        outcomes: Mapping[str, Outcome],
        answers: Mapping[str, AnswerCost],
        seed: int,
        floors: tuple[Floor, ...],
    ) -> None:
        super().__init__(contract, outcomes, answers, seed)
        self.floors = floors
        self.verdict: Decision = "hold"
        self.reasons: tuple[str, ...] = ()

    @cached_property
    def slices(self) -> dict[str, tuple[Slice, ...]]:
        return {
            "tenant": self.slice_by(lambda _, answer: answer.tenant if answer else "not in the cost ledger"),
            "week": self.slice_by(week_of),
        }

    @property
    def outcomes(self) -> int:
        return len(self.known)

    @property
    def outcomes_basis(self) -> Basis:
        """What an evaluation or a simulation says in people's place is assumed."""
        return "measured" if self.origin == PRODUCTION else "assumed"

    @property
    def minutes_basis(self) -> Basis:
        recorded = bool(self.known) and all(outcome.minutes is not None for outcome in self.known)
        return weakest(self.outcomes_basis, "declared" if recorded else "assumed")

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
        declared = f"{self.contract.process.volume_per_month:,.0f} cases a month (declared)"
        month = f"{declared} at the worth of a case in {self.sample}"
        return (*_worth_figures(self, month), *_answer_figures(self, declared, month))

    def as_dict(self) -> dict[str, Any]:
        return {
            "process": self.contract.process.name,
            "label": self.label,
            "origin": self.origin,
            "seen": self.sample,
            "outcomes": self.outcomes,
            "counts": self.counts,
            "counts_basis": self.outcomes_basis,
            "figures": {figure.key: figure.as_dict() for figure in self.figures},
            "conversion": self.contract.conversion_sentence,
            "unpriced_answers": self.unpriced,
            "floors": [floor.as_dict() for floor in self.floors],
            "by": {by: [self._slice_dict(part) for part in slices] for by, slices in self.slices.items()},
            "verdict": self.verdict,
            "reasons": list(self.reasons),
        }

    def _slice_dict(self, part: Slice) -> dict[str, Any]:
        values = asdict(part) | {"usd_per_case": dict(zip(("estimate", "low", "high"), part.usd_per_case, strict=True))}
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
                table.add_row("", escape(self.contract.conversion_sentence))
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
        key="volume_per_month", words="cases a month", value=report.contract.process.volume_per_month, unit="cases", basis="declared",
        rests_on="the contract",
    )  # fmt: skip
    yield Figure(
        key="measured_volume_per_month", words="of them seen", value=report.measured_volume_per_month, unit="cases",
        basis="measured", rests_on=report.sample, where_unknown=f"not measured: {report.sample}",
    )  # fmt: skip
    yield Figure(
        key="usd_per_case", words="a case is worth", value=case, low=least, high=most, unit="usd_cents", basis=report.case_basis,
        rests_on=report.sample,
    )  # fmt: skip
    yield Figure(
        key="hours_saved_per_month", words="time saved a month", value=report.hours_saved_per_month, unit="hours",
        basis=report.minutes_basis, rests_on=month, projected=True,
    )  # fmt: skip
    yield Figure(
        key="counted_share", words="of it counts", value=report.contract.counted_share, unit="share", basis="declared",
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
        key="deflected_share", words="deflected", value=report.accepted_share, unit="share", basis=report.outcomes_basis,
        rests_on=report.sample,
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
        key="break_even_cases_per_month", words="break-even", value=report.break_even, unit="cases",
        basis=report.case_basis, rests_on=report.sample,
        where_unknown=formatting.cases(None, known=report.outcomes > 0),
    )  # fmt: skip
