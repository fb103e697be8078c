"""Limits on concurrent work: how much runs at once, how much may wait, and when the rest is told to come back.

Each kind of work has its own places. There are fewer than configured while answers take much longer together than alone, as on a machine
with few cores.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Literal

from foundation import names
from foundation.errors import Overloaded
from foundation.types import Principal
from observability.telemetry import metrics
from serving.access.turns import FairTurns

Work = Literal["answers", "searches", "writes", "reads"]

NEWEST = 0.1
# places are removed while work takes more than this many times its duration alone
SLOWER = 1.4
FEWER = 0.9
FEWEST = 2


class Admission(FairTurns):
    """At most `concurrent` running pieces of work and `queued` waiting ones, in order of arrival."""

    def __init__(
        self, *, concurrent: int, queued: int, work: Work = "answers", now: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(concurrent)
        self._most = concurrent
        self._queued = queued
        self._work = work
        self._now = now
        self._limit = float(concurrent)
        self._usual_s = 0.0
        self._alone_s = 0.0
        self._shared = False
        metrics.domain().begin(names.REQUESTS_SHED, work=work)
        metrics.domain().watch(names.REQUESTS_RUNNING, lambda: self.running, work=work)
        metrics.domain().watch(names.REQUESTS_WAITING, lambda: self.waiting, work=work)

    @property
    def places(self) -> int:
        """Current number of places."""
        return self.limit

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place. Raises Overloaded: places and queue are full. `turn_away`'s error: it was called."""
        # in proportion to the places: in an overload a long queue stays full, and everybody waits for its whole length
        if self.running >= self.places and self.waiting >= self._queued * self.places // self._most:
            metrics.domain().count(names.REQUESTS_SHED, work=self._work)
            raise Overloaded(
                f"{self.running} {self._work} are being worked on and {self.waiting} wait. Try again in a few seconds.",
                retry_after_s=self.free_in_s(),
            )
        async with self.turn():
            self._shared = self._shared or self.running > 1
            started_s = self._now()
            try:
                yield
            finally:
                self._took(self._now() - started_s)
                self._shared = self._shared and self.running > 1

    def free_in_s(self) -> float:
        """Estimate the seconds until all current work is done: whole seconds, at least 1."""
        return max(1.0, math.ceil(self._usual_s * (self.running + self.waiting) / self.places))

    def _took(self, seconds: float) -> None:
        self._usual_s = _average(self._usual_s, seconds)
        # with others at work, a time counts as time alone only if it is shorter
        if not self._shared or seconds < self._alone_s or not self._alone_s:
            self._alone_s = _average(self._alone_s, seconds)
        if self._usual_s > SLOWER * self._alone_s:
            self._limit = max(min(FEWEST, self._most), self._limit * FEWER)
        elif self.running >= self.places:
            self._limit = min(self._most, self._limit + 1 / self._limit)
        self.limit = int(self._limit)


def _average(before: float, latest: float) -> float:
    return before + NEWEST * (latest - before) if before else latest


class PerPerson:
    """At most `most` of something for one person at once. Requests beyond are refused, not queued."""

    def __init__(self, most: int, what: str) -> None:
        self._most = most
        self._what = what
        self._held: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def place(self, principal: Principal) -> Iterator[None]:
        """Hold a place. Raises Overloaded: the person has `most` already."""
        person = (principal.tenant, principal.subject)
        if self._held[person] >= self._most:
            raise Overloaded(f"You have {self._most} {self._what} open, which is the most. Close one.", retry_after_s=5)
        self._held[person] += 1
        try:
            yield
        finally:
            self._held[person] -= 1
            if not self._held[person]:
                del self._held[person]
