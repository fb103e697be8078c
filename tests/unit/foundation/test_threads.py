"""What is said of the threads of an event loop."""

import asyncio
from concurrent.futures import Future
from threading import Barrier, Event

import pytest

from foundation.machine.threads import LoopThreads, let_threads_wait, waiting_for_loop

PATIENCE_S = 30


async def test_where_all_threads_wait_for_the_loop_it_still_finds_one() -> None:
    loop = asyncio.get_running_loop()
    pool = LoopThreads(3)
    loop.set_default_executor(pool)
    all_wait = Barrier(3)

    async def find_thread() -> str:
        return await asyncio.to_thread(lambda: "done by a thread")

    def wait_for_loop() -> str:
        all_wait.wait(PATIENCE_S)
        with waiting_for_loop():
            return asyncio.run_coroutine_threadsafe(find_thread(), loop).result(PATIENCE_S)

    done = await asyncio.gather(*(asyncio.to_thread(wait_for_loop) for _ in range(3)))
    assert done == ["done by a thread"] * 3


def test_no_more_work_at_once_than_there_are_places() -> None:
    with LoopThreads(2) as pool:
        free, both = Event(), Barrier(3)

        def hold() -> None:
            both.wait(PATIENCE_S)
            free.wait(PATIENCE_S)

        held = [pool.submit(hold) for _ in range(2)]
        both.wait(PATIENCE_S)
        third = pool.submit(lambda: "third")
        assert not third.running()
        free.set()
        assert third.result(PATIENCE_S) == "third"
        assert [each.result(PATIENCE_S) for each in held] == [None, None]


def test_a_place_that_was_given_away_is_taken_back() -> None:
    pool = LoopThreads(1)

    def wait_once() -> None:
        with waiting_for_loop():
            pass

    for _ in range(3):
        pool.submit(wait_once).result(PATIENCE_S)
    free, begun = Event(), Event()
    first = pool.submit(lambda: (begun.set(), free.wait(PATIENCE_S)))
    begun.wait(PATIENCE_S)
    second = pool.submit(lambda: None)
    assert not second.running()
    free.set()
    first.result(PATIENCE_S)
    second.result(PATIENCE_S)
    pool.shutdown()


def test_what_waits_at_the_end_is_done() -> None:
    pool = LoopThreads(1)
    free = Event()
    done: list[Future[object]] = [pool.submit(free.wait, PATIENCE_S), *(pool.submit(str, each) for each in range(5))]
    free.set()
    pool.shutdown()
    assert [each.result(0) for each in done[1:]] == list("01234")


def test_an_error_of_the_work_is_told_and_what_is_cancelled_is_not_done() -> None:
    with LoopThreads(1) as pool:
        free = Event()
        pool.submit(free.wait, PATIENCE_S)
        cancelled = pool.submit(pytest.fail, "this was cancelled")
        assert cancelled.cancel()
        failing = pool.submit(int, "no number")
        free.set()
        with pytest.raises(ValueError, match="no number"):
            failing.result(PATIENCE_S)


async def test_a_loop_gets_its_threads_once() -> None:
    loop = asyncio.get_running_loop()
    let_threads_wait(loop)
    names = {await asyncio.to_thread(lambda: type(_pool()).__name__) for _ in range(2)}
    let_threads_wait(loop)
    assert names == {"LoopThreads"}


def test_outside_of_such_threads_waiting_gives_nothing_away() -> None:
    with waiting_for_loop():
        pass


def _pool() -> object:
    from foundation.machine import threads

    return threads._thread.pool
