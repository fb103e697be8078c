"""Months of traffic whose true value is known, to test the estimator that reports on real ones.

An interval at 95 % must cover the truth in about 95 of 100 months. If it does not, no figure of a value report holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from rich.table import Table

from extensions.feedback.store import Outcome, Verdict
from extensions.value import figures
from extensions.value.outcome_contract import VERDICTS, OutcomeContract
from extensions.value.value_report import ValueReport
from observability.rendering import formatting
from observability.stores.history import AnswerCost

START = datetime(2026, 1, 1, tzinfo=UTC)
TENANTS = ("first", "second", "third")


@dataclass(frozen=True, kw_only=True)
class Truth:
    """How the world of a simulation is. Times and costs vary around their means as gamma distributions do."""

    shares: dict[Verdict, float]
    recorded: dict[Verdict, float]
    """Probability that somebody records the outcome; it may differ by verdict, as with people it does."""
    minutes_recorded: float = 0.5
    """Of the recorded ones, the share with the minutes that were spent."""
    usd_per_answer: float = 0.01
    spread: float = 0.6
    """Standard deviation over mean, of minutes and of costs."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often the interval held the truth."""

    months: int
    answers_per_month: int
    covered: int
    nominal: float
    mean_error_usd: float
    """Of the estimate against the truth, over the months: its bias."""
    mean_width_usd: float

    @property
    def keeps_its_promise(self) -> bool:
        """Not fewer than chance alone would leave in 999 of 1,000 such simulations."""
        from scipy.stats import binom

        return self.covered >= int(binom.ppf(0.001, self.months, self.nominal))

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {"share": self.covered / self.months}

    def table(self) -> Table:
        table = formatting.table("simulated months", f"{self.months} months of {self.answers_per_month} answers")
        table.add_row("interval held the truth", f"{self.covered} of {self.months} ({self.nominal:.0%} promised)")
        table.add_row("mean error", figures.usd(self.mean_error_usd))
        table.add_row("mean width", figures.usd(self.mean_width_usd))
        return table


def all_recorded(contract: OutcomeContract) -> Truth:
    """A world as the contract expects it, in which people record every outcome."""
    shares = {verdict: float(getattr(contract.expected, verdict)) for verdict in VERDICTS}
    return Truth(shares=shares, recorded=dict.fromkeys(VERDICTS, 1.0))


def half_recorded(contract: OutcomeContract) -> Truth:
    """The same world, in which people rather record what went well: rejected answers are told half as often."""
    recorded: dict[Verdict, float] = {"accepted": 0.7, "edited": 0.7, "rejected": 0.35, "escalated": 0.7}
    return Truth(shares=all_recorded(contract).shares, recorded=recorded)


def true_usd_per_month(contract: OutcomeContract, truth: Truth) -> float:
    """The expectation that an estimator should find."""
    worth = sum(share * _worth(contract, verdict, truth) for verdict, share in truth.shares.items())
    return contract.process.volume_per_month * (worth - truth.usd_per_answer) - contract.fixed_usd_per_month


def month(
    contract: OutcomeContract, truth: Truth, *, answers: int, rng: np.random.Generator
) -> tuple[list[Outcome], dict[str, AnswerCost]]:
    """A sample of outcomes, and what every answer of the month cost."""
    verdicts = list(truth.shares)
    drawn = rng.choice(len(verdicts), size=answers, p=[truth.shares[verdict] for verdict in verdicts])
    usd = _around(truth.usd_per_answer, truth.spread, answers, rng)
    costs, outcomes = {}, []
    for number, index in enumerate(drawn):
        verdict, answer = verdicts[index], f"answer-{number}"
        at = START + timedelta(minutes=30 * number)
        costs[answer] = AnswerCost(Decimal(repr(float(usd[number]))), TENANTS[number % len(TENANTS)], at)
        if rng.random() < truth.recorded[verdict]:
            minutes = _minutes(contract, verdict, truth, rng)
            outcomes.append(Outcome(answer, verdict, at, "simulation", "simulator", minutes))
    return outcomes, costs


def coverage(
    contract: OutcomeContract,
    truth: Truth,
    *,
    months: int = 200,
    answers: int = 400,
    seed: int = 7,
    progress: Callable[[int], None] | None = None,
) -> Coverage:
    """Estimate every simulated month and count how often the 95 % interval held the truth."""
    wanted = true_usd_per_month(contract, truth)
    covered, errors, widths = 0, [], []
    for number in range(months):
        rng = np.random.default_rng([seed, number])
        outcomes, costs = month(contract, truth, answers=answers, rng=rng)
        cases = ValueReport(contract, {outcome.answer_id: outcome for outcome in outcomes}, costs, seed=seed)
        estimate, low, high = cases.usd_net_per_month
        covered += low <= wanted <= high
        widths.append(high - low)
        errors.append((estimate or 0.0) - wanted)
        if progress is not None:
            progress(number + 1)
    return Coverage(months, answers, covered, 0.95, float(np.mean(errors)), float(np.mean(widths)))


def _minutes(contract: OutcomeContract, verdict: Verdict, truth: Truth, rng: np.random.Generator) -> float | None:
    if rng.random() >= truth.minutes_recorded:
        return None
    mean = contract.process.minutes_per_case - contract.minutes_saved(verdict)
    return float(_around(mean, truth.spread, 1, rng)[0])


def _worth(contract: OutcomeContract, verdict: Verdict, truth: Truth) -> float:
    """Expected worth of a case. Minutes lost weigh more than minutes saved, so the spread matters, not the mean alone."""
    mean = contract.process.minutes_per_case - contract.minutes_saved(verdict)
    spent = _around(mean, truth.spread, 200_000, np.random.default_rng(1))
    varied = float(np.mean([contract.usd_of_minutes(contract.process.minutes_per_case - minutes) for minutes in spent]))
    sure = contract.usd_of_minutes(contract.minutes_saved(verdict))
    return truth.minutes_recorded * varied + (1 - truth.minutes_recorded) * sure + contract.usd_of_errors(verdict)


def _around(mean: float, spread: float, size: int, rng: np.random.Generator) -> Any:
    if mean <= 0:
        return np.zeros(size)
    shape = 1 / spread**2
    return rng.gamma(shape, mean / shape, size)
