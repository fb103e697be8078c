"""Answers joined to their outcomes and costs, under one outcome contract."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Self

import numpy as np

from observability.evaluation.metrics import resample_means
from observability.stores.costs import AnswerCost
from observability.stores.outcomes import Outcome
from observability.value.outcome_contract import VERDICTS, OutcomeContract

PRODUCTION = "from production"
A_MONTH_S = 30 * 86400.0
ENOUGH_S = 28 * 86400.0
"""Minimum time span of the answers from which a month's volume is measured, in seconds."""
Interval = tuple[float | None, float, float]
"""(estimate, low, high): `None` without outcomes; 95 %, with unknown outcomes at their worst and best."""


class JudgedCases:
    """Outcomes joined to the costs of their answers: an estimate from a sample, projected to a month's volume."""

    def __init__(
        self, contract: OutcomeContract, outcomes: Mapping[str, Outcome], answers: Mapping[str, AnswerCost], seed: int
    ) -> None:
        self.contract = contract
        self._outcomes = outcomes
        self._answers = answers
        self._seed = seed
        self._known = list(outcomes.values())
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
        if origins == {"production"}:
            return PRODUCTION
        if len(origins) > 1:
            return "from production mixed with evaluation"
        return f"from {'evaluation' if origins == {'evaluation'} else 'a simulation'}, not from production"

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
    def usd_per_accepted(self) -> float | None:
        """Cost per accepted or edited answer: all answers, and running and building the system at the declared
        volume. `None` where it is unknown."""
        return sum(self.usd_per_accepted_parts.values()) if self.usd_per_accepted_parts else None

    @property
    def usd_per_accepted_parts(self) -> dict[str, float]:
        """Parts of `usd_per_accepted`. Accepted cases bear the costs of the others too. Empty where it is unknown."""
        if not self.accepted_share or self.usd_per_answer is None:
            return {}
        costs = self.contract.costs
        cases = self.contract.process.volume_per_month * self.accepted_share
        return {
            "its answers": self._usd_priced / (self.accepted_share * self.outcomes),
            "running it": costs.usd_run_per_month / cases,
            "building it": costs.usd_build / costs.months_to_earn_it_back / cases,
        }

    @property
    def sample(self) -> str:
        """Description of the sample behind the figures: number of answers, time span, origin."""
        answers = len({**self._answers, **dict.fromkeys(outcome.answer_id for outcome in self._known)})
        if not answers:
            return "no answer yet"
        plural = "" if answers == 1 else "s"
        return f"{answers} answer{plural} within {format_duration(self._span_s)}, {self.origin}"

    @property
    def measured_volume_per_month(self) -> float | None:
        """Answers per month; `None` with less than four weeks of production."""
        if self.origin != PRODUCTION or self._span_s < ENOUGH_S:
            return None
        return len(self._answers) / self._span_s * A_MONTH_S

    @property
    def _span_s(self) -> float:
        at = [answer.at for answer in self._answers.values()] or [outcome.at for outcome in self._known]
        return (max(at) - min(at)).total_seconds() if at else 0.0

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
        return self._per_month(
            lambda outcome: (
                (by_hand - self._minutes_saved(outcome)) / 60 if outcome.verdict in ("edited", "rejected") else 0.0
            )
        )

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
        contract, run = self.contract, self.contract.costs.usd_run_per_month
        steps = {
            "minutes that count": self._per_month(lambda one: contract.usd_of_minutes(self._minutes_saved(one))),
            "errors avoided": self._per_month(lambda one: contract.usd_of_errors(one.verdict)),
            "answers": self._per_month(lambda one: -self._cost(one.answer_id)),
            "running it": -run,
            "a month's part of building it": run - contract.fixed_usd_per_month,
        }
        return {name: usd for name, usd in steps.items() if usd is not None} if self._known else {}

    @cached_property
    def usd_per_case(self) -> Interval:
        """Value of a case after the answer's cost; bootstrap over cases (Efron and Tibshirani 1993, chapter 13)."""
        worths = [self.contract.usd_saved(verdict) for verdict in VERDICTS]
        unknown = np.array([-self._cost(answer) for answer in self._answers if answer not in self._outcomes])
        if not self._known:
            cost = float(unknown.mean()) if len(unknown) else 0.0
            return (None, min(worths) + cost, max(worths) + cost)
        values = np.array(
            [self.contract.usd_saved(one.verdict, one.minutes) - self._cost(one.answer_id) for one in self._known]
        )
        low, high = (
            float(np.percentile(resample_means(np.concatenate([values, unknown + worth]), seed=self._seed), percent))
            for worth, percent in ((min(worths), 2.5), (max(worths), 97.5))
        )
        return float(values.mean()), low, high

    def slice_by(self, key_of: Callable[[Outcome | None, AnswerCost | None], str]) -> dict[str, Self]:
        """Return the cases of each key."""
        outcomes: defaultdict[str, dict[str, Outcome]] = defaultdict(dict)
        answers: defaultdict[str, dict[str, AnswerCost]] = defaultdict(dict)
        for answer_id in {**self._outcomes, **self._answers}:
            outcome, answer = self._outcomes.get(answer_id), self._answers.get(answer_id)
            key = key_of(outcome, answer)
            if outcome:
                outcomes[key][answer_id] = outcome
            if answer:
                answers[key][answer_id] = answer
        keys = sorted({*outcomes, *answers})
        return {key: type(self)(self.contract, outcomes[key], answers[key], self._seed) for key in keys}

    def _cost(self, answer: str) -> float:
        """Return the cost of an answer, or the mean of the priced ones where its price is unknown."""
        cost = self._answers.get(answer)
        return float(cost.usd) if cost is not None and cost.usd is not None else self.usd_per_answer or 0.0


def format_duration(seconds: float) -> str:
    """Return seconds in the largest unit of which there are at least two.

    >>> format_duration(35), format_duration(5400), format_duration(20 * 86400)
    ('35 seconds', '90 minutes', '20 days')
    """
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
