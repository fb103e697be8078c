"""Fair turns between tenants."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FairTurns:
    """At most `turns` at once, given to waiting tenants in rotation. Belongs to one event loop."""

    def __init__(self, turns: int) -> None:
        self._free = turns
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}
        """Waiting tasks by tenant. The tenant whose last turn is longest ago comes first."""

    @asynccontextmanager
    async def turn(self, tenant: str) -> AsyncIterator[None]:
        """Hold a turn."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(tenant)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, tenant: str) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._lines.setdefault(tenant, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # we were given the turn and cancelled at the same moment
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._lines:
            tenant = next(iter(self._lines))
            line = self._lines.pop(tenant)
            turn = line.popleft()
            if line:
                self._lines[tenant] = line  # to the end
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
