"""How many answers run at once, how many may wait, and when a caller is told to come back later.

Everything that needs the language model passes here before it begins; approvals and health do not, so that an
overloaded system can still be watched and its waiting work decided.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from foundation.errors import Overloaded

RETRY_AFTER_S = 5.0
"""About the time of one answer of the bundled model; a caller that waits it out usually finds a place."""


class Admission:
    """Places for `concurrent` running answers and `queued` waiting ones, first come first served."""

    def __init__(self, *, concurrent: int, queued: int) -> None:
        self._places = asyncio.Semaphore(concurrent)
        self._queued = queued
        self.running = 0
        self.waiting = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place.

        Raises:
            Overloaded: all places are taken and so is the queue.
        """
        if self._places.locked() and self.waiting >= self._queued:
            raise Overloaded(
                f"{self.running} answers are being worked on and {self.waiting} wait. Try again in a few seconds.",
                retry_after_s=RETRY_AFTER_S,
            )
        self.waiting += 1
        try:
            await self._places.acquire()
        finally:
            self.waiting -= 1
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._places.release()
