"""Turns, in order of arrival, and fair between tenants."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


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
