"""What the next month will cost, from the days so far.

A month is drawn many times from the days that were seen, in runs of a week where there are two of them, so that
weekends stay weekends (moving block bootstrap, Künsch 1989). It assumes that the coming days are like those: growth is
told beside it, never guessed into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from rich.table import Table

from foundation.errors import InvalidRequest
from observability import amounts

DAYS = 30
WEEK = 7
DRAWS = 4000


@dataclass(frozen=True, slots=True)
class Forecast:
    """USD of the next 30 days."""

    days_seen: int
    """Whole days, from the first charge to yesterday; a day without charges is a day at zero."""
    usd: float
    low: float
    high: float
    """95 % of the drawn months lie between."""
    last_week_ratio: float | None
    """The last seven days over the seven before; `None` before there are fourteen, or where those cost nothing."""
    unpriced: int
    """Calls without a known price in these days: the forecast is then a lower bound."""

    @property
    def notes(self) -> list[str]:
        found = []
        if self.days_seen < 2 * WEEK:
            found.append(f"only {self.days_seen} whole days seen: weekly rhythm is not in it yet")
        if self.last_week_ratio is not None and abs(self.last_week_ratio - 1) > 0.2:
            found.append(
                f"the last week cost {self.last_week_ratio:.2f} times the one before: if that goes on, so does this"
            )
        if self.unpriced:
            found.append(f"{self.unpriced} calls have no known price, so it will be more")
        return found

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {"days": DAYS, "notes": self.notes}

    def table(self) -> Table:
        table = amounts.table("forecast", f"the next {DAYS} days, from {self.days_seen} whole days so far")
        table.add_row("cost", f"${self.usd:,.4f}, 95 % between ${self.low:,.4f} and ${self.high:,.4f}", style="bold")
        for note in self.notes:
            table.add_row("but", note)
        return table


def forecast(usd_by_day: Mapping[date, float], *, today: date, unpriced: int = 0, seed: int = 7) -> Forecast:
    """Cost of the next 30 days with its interval; `usd_by_day` as the cost ledger sums it, UTC.

    Raises:
        InvalidRequest: no whole day has passed since the first charge.
    """
    first = min(usd_by_day, default=today)
    days = [first + timedelta(days=number) for number in range((today - first).days)]
    if not days:
        raise InvalidRequest(
            "There is no whole day of costs yet, so nothing can be foretold. Ask again tomorrow; make costs BY=day shows "
            "what there is."
        )
    seen = np.array([usd_by_day.get(day, 0.0) for day in days])
    months = _months(seen, seed)
    low, high = np.percentile(months, [2.5, 97.5])
    return Forecast(len(seen), float(months.mean()), float(low), float(high), _ratio(seen), unpriced)


def _months(seen: Any, seed: int) -> Any:
    block = WEEK if len(seen) >= 2 * WEEK else 1
    count = -(-DAYS // block)
    starts = np.random.default_rng(seed).integers(0, len(seen), size=(DRAWS, count))
    index = (starts[:, :, None] + np.arange(block)) % len(seen)  # runs go round, so that every day is drawn as often
    return seen[index.reshape(DRAWS, -1)[:, :DAYS]].sum(axis=1)


def _ratio(seen: Any) -> float | None:
    if len(seen) < 2 * WEEK or not (before := float(seen[-2 * WEEK : -WEEK].sum())):
        return None
    return float(seen[-WEEK:].sum()) / before
