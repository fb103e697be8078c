"""Clocks, passed to whatever needs the time, so that expiry, deadlines and validity dates can be tested without waiting."""

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
    """Wall time for periods such as a day's budget: changes of the clock neither shorten nor prolong them."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._first, self._first_s = clock, clock.now(), clock.monotonic_s()

    def now(self) -> datetime:
        return self._first + timedelta(seconds=self._clock.monotonic_s() - self._first_s)
