"""Graceful shutdown: unready at once, work in flight may finish, and the rest is cancelled with an error."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from foundation.errors import ShuttingDown

# kept of the grace period for clean-up, last bytes and closing the parts; with 2 s a busy machine was up to 4 s late
MARGIN_S = 4.0


class Lifecycle:
    """State of a server's shutdown. Belongs to the event loop that serves."""

    def __init__(self) -> None:
        self.draining = False
        self.over = False
        """Time is up: work in flight has been cancelled."""
        self._ending: set[Callable[[], object]] = set()
        self._cleaning: set[asyncio.Task[None]] = set()

    def drain(self, grace_s: float) -> None:
        """Start the shutdown. Work that still runs shortly before `grace_s` seconds have passed is cancelled."""
        if not self.draining:
            self.draining = True
            asyncio.get_running_loop().call_later(max(grace_s - MARGIN_S, grace_s / 2), self.end)

    def end(self) -> None:
        """Cancel the work in flight, and from now on any new work."""
        self.over = True
        for ending in tuple(self._ending):
            ending()

    def at_end(self, ending: Callable[[], object]) -> None:
        """Call `ending` when time is up; at once if it is."""
        self._ending.add(ending)
        if self.over:
            ending()

    @contextmanager
    def in_flight(self, ending: Callable[[], object]) -> Iterator[None]:
        """Like `at_end`, while the context is open."""
        self.at_end(ending)
        try:
            yield
        finally:
            self._ending.discard(ending)

    def clean_up(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        """Keep cancelled `tasks`: their caller has been answered; the server awaits them before it closes its parts."""
        for task in tasks:
            self._cleaning.add(task)
            task.add_done_callback(self._cleaning.discard)

    async def cleaned_up(self, within_s: float) -> None:
        """Wait for the tasks of `clean_up`, at most this long."""
        if self._cleaning:
            await asyncio.wait(self._cleaning, timeout=within_s)

    def refuse_while_draining(self) -> None:
        """Raises ShuttingDown: the server is stopping and takes nothing new."""
        if self.draining:
            raise turned_away()


def turned_away() -> ShuttingDown:
    """Return the error for work that had not begun."""
    return ShuttingDown("The server is stopping. Try again on another one, or in a moment.", retry_after_s=5)
