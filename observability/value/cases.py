"""Answers joined to what became of them and to what they cost, under one outcome contract."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import numpy.typing as npt

from observability.evaluation.metrics import RESAMPLES
from observability.stores.costs import AnswerCost
from observability.stores.outcomes import Outcome
from observability.value.outcome_contract import VERDICTS, OutcomeContract

PRODUCTION = "from production"
STEPS = ("minutes that count", "errors avoided", "answers", "running it", "a month's part of building it")
A_MONTH_S = 30 * 86400.0
ENOUGH_S = 28 * 86400.0
"""Less was seen than a month needs to be counted."""
Interval = tuple[float | None, float, float]
"""(estimate, low, high): `None` without any outcome; 95 %, every unknown outcome at its worst and at its best."""


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


class JudgedCases:
    """Outcomes joined to what their answers cost, under one contract: an estimate from a sample, taken to a month's volume."""

    def __init__(
        self,
        contract: OutcomeContract,
        outcomes: Mapping[str, Outcome],
        answers: Mapping[str, AnswerCost],
        seed: int,
    ) -> None:
        self.contract = contract
        self._outcomes = outcomes
        self._answers = answers
        self._seed = seed
        self.known = list(outcomes.values())
        self.unknown = sum(answer not in outcomes for answer in answers)
        self._priced = [float(answer.usd) for answer in answers.values() if answer.usd is not None]
        self.usd_per_answer = sum(self._priced) / len(self._priced) if self._priced else None
        self.unpriced = len(answers) - len(self._priced)
        """Answers with a call whose price is not known: the costs are lower bounds."""

    @property
    def origin(self) -> str:
        """`from production`, or plainly that it is not."""
        origins = {outcome.origin for outcome in self.known}
        if not origins:
            return "no outcome recorded yet"
        if origins == {"production"}:
            return PRODUCTION
        if len(origins) > 1:
            return "from production mixed with evaluation"
        return f"from {'evaluation' if origins == {'evaluation'} else 'a simulation'}, not from production"

    @property
    def counts(self) -> dict[str, int]:
        """Answers by verdict, and `unknown`: nobody recorded what became of them."""
        verdicts = Counter[str](outcome.verdict for outcome in self.known)
        return {**dict.fromkeys(VERDICTS, 0), **verdicts, "unknown": self.unknown}

    @property
    def accepted_count(self) -> int:
        return self.counts["accepted"] + self.counts["edited"]

    @property
    def accepted_share(self) -> float | None:
        """Cases that an answer closed, accepted as it was or edited, of those with an outcome."""
        return self.accepted_count / len(self.known) if self.known else None

    @property
    def usd_per_accepted(self) -> float | None:
        """Cost of all answers over those that were accepted or edited, with what running and building it costs a case, by the
        declared volume."""
        return sum(self.usd_per_accepted_parts.values()) if self.usd_per_accepted_parts else None

    @property
    def usd_per_accepted_parts(self) -> dict[str, float]:
        """Every case bears its share of running and building it, and the accepted ones bear those of the others. Empty where it
        is unknown."""
        if not self.accepted_count or not self._priced:
            return {}
        costs = self.contract.costs
        cases = self.contract.process.volume_per_month * self.accepted_count / len(self.known)
        return {
            "its answers": sum(self._priced) / self.accepted_count,
            "running it": costs.usd_run_per_month / cases,
            "building it": costs.usd_build / costs.months_to_earn_it_back / cases,
        }

    @property
    def sample(self) -> str:
        """What the figures of a case were taken from: how many answers, of what, in which time."""
        answers = len({**self._answers, **dict.fromkeys(outcome.answer_id for outcome in self.known)})
        if not answers:
            return "no answer yet"
        plural = "" if answers == 1 else "s"
        return f"{answers} answer{plural} within {format_duration(self._span_s)}, {self.origin}"

    @property
    def measured_volume_per_month(self) -> float | None:
        """Answers a month, where at least four weeks of them were seen at work."""
        if self.origin != PRODUCTION or self._span_s < ENOUGH_S:
            return None
        return len(self._answers) / self._span_s * A_MONTH_S

    @property
    def _span_s(self) -> float:
        at = [answer.at for answer in self._answers.values()] or [outcome.at for outcome in self.known]
        return (max(at) - min(at)).total_seconds() if at else 0.0

    @property
    def break_even(self) -> float | None:
        """Cases a month."""
        mean, _, _ = self.usd_per_case
        return self.contract.fixed_usd_per_month / mean if mean is not None and mean > 0 else None

    @property
    def hours_saved_per_month(self) -> float | None:
        """By everybody together, whether it counts as money or not."""
        return self._per_month(self.minutes_saved, 1 / 60)

    @property
    def rework_hours_per_month(self) -> float | None:
        """Spent on editing answers and on doing rejected ones again."""
        return self._per_month(self._minutes_reworked, 1 / 60)

    def minutes_saved(self, outcome: Outcome) -> float:
        return self.contract.minutes_saved(outcome.verdict, outcome.minutes)

    def _minutes_reworked(self, outcome: Outcome) -> float:
        if outcome.verdict not in ("edited", "rejected"):
            return 0.0
        return self.contract.process.minutes_per_case - self.minutes_saved(outcome)

    def _per_month(self, of: Callable[[Outcome], float], factor: float = 1.0) -> float | None:
        """A mean over cases, taken to a month's volume; `None` without any outcome."""
        if not self.known:
            return None
        return self.contract.process.volume_per_month * factor * float(np.mean([of(outcome) for outcome in self.known]))

    @cached_property
    def usd_net_per_month(self) -> Interval:
        estimate, low, high = self.usd_per_case
        return None if estimate is None else self._monthly(estimate), self._monthly(low), self._monthly(high)

    def _monthly(self, usd_per_case: float) -> float:
        return self.contract.process.volume_per_month * usd_per_case - self.contract.fixed_usd_per_month

    @property
    def steps_usd(self) -> dict[str, float]:
        """A month's net value in parts that add up to its estimate; empty without any outcome."""
        contract = self.contract
        minutes = self._per_month(lambda outcome: contract.usd_of_minutes(self.minutes_saved(outcome)))
        errors = self._per_month(lambda outcome: contract.usd_of_errors(outcome.verdict))
        answers = self._per_month(lambda outcome: -self._cost(outcome.answer_id))
        if minutes is None or errors is None or answers is None:
            return {}
        building = contract.fixed_usd_per_month - contract.costs.usd_run_per_month
        return dict(zip(STEPS, (minutes, errors, answers, -contract.costs.usd_run_per_month, -building), strict=True))

    @cached_property
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
        part = JudgedCases(
            self.contract,
            {answer: self._outcomes[answer] for answer in members if answer in self._outcomes},
            {answer: self._answers[answer] for answer in members if answer in self._answers},
            self._seed,
        )
        return Slice(key, len(part.known), part.unknown, part.accepted_share, part.usd_per_case, part.usd_per_accepted)

    def _cost(self, answer: str) -> float:
        """Of one answer; where it has no known price, the mean of those that have."""
        cost = self._answers.get(answer)
        return float(cost.usd) if cost is not None and cost.usd is not None else self.usd_per_answer or 0.0

    def _worth(self, outcome: Outcome) -> float:
        return self.contract.usd_saved(outcome.verdict, outcome.minutes) - self._cost(outcome.answer_id)

    def _extremes(self) -> tuple[float, float]:
        worth = [self.contract.usd_saved(verdict) for verdict in VERDICTS]
        return min(worth), max(worth)

    def _means(self, values: npt.NDArray[np.float64], unknown: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        everyone = np.concatenate([values, unknown])
        draws = np.random.default_rng(self._seed).integers(0, len(everyone), size=(RESAMPLES, len(everyone)))
        return cast("npt.NDArray[np.float64]", everyone[draws].mean(axis=1))


def week_of(outcome: Outcome | None, answer: AnswerCost | None) -> str:
    at = answer.at if answer is not None else cast("Outcome", outcome).at
    year, week, _ = at.isocalendar()
    return f"{year}-W{week:02d}"


def format_duration(seconds: float) -> str:
    """Seconds in the largest unit of which there are two.

    >>> format_duration(35), format_duration(5400), format_duration(20 * 86400)
    ('35 seconds', '90 minutes', '20 days')
    """
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
