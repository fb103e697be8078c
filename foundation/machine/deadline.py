"""Deadlines for work in threads, which ends when its time is up or its caller is gone."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

from foundation.errors import BudgetExceeded

P = ParamSpec("P")
T = TypeVar("T")


class Abandoned(BaseException):
    """The caller of this work is gone. It is no `Exception`, so no handler takes it for a failure."""


class Deadline:
    """The end of a piece of work; that of `outer`, if any, holds as well."""

    def __init__(self, seconds: float, outer: Deadline | None = None) -> None:
        self._seconds = seconds
        self._until_s = time.monotonic() + seconds
        self._outer = outer
        self._ended = False

    def end(self) -> None:
        """End the work at its next `check`. Safe to call from any thread."""
        self._ended = True

    def remaining_s(self) -> float:
        """Return the seconds left; infinite without a limit. Raises BudgetExceeded; Abandoned after `end`."""
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
    """Run `work` as `asyncio.to_thread` does, and end it at its next `check` if this call is cancelled."""
    return await in_thread_within(math.inf, work, *args, **kwargs)


async def in_thread_within(seconds: float, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` as `in_thread` does, and end it after `seconds`. Raises BudgetExceeded: the time is up."""
    with time_limit(seconds):
        return await asyncio.to_thread(work, *args, **kwargs)


@contextmanager
def time_limit(seconds: float = math.inf) -> Iterator[None]:
    """Limit the threads awaited inside: they end at their next `check`, after `seconds` or when the block is left."""
    deadline = Deadline(seconds, _CURRENT.get())
    token = _CURRENT.set(deadline)  # threads that are started inside get a copy of this context
    try:
        yield
    finally:
        # a thread cannot be stopped from outside: it stops itself, at its next `check`
        deadline.end()
        _CURRENT.reset(token)


def check() -> None:
    """Raise BudgetExceeded or Abandoned where this work must end; takes less than a microsecond."""
    if (deadline := _CURRENT.get()) is not None:
        deadline.remaining_s()


def remaining_s() -> float:
    """Return the seconds left to this work, infinite where there is no limit. Raises as `check`."""
    deadline = _CURRENT.get()
    return math.inf if deadline is None else deadline.remaining_s()


# Seconds between two questions whether work may go on
LOOK_S = 0.25


async def unless_refused(work: Coroutine[Any, Any, T], demand: Callable[[], None]) -> T:
    """Run `work` and return its result; cancel it when `demand`, called every `LOOK_S` seconds, raises."""
    task = asyncio.create_task(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=LOOK_S)
            if not task.done():
                demand()
        return await task
    finally:
        task.cancel()
        await asyncio.wait({task})
