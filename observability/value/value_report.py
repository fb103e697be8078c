"""The value report: the value of recorded outcomes, every figure with its basis."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property, partial
from typing import Any, Literal, cast

from rich.markup import escape
from rich.table import Table

from observability.reports import formatting
from observability.stores.costs import AnswerCost
from observability.stores.outcomes import Outcome
from observability.value.cases import PRODUCTION, JudgedCases
from observability.value.figures import Basis, Figure, weakest
from observability.value.outcome_contract import FloorException

Decision = Literal["ship", "hold", "stop"]


@dataclass(frozen=True, slots=True)
class Floor:
    """One limit of the contract, and its measured value (`None`: not measured)."""

    name: str
    limit: float
    measured: float | None
    risk: bool
    exception: FloorException | None = None
    """The contract's exception to this floor. `met` ignores it."""

    @property
    def met(self) -> bool:
        if self.measured is None:
            return False
        return self.measured <= self.limit if self.name.endswith("_max") else self.measured >= self.limit

    def is_excused(self, today: date) -> bool:
        """Whether the floor is broken within a current exception."""
        one, value = self.exception, self.measured
        return not self.met and one is not None and value is not None and one.excuses(value, today=today)

    def as_dict(self) -> dict[str, Any]:
        exception = self.exception.model_dump(mode="json") if self.exception else None
        values = {"name": self.name, "limit": self.limit, "measured": self.measured}
        return {**values, "met": self.met, "exception": exception}

    def __str__(self) -> str:
        word = "at most" if self.name.endswith("_max") else "at least"
        value = "not measured" if self.measured is None else f"{self.measured:.3g}"
        return f"{self.name.rpartition('_')[0].replace('_', ' ')} {value}, {word} {self.limit:g} was agreed"


