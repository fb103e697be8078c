"""A graceful end: unready at once, work in flight may finish, and what cannot finish in time is told so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from foundation.errors import ShuttingDown

MARGIN_S = 2.0
"""Left of the grace period for cancelled work to clean up and for the last bytes to be sent."""


class Lifecycle:
    """Whether the server is stopping. Belongs to the event loop that serves."""

    def __init__(self) -> None:
        self.draining = False
        self._ending: set[Callable[[], None]] = set()

    def drain(self, grace_s: float) -> None:
        """Begin to stop: whatever still runs shortly before `grace_s` seconds have passed is ended."""
        if not self.draining:
            self.draining = True
            asyncio.get_running_loop().call_later(max(grace_s - MARGIN_S, grace_s / 2), self.end)

    def end(self) -> None:
        """End the work in flight, now."""
        for ending in tuple(self._ending):
            ending()

    @contextmanager
    def in_flight(self, ending: Callable[[], None]) -> Iterator[None]:
        """While this is open, `ending` is called when time is up."""
        self._ending.add(ending)
        try:
            yield
        finally:
            self._ending.discard(ending)

    def refuse_while_draining(self) -> None:
        """Raises:
        ShuttingDown: the server has begun to stop and takes nothing new.
        """
        if self.draining:
            raise ShuttingDown("The server is stopping. Try again on another one, or in a moment.", retry_after_s=5)
