"""Work in a thread that ends: when its time is up, or when nobody waits for it any more.

A thread cannot be stopped from outside. Work that a stranger can make long therefore asks `check` in its loops.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

from foundation.errors import BudgetExceeded

P = ParamSpec("P")
T = TypeVar("T")


class Abandoned(BaseException):
    """Nobody waits for this work any more. No `except Exception` on the way up takes it for a failure."""


class Deadline:
    """When a piece of work has to end. `outer` holds as well, if there is one."""

    def __init__(self, seconds: float, outer: Deadline | None = None) -> None:
        self._seconds = seconds
        self._until_s = time.monotonic() + seconds
        self._outer = outer
        self._ended = False

    def end(self) -> None:
        """Let the work end at its next `check`. Safe to call from any thread."""
        self._ended = True

    def remaining_s(self) -> float:
        """Seconds left, more than 0; infinite where nothing limits them.

        Raises:
            BudgetExceeded: none are left.
            Abandoned: `end` was called.
        """
        if self._ended:
            raise Abandoned
        remaining = self._until_s - time.monotonic()
        if remaining <= 0:
            raise BudgetExceeded(
                f"This took more than {self._seconds:g} s of computing. Send less at once.", limit="seconds"
            )
        return remaining if self._outer is None else min(remaining, self._outer.remaining_s())


_CURRENT: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`asyncio.to_thread`, whose work ends at its next `check` once this call is cancelled."""
    return await in_thread_within(math.inf, work, *args, **kwargs)


async def in_thread_within(seconds: float, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """As `in_thread`, and the work ends after `seconds`.

    Raises:
        BudgetExceeded: the time was up at a `check`.
    """
    with time_limit(seconds):
        return await asyncio.to_thread(work, *args, **kwargs)


@contextmanager
def time_limit(seconds: float = math.inf) -> Iterator[None]:
    """Threads that are awaited inside this end, at their next `check`, after `seconds` or when this is left before them."""
    deadline = Deadline(seconds, _CURRENT.get())
    token = _CURRENT.set(deadline)  # whatever begins a thread here gives it a copy of this context
    try:
        yield
    finally:
        deadline.end()
        _CURRENT.reset(token)


def check() -> None:
    """End this work if its time is up or nobody waits for it. Costs less than a microsecond, so it may stand in any loop.

    Raises:
        BudgetExceeded, Abandoned: as `Deadline.remaining_s`.
    """
    if (deadline := _CURRENT.get()) is not None:
        deadline.remaining_s()


def remaining_s() -> float:
    """Seconds that are left to this work, infinite where nothing limits them; raises as `check`."""
    deadline = _CURRENT.get()
    return math.inf if deadline is None else deadline.remaining_s()
