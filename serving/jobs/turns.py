"""Turns that tenants take one after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FairTurns:
    """So many turns at once, given to the tenants that wait one after the other. Belongs to one event loop."""

    def __init__(self, turns: int) -> None:
        self._free = turns
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}
        """Who waits, by tenant; the tenant whose turn was longest ago stands first."""

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
            if not turn.cancelled():  # it was given to us in the moment in which we were cancelled
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
