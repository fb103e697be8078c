"""Forecast of the next month's costs from the days so far: whole weeks, so that weekends stay weekends, with an interval."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from rich.table import Table

from foundation.errors import InvalidRequest
from observability.rendering import formatting

DAYS = 30
WEEK = 7
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Forecast:
    """Forecast for the next 30 days, in USD."""

    days_seen: int
    """Whole days from the first charge to yesterday; days without charges count as 0."""
    usd: float
    low: float | None
    high: float | None
    """Ends of the 95 % prediction interval; `None` from a single day."""
    unpriced: int
    """Calls of unknown price in these days, with which the forecast is a lower bound."""

    @property
    def notes(self) -> list[str]:
        lines = []
        if self.days_seen < 2 * WEEK:
            lines.append(f"only {self.days_seen} whole days seen: weekly rhythm is not in it yet")
        if self.unpriced:
            lines.append(f"{self.unpriced} calls have no known price, so it will be more")
        return lines

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"days": DAYS, "notes": self.notes}

    def table(self) -> Table:
        table = formatting.table("forecast", f"the next {DAYS} days, from {self.days_seen} whole days so far")
        between = "" if self.high is None else f", 95 % between ${self.low:,.4f} and ${self.high:,.4f}"
        table.add_row("cost", f"${self.usd:,.4f}{between}", style="bold")
        for note in self.notes:
            table.add_row("but", note)
        return table


def forecast(usd_by_day: Mapping[date, float], *, today: date, unpriced: int = 0) -> Forecast:
    """Forecast the next 30 days with an interval; `usd_by_day` are the cost ledger's sums by UTC day.
    Raises InvalidRequest: no whole day has passed since the first charge.
    """
    first = min(usd_by_day, default=today)
    days = [first + timedelta(days=number) for number in range((today - first).days)]
    if not days:
        raise InvalidRequest(
            "There is no whole day of costs yet, so nothing can be foretold. Ask again tomorrow; make costs BY=day shows "
            "what there is."
        )
    seen = np.array([usd_by_day.get(day, 0.0) for day in days])
    return Forecast(len(seen), *_month(seen), unpriced)


def _month(seen: Any) -> tuple[float, float | None, float | None]:
    from scipy.stats import t

    # weeks if there are two whole ones, so that weekends stay weekends
    period_days = WEEK if len(seen) >= 2 * WEEK else 1
    count = len(seen) // period_days
    sums = seen[-count * period_days :].reshape(count, period_days).sum(axis=1)
    coming = DAYS / period_days
    expected = float(sums.mean() * coming)
    if count == 1:
        return expected, None, None
    # Student's t and the factor below: the mean is itself uncertain after few weeks, and a normal interval held 47 to 86 % of months.
    off = t.ppf((1 + LEVEL) / 2, count - 1) * sums.std(ddof=1) * np.sqrt(coming * (1 + coming / count))
    return expected, max(0.0, expected - float(off)), expected + float(off)
