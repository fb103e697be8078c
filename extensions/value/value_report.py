"""The value of recorded outcomes under one outcome contract: an estimate from a sample, every figure with its basis, and a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
from rich.markup import escape
from rich.table import Table

from extensions.feedback.store import Outcome
from extensions.value.figures import Basis, Figure, usd
from extensions.value.outcome_contract import VERDICTS, OutcomeContract
from observability.evaluation.floors import DEMONSTRATION, Floor
from observability.evaluation.metrics import resample_means, share_interval
from observability.rendering import formatting
from observability.stores.history import AnswerCost

Decision = Literal["ship", "hold", "stop"]
PRODUCTION = "from production"
# (estimate, low, high): `None` without outcomes; 95 %, with unknown outcomes at their worst and best
Interval = tuple[float | None, float, float]


class ValueReport:
    """Outcomes joined to the costs of their answers, projected to a month's volume, with the floors and the verdict.

    `answers` are those of the same period; those without an outcome are unknown, which widens the interval, and never
    count as accepted.
    """

    label = "estimate"
    case_basis: Basis = "assumed"
    """Basis of a case's value: nobody has counted the errors that answers avoid."""

    def __init__(
        self,
        contract: OutcomeContract,
        outcomes: Mapping[str, Outcome],
        answers: Mapping[str, AnswerCost],
        *,
        floors: Sequence[Floor] = (),
        seed: int = 7,
    ) -> None:
        self.contract, self.floors, self._seed = contract, floors, seed
        self._outcomes, self._answers, self._known = outcomes, answers, list(outcomes.values())
        self.outcomes = len(outcomes)
        self.unknown = sum(answer not in outcomes for answer in answers)
        priced = [float(answer.usd) for answer in answers.values() if answer.usd is not None]
        self.usd_per_answer = sum(priced) / len(priced) if priced else None
        self.unpriced = len(answers) - len(priced)
        """Answers with a call of unknown price, so that costs are lower bounds."""
        self._usd_priced = sum(priced)

    @property
    def origin(self) -> str:
        """Where the outcomes are from: `from production`, or a plain statement that they are not."""
        origins = {outcome.origin for outcome in self._known}
        if not origins:
            return "no outcome recorded yet"
        where = f"from {' and '.join(sorted(origins))}"
        return where if "production" in origins else f"{where}, not from production"

    @property
    def counts(self) -> dict[str, int]:
        """Number of answers by verdict; `unknown` counts those without an outcome."""
        verdicts = Counter[str](outcome.verdict for outcome in self._known)
        return {**dict.fromkeys(VERDICTS, 0), **verdicts, "unknown": self.unknown}

    @property
    def accepted_share(self) -> float | None:
        """Share of the cases with an outcome that an answer closed, accepted as it was or edited."""
        return (self.counts["accepted"] + self.counts["edited"]) / self.outcomes if self.outcomes else None

    @property
    def missing(self) -> int:
        """Outcomes that are missing to the contract's minimum. Below it there are counts and intervals, and no estimate."""
        return max(0, self.contract.decision.min_outcomes - self.outcomes)

    @property
    def accepted_interval(self) -> tuple[float, float] | None:
        """`accepted_share` with its 95 % interval; at its lower end no unknown outcome was accepted, at its upper end all were."""
        closed, n = self.counts["accepted"] + self.counts["edited"], self.outcomes + self.unknown
        return (share_interval(closed / n, n)[0], share_interval((closed + self.unknown) / n, n)[1]) if n else None

    @property
    def usd_per_accepted(self) -> float | None:
        """Cost per accepted or edited answer, which bears the other answers too, and running and building the system
        at the declared volume. `None` where it is unknown.
        """
        if not self.accepted_share or self.usd_per_answer is None:
            return None
        fixed = self.contract.fixed_usd_per_month / self.contract.process.volume_per_month
        return (self._usd_priced / self.outcomes + fixed) / self.accepted_share

    @property
    def sample(self) -> str:
        """Description of the sample behind the figures: number of answers, days, origin."""
        answers = len({**self._answers, **self._outcomes})
        if not answers:
            return "no answer yet"
        days = sorted(f"{one.at:%Y-%m-%d}" for one in (self._answers or self._outcomes).values())
        return f"{answers} answer{'' if answers == 1 else 's'} from {days[0]} to {days[-1]}, {self.origin}"

    @property
    def break_even(self) -> float | None:
        """Cases per month at which the net value is zero; `None` where there are none."""
        mean, _, _ = self.usd_per_case
        return self.contract.fixed_usd_per_month / mean if mean is not None and mean > 0 else None

    @property
    def hours_saved_per_month(self) -> float | None:
        """Hours saved by everybody, whether they count as money or not; `None` without outcomes."""
        return self._per_month(lambda outcome: self._minutes_saved(outcome) / 60)

    @property
    def rework_hours_per_month(self) -> float | None:
        """Hours spent on editing answers and redoing rejected ones; `None` without outcomes."""
        by_hand = self.contract.process.minutes_per_case
        again = ("edited", "rejected")
        return self._per_month(lambda one: (by_hand - self._minutes_saved(one)) / 60 if one.verdict in again else 0.0)

    def _minutes_saved(self, outcome: Outcome) -> float:
        return self.contract.minutes_saved(outcome.verdict, outcome.minutes)

    def _per_month(self, of: Callable[[Outcome], float]) -> float | None:
        """Return a mean over cases times a month's volume; `None` without outcomes."""
        if not self._known:
            return None
        return self.contract.process.volume_per_month * float(np.mean([of(outcome) for outcome in self._known]))

    @property
    def usd_net_per_month(self) -> Interval:
        volume, fixed = self.contract.process.volume_per_month, self.contract.fixed_usd_per_month
        estimate, low, high = self.usd_per_case
        return None if estimate is None else volume * estimate - fixed, volume * low - fixed, volume * high - fixed

    @property
    def steps_usd(self) -> dict[str, float]:
        """Parts of a month's net value, which add up to its estimate; empty without outcomes."""
        contract, run, priced = self.contract, self.contract.costs.usd_run_per_month, self.usd_per_answer is not None
        steps = {
            "minutes that count": self._per_month(lambda one: contract.usd_of_minutes(self._minutes_saved(one))),
            "errors avoided": self._per_month(lambda one: contract.usd_of_errors(one.verdict)),
            "answers": self._per_month(lambda one: -self._cost(one.answer_id)) if priced else None,
            "running it": -run,
            "a month's part of building it": run - contract.fixed_usd_per_month,
        }
        return {name: step for name, step in steps.items() if step is not None} if self._known else {}

    @cached_property
    def usd_per_case(self) -> Interval:
        """Value of a case after the answer's cost; bootstrap over cases (Efron and Tibshirani 1993, chapter 13)."""
        worths = [self.contract.usd_saved(verdict) for verdict in VERDICTS]
        # The next case is unknown too: without it, a few cases that all ended alike would leave no doubt.
        unknown = np.array(
            [
                *(-self._cost(answer) for answer in self._answers if answer not in self._outcomes),
                -(self.usd_per_answer or 0.0),
            ]
        )
        if not self._known:
            return (None, min(worths) + float(unknown.mean()), max(worths) + float(unknown.mean()))
        values = np.array(
            [self.contract.usd_saved(one.verdict, one.minutes) - self._cost(one.answer_id) for one in self._known]
        )
        # An unrecorded case may have been the worst or the best: the lower end assumes the worst, the upper end the best.
        low, high = (
            float(np.percentile(resample_means(np.concatenate([values, unknown + worth]), seed=self._seed), percent))
            for worth, percent in ((min(worths), 2.5), (max(worths), 97.5))
        )
        return float(values.mean()), low, high

    def _cost(self, answer: str) -> float:
        """Return the cost of an answer, or the mean of the priced ones where its price is unknown."""
        cost = self._answers.get(answer)
        return float(cost.usd) if cost is not None and cost.usd is not None else self.usd_per_answer or 0.0

    @cached_property
    def tenants(self) -> dict[str, ValueReport]:
        of = {name: self._answers[name].tenant if name in self._answers else "not in the cost ledger"
              for name in {**self._outcomes, **self._answers}}  # fmt: skip
        return {
            tenant: ValueReport(
                self.contract,
                {name: one for name, one in self._outcomes.items() if of[name] == tenant},
                {name: one for name, one in self._answers.items() if of[name] == tenant},
                seed=self._seed,
            )
            for tenant in sorted(set(of.values()))
        }

    @cached_property
    def _decision(self) -> tuple[Decision, tuple[str, ...]]:
        rule, (_, low, high) = self.contract.decision, self.usd_net_per_month
        broken = [floor for floor in self.floors if floor.risk and floor.measured is not None and not floor.met]
        stop = [f"risk floor broken: {floor}" for floor in broken]
        if high < 0 and self.outcomes >= rule.min_outcomes:
            stop.append(f"even the upper end of the interval, {usd(high)} a month, is a loss")
        if stop:
            return "stop", tuple(stop)
        ends, needed = usd(low), usd(rule.ship_if_usd_per_month_above)
        doubts = (
            (self.contract.demonstration, DEMONSTRATION),
            (self.outcomes < rule.min_outcomes, f"{self.outcomes} outcomes recorded, {rule.min_outcomes} needed to decide"),
            *((not floor.met, f"floor not met: {floor}") for floor in self.floors),
            (low <= rule.ship_if_usd_per_month_above, f"the lower end of the interval, {ends} a month, is not above {needed}"),
            (self.outcomes and self.usd_per_answer is None, "no answer has a known price, so what answers cost is left out"),
            (self.outcomes and self.origin != PRODUCTION, f"these outcomes are {self.origin}: a pilot has to confirm them"),
        )  # fmt: skip
        hold = tuple(doubt for holds, doubt in doubts if holds)
        return ("hold", hold) if hold else ("ship", (f"at least {ends} a month, every floor met",))

    @property
    def verdict(self) -> Decision:
        return self._decision[0]

    @property
    def reasons(self) -> tuple[str, ...]:
        return self._decision[1]

    @property
    def outcomes_basis(self) -> Basis:
        """Outcomes of an evaluation or a simulation are assumed."""
        return "measured" if self.origin == PRODUCTION else "assumed"

    @property
    def minutes_basis(self) -> Basis:
        recorded = bool(self._known) and all(outcome.minutes is not None for outcome in self._known)
        return "declared" if recorded and self.origin == PRODUCTION else "assumed"

    @property
    def accepted_basis(self) -> Basis:
        """Basis of the cost of an accepted answer; its share of running and building depends on declared volume."""
        return "declared" if self.origin == PRODUCTION else "assumed"

    @property
    def step_bases(self) -> dict[str, Basis]:
        """Basis of each of `steps_usd`; declared unless listed below."""
        known: dict[str, Basis] = {"minutes that count": self.minutes_basis, "errors avoided": "assumed"}
        return {**dict.fromkeys(self.steps_usd, "declared"), **known}

    @property
    def figures(self) -> tuple[Figure, ...]:
        volume = self.contract.process.volume_per_month
        declared = f"{volume:,.0f} cases a month (declared)"
        few = f"{self.missing} more outcome{'' if self.missing == 1 else 's'} needed" if self.missing else "unknown"

        def counted(value: float | None) -> float | None:
            return None if self.missing else value

        monthly = partial(
            Figure, projected=True, where_unknown=few, rests_on=f"{declared} at the worth of a case in {self.sample}"
        )
        ledger = "the cost ledger"
        if self.unpriced:
            ledger += f"; {self.unpriced} without a known price, so this is a lower bound"
        priced = partial(Figure, unit="usd_exact")
        unpriced = "unpriced" if self.unpriced else "unknown"
        net, low, high = self.usd_net_per_month
        case, least, most = self.usd_per_case
        of_cases, of_minutes, of_outcomes = self.case_basis, self.minutes_basis, self.outcomes_basis
        steps = (
            monthly(f"usd_{name.replace(' ', '_').replace(chr(39), '')}_per_month", f"  {name}", step, "usd", self.step_bases[name])
            for name, step in self.steps_usd.items() if not self.missing
        )  # fmt: skip
        fewest, most_used = self.accepted_interval or (None, None)
        return (
            Figure("volume_per_month", "cases a month", volume, "cases", "declared", "the contract"),
            Figure("usd_per_case", "a case is worth", counted(case), "usd_cents", of_cases, self.sample, least, most, where_unknown=few, n=self.outcomes),
            monthly("hours_saved_per_month", "time saved a month", counted(self.hours_saved_per_month), "hours", of_minutes),
            Figure("counted_share", "of it counts", self.contract.counted_share, "share", "declared", "the contract"),
            monthly("usd_net_per_month", "net a month", counted(net), "usd", of_cases, low=low, high=high),
            *steps,
            Figure("deflected_share", "deflected", counted(self.accepted_share), "share", of_outcomes, self.sample, fewest, most_used, where_unknown=few, n=self.outcomes),
            monthly("rework_hours_per_month", "rework a month", counted(self.rework_hours_per_month), "hours", of_minutes),
            priced("usd_per_answer", "an answer costs", self.usd_per_answer, basis="measured", rests_on=ledger, where_unknown=unpriced),
            priced(
                "usd_per_accepted", "an accepted answer costs", counted(self.usd_per_accepted), basis=self.accepted_basis, where_unknown=few if self.missing else unpriced,
                rests_on=f"{ledger}, and running and building it over {declared}",
            ),
            Figure(
                "break_even_cases_per_month", "break-even", counted(self.break_even), "cases", of_cases, self.sample,
                where_unknown=few if self.missing else "at no volume",
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
            "by": {"tenant": [self._tenant_as_dict(*one) for one in self.tenants.items()]},
            "verdict": self.verdict,
            "reasons": list(self.reasons),
        }

    def _tenant_as_dict(self, key: str, part: ValueReport) -> dict[str, Any]:
        figures = {figure.key: figure for figure in part.figures}
        named = {
            "accepted_share": "deflected_share",
            "usd_per_case": "usd_per_case",
            "usd_per_accepted": "usd_per_accepted",
        }
        return {
            "key": key,
            "outcomes": part.outcomes,
            "unknown": part.unknown,
            **{name: figures[key].as_dict() for name, key in named.items()},
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
