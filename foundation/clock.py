"""The one door to time, so that expiry, deadlines and validity dates can be tested without waiting."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Wall time for what people read and compare with dates; monotonic time for durations and deadlines."""

    def now(self) -> datetime:
        """The current time, timezone-aware, in UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start; never goes back when the wall clock is set."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        return time.clock_gettime(_MONOTONIC)


_MONOTONIC = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Where the system has such a clock, one that also counts while the machine sleeps."""


class SteadyTime:
    """The wall time that a clock showed at first, and what has passed since. What lasts for so long, such as a day's budget, neither
    ends when the wall clock is set ahead nor lasts longer when it is set back. A process believes the clock that it finds."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._first, self._first_s = clock, clock.now(), clock.monotonic_s()

    def now(self) -> datetime:
        return self._first + timedelta(seconds=self._clock.monotonic_s() - self._first_s)
