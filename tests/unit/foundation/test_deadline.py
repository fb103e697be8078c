"""Work in a thread ends when its time is up, and when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import threading

import pytest

from foundation.errors import BudgetExceeded
from foundation.machine.deadline import Abandoned, check, in_thread, in_thread_within, remaining_s, time_limit

LONG_S = 60


class Work:
    """Goes on until a look at the time ends it."""

    def __init__(self) -> None:
        self.began, self.ended = threading.Event(), threading.Event()
        self.error: BaseException | None = None

    def __call__(self) -> None:
        self.began.set()
        try:
            while True:
                check()
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.ended.set()


async def test_work_ends_after_its_seconds() -> None:
    with pytest.raises(BudgetExceeded, match="more than 0"):
        await in_thread_within(0.01, Work())


async def test_work_ends_when_nobody_waits_for_it_any_more() -> None:
    work = Work()
    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(work.began.wait, LONG_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(work.ended.wait, LONG_S)
    assert isinstance(work.error, Abandoned)


async def test_the_nearest_of_several_ends_holds() -> None:
    with time_limit(1000):
        assert await in_thread_within(LONG_S, remaining_s) <= LONG_S
        assert await in_thread_within(2000, remaining_s) <= 1000


async def test_work_ends_with_the_work_around_it() -> None:
    work = Work()

    async def around() -> None:
        with time_limit():
            await asyncio.to_thread(lambda: asyncio.run(in_thread(work)))

    task = asyncio.create_task(around())
    await asyncio.to_thread(work.began.wait, LONG_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(work.ended.wait, LONG_S)


async def test_what_nothing_limits_goes_on() -> None:
    check()
    assert remaining_s() == float("inf")
    assert await in_thread(remaining_s) == float("inf")
    assert await in_thread(lambda: 3) == 3
