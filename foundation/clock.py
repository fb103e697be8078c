"""Clocks, passed to whatever needs the time, so that expiry, deadlines and validity dates can be tested without waiting."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Wall time for dates that people read, monotonic time for durations and deadlines."""

    def now(self) -> datetime:
        """Return the current time, timezone-aware, in UTC."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds from an arbitrary start, unaffected by changes of the wall clock."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        return time.clock_gettime(_MONOTONIC)


# The clock that also counts while the machine sleeps, where the system has it
_MONOTONIC = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SteadyTime:
    """Wall time that ignores later changes of the clock: its first reading plus the monotonic time since. A period
    such as a day's budget neither ends when the wall clock is set ahead nor lasts longer when it is set back.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock, self._first, self._first_s = clock, clock.now(), clock.monotonic_s()

    def now(self) -> datetime:
        return self._first + timedelta(seconds=self._clock.monotonic_s() - self._first_s)
