"""Limits on concurrent work: how much runs at once, how much may wait, and when other callers may try again.

Each kind of work has its own places. There are fewer than configured while answers take much longer together than alone, as on a machine
with few cores.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Literal

from foundation import names
from foundation.errors import Overloaded
from observability.telemetry import process

Work = Literal["answers", "searches", "writes", "reads"]

# Pieces of work at once and waiting. Reads are lists, documents, conversations and the page: all work without places of its own
PLACES: Mapping[Work, tuple[int, int]] = {"searches": (4, 32), "writes": (2, 8), "reads": (8, 64)}
# Answers that may wait for each one at work: with half, nobody waits longer than half an answer
QUEUED_SHARE = 0.5
NEWEST = 0.1
# places are removed while work takes more than this many times its duration alone
SLOWER = 1.4
FEWER = 0.9
FEWEST = 2


class FairTurns:
    """At most `limit` at once, given to waiting tenants in rotation. Belongs to one event loop."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.running = 0
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}
        """Waiting tasks by tenant. The tenant whose last turn is longest ago comes first."""

    @property
    def waiting(self) -> int:
        return sum(map(len, self._lines.values()))

    @asynccontextmanager
    async def turn(self, tenant: str = "") -> AsyncIterator[None]:
        """Hold a turn. Raises `turn_away`'s error: it was called."""
        if self.running < self.limit:
            self.running += 1
        else:
            await self._wait(tenant)
        try:
            yield
        finally:
            self._pass_on()

    def turn_away(self, error: Exception) -> None:
        """Raise `error` in all who wait."""
        for line in self._lines.values():
            for turn in line:
                if not turn.done():
                    turn.set_exception(error)
        self._lines.clear()

    async def _wait(self, tenant: str) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._lines.setdefault(tenant, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                left = deque(waiter for waiter in self._lines.pop(tenant, ()) if waiter is not turn)
                self._lines |= {tenant: left} if left else {}
            elif turn.exception() is None:  # we were given the turn and cancelled at the same moment
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        self.running -= 1
        while self._lines and self.running < self.limit:
            tenant = next(iter(self._lines))
            line = self._lines.pop(tenant)
            turn = line.popleft()
            if line:
                self._lines[tenant] = line  # to the end
            if not turn.done():
                # counted here and not where it wakes up, or another one could come in between
                self.running += 1
                turn.set_result(None)


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
        self.shed = 0
        """Pieces of work that were turned away."""

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place. Raises Overloaded: places and queue are full. `turn_away`'s error: it was called."""
        # in proportion to the places: in an overload a long queue stays full, and everybody waits for its whole length
        if self.running >= self.limit and self.waiting >= self._queued * self.limit // self._most:
            self.shed += 1
            process.domain().count(names.REQUESTS_SHED, work=self._work)
            raise Overloaded(
                f"{self.running} {self._work} are being worked on and {self.waiting} wait. Try again in a few seconds.",
                # until all current work is done
                retry_after_s=max(1.0, math.ceil(self._usual_s * (self.running + self.waiting) / self.limit)),
            )
        async with self.turn():
            self._shared = self._shared or self.running > 1
            started_s = self._now()
            try:
                yield
            finally:
                self._took(self._now() - started_s)
                self._shared = self._shared and self.running > 1

    def _took(self, seconds: float) -> None:
        self._usual_s = _average(self._usual_s, seconds)
        # with others at work, a time counts as time alone only if it is shorter
        if not self._shared or seconds < self._alone_s or not self._alone_s:
            self._alone_s = _average(self._alone_s, seconds)
        if self._usual_s > SLOWER * self._alone_s:
            self._limit = max(min(FEWEST, self._most), self._limit * FEWER)
        elif self.running >= self.limit:
            self._limit = min(self._most, self._limit + 1 / self._limit)
        self.limit = int(self._limit)


def _average(before: float, latest: float) -> float:
    return before + NEWEST * (latest - before) if before else latest
