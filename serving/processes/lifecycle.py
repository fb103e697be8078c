"""A graceful end: unready at once, work in flight may finish, and what cannot finish in time is told so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from foundation.errors import ShuttingDown

MARGIN_S = 4.0
"""Left of the grace period for cancelled work to clean up, for the last bytes to be sent and for the parts to be closed. With two
seconds a busy machine was up to 4 s late."""


class Lifecycle:
    """Whether the server is stopping. Belongs to the event loop that serves."""

    def __init__(self) -> None:
        self.draining = False
        self.over = False
        """Time is up: what is in flight has been ended."""
        self._ending: set[Callable[[], None]] = set()
        self._cleaning: set[asyncio.Task[None]] = set()

    def drain(self, grace_s: float) -> None:
        """Begin to stop: whatever still runs shortly before `grace_s` seconds have passed is ended."""
        if not self.draining:
            self.draining = True
            asyncio.get_running_loop().call_later(max(grace_s - MARGIN_S, grace_s / 2), self.end)

    def end(self) -> None:
        """End the work in flight, now, and from now on whatever would begin."""
        self.over = True
        for ending in tuple(self._ending):
            ending()

    def at_end(self, ending: Callable[[], None]) -> None:
        """`ending` is called when time is up; at once if it is."""
        self._ending.add(ending)
        if self.over:
            ending()

    @contextmanager
    def in_flight(self, ending: Callable[[], None]) -> Iterator[None]:
        """As `at_end`, while this is open."""
        self.at_end(ending)
        try:
            yield
        finally:
            self._ending.discard(ending)

    def clean_up(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        """Whoever was told of the end does not wait for cancelled `tasks`; the server does, before its parts are closed."""
        for task in tasks:
            self._cleaning.add(task)
            task.add_done_callback(self._cleaning.discard)

    async def cleaned_up(self, within_s: float) -> None:
        """Wait for what `clean_up` was given, but no longer than this."""
        if self._cleaning:
            await asyncio.wait(self._cleaning, timeout=within_s)

    def refuse_while_draining(self) -> None:
        """Raises ShuttingDown: the server has begun to stop and takes nothing new."""
        if self.draining:
            raise turned_away()


def turned_away() -> ShuttingDown:
    """What is told to whoever has not been begun with."""
    return ShuttingDown("The server is stopping. Try again on another one, or in a moment.", retry_after_s=5)