class ValueReport(JudgedCases):
    """The value of recorded outcomes, with the floors of the contract and the verdict."""

    label = "estimate"
    floors: tuple[Floor, ...] = ()
    verdict: Decision = "hold"
    reasons: tuple[str, ...] = ()

    @cached_property
    def slices(self) -> dict[str, dict[str, ValueReport]]:
        """The cases of each tenant, and of each week."""
        return {
            "tenant": self.slice_by(lambda _, answer: answer.tenant if answer else "not in the cost ledger"),
            "week": self.slice_by(_week_of),
        }

    @property
    def outcomes_basis(self) -> Basis:
        """Outcomes of an evaluation or a simulation are assumed."""
        return "measured" if self.origin == PRODUCTION else "assumed"

    @property
    def minutes_basis(self) -> Basis:
        recorded = bool(self._known) and all(outcome.minutes is not None for outcome in self._known)
        return weakest(self.outcomes_basis, "declared" if recorded else "assumed")

    @property
    def case_basis(self) -> Basis:
        """Basis of a case's value. Avoided errors are assumed: nobody has counted them."""
        return weakest(self.minutes_basis, self.step_bases["errors avoided"])

    @property
    def accepted_basis(self) -> Basis:
        """Basis of the cost of an accepted answer; its share of running and building depends on declared volume."""
        return weakest(self.outcomes_basis, "declared")

    @property
    def step_bases(self) -> dict[str, Basis]:
        """Basis of each of `steps_usd`; declared unless listed below."""
        known: dict[str, Basis] = {"minutes that count": self.minutes_basis, "errors avoided": "assumed"}
        return {**dict.fromkeys(self.steps_usd, "declared"), **known}

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Every figure of the report with its basis."""
        volume = self.contract.process.volume_per_month
        declared = f"{volume:,.0f} cases a month (declared)"
        monthly = partial(Figure, projected=True, rests_on=f"{declared} at the worth of a case in {self.sample}")
        ledger = "the cost ledger"
        if self.unpriced:
            ledger += f"; {self.unpriced} without a known price, so this is a lower bound"
        priced = partial(Figure, unit="usd_exact", where_unknown="unpriced" if self.unpriced else "unknown")
        estimate, low, high = self.usd_net_per_month
        case, least, most = self.usd_per_case
        of_cases, of_minutes, of_outcomes = self.case_basis, self.minutes_basis, self.outcomes_basis
        of_parts: dict[str, tuple[Basis, str]] = {"its answers": (of_outcomes, "the cost ledger")}
        steps = (
            monthly(f"usd_{name.replace(' ', '_').replace(chr(39), '')}_per_month", f"  {name}", usd, "usd", self.step_bases[name])
            for name, usd in self.steps_usd.items()
        )  # fmt: skip
        parts = (
            Figure(f"usd_per_accepted_{name.replace(' ', '_')}", f"  {name}", usd, "usd_exact", *of_parts.get(name, (self.accepted_basis, declared)))
            for name, usd in self.usd_per_accepted_parts.items()
        )  # fmt: skip
        return (
            Figure("volume_per_month", "cases a month", volume, "cases", "declared", "the contract"),
            Figure(
                "measured_volume_per_month", "of them seen", self.measured_volume_per_month, "cases", "measured", self.sample,
                where_unknown=f"not measured: {self.sample}",
            ),
            Figure("usd_per_case", "a case is worth", case, "usd_cents", of_cases, self.sample, least, most),
            monthly("hours_saved_per_month", "time saved a month", self.hours_saved_per_month, "hours", of_minutes),
            Figure("counted_share", "of it counts", self.contract.counted_share, "share", "declared", "the contract"),
            monthly("usd_net_per_month", "net a month", estimate, "usd", of_cases, low=low, high=high),
            *steps,
            Figure("deflected_share", "deflected", self.accepted_share, "share", of_outcomes, self.sample),
            monthly("rework_hours_per_month", "rework a month", self.rework_hours_per_month, "hours", of_minutes),
            priced("usd_per_answer", "an answer costs", self.usd_per_answer, basis="measured", rests_on=ledger),
            priced(
                "usd_per_accepted", "an accepted answer costs", self.usd_per_accepted, basis=self.accepted_basis,
                rests_on=f"{ledger}, and running and building it over {declared}",
            ),
            *parts,
            Figure(
                "break_even_cases_per_month", "break-even", self.break_even, "cases", of_cases, self.sample,
                where_unknown="at no volume" if self.outcomes else "unknown",
            ),
        )  # fmt: skip

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
            "by": {by: [self._slice_dict(*part) for part in slices.items()] for by, slices in self.slices.items()},
            "verdict": self.verdict,
            "reasons": list(self.reasons),
        }

    def _slice_dict(self, key: str, part: ValueReport) -> dict[str, Any]:
        return {
            "key": key,
            "outcomes": part.outcomes,
            "unknown": part.unknown,
            "accepted_share": part.accepted_share,
            "usd_per_case": dict(zip(("estimate", "low", "high"), part.usd_per_case, strict=True)),
            "usd_per_accepted": part.usd_per_accepted,
            "basis": {
                "accepted_share": self.outcomes_basis,
                "usd_per_case": self.case_basis,
                "usd_per_accepted": self.accepted_basis,
            },
        }

    def table(self) -> Table:
        table = formatting.table("value", f"{self.label}, {self.origin}")
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items() if count)
        table.add_row("outcomes", f"{counts} ({self.outcomes_basis})" if counts else "none")
        for figure in self.figures:
            net = figure.key == "usd_net_per_month"
            table.add_row(figure.words, escape(str(figure)), style="bold" if net else None)
            if net:
                table.add_row("projected from", escape(figure.rests_on))
            if figure.key == "counted_share":
                table.add_row("", escape(self.contract.conversion_sentence))
        for floor in self.floors:
            table.add_row("floor", f"{'[green]met[/]' if floor.met else '[red]not met[/]'}  {escape(str(floor))}")
            if floor.exception and not floor.met:
                table.add_row("", f"excepted {escape(str(floor.exception))}", style="dim")
        table.add_row("verdict", f"{self.verdict.upper()}: {escape('; '.join(self.reasons))}", style="bold")
        return table


def _week_of(outcome: Outcome | None, answer: AnswerCost | None) -> str:
    at = answer.at if answer is not None else cast("Outcome", outcome).at
    year, week, _ = at.isocalendar()
    return f"{year}-W{week:02d}"
