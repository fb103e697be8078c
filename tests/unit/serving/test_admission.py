"""Places for running answers, the queue, and saying no."""

import asyncio

import pytest

from foundation.errors import Overloaded, ShuttingDown
from serving.access.admission import Admission


async def hold(admission: Admission, until: asyncio.Event) -> None:
    async with admission.place():
        await until.wait()


async def test_what_is_beyond_the_places_and_the_queue_is_told_to_come_back() -> None:
    admission, until = Admission(concurrent=2, queued=1), asyncio.Event()
    tasks = [asyncio.create_task(hold(admission, until)) for _ in range(3)]
    await asyncio.sleep(0)
    assert (admission.running, admission.waiting) == (2, 1)
    with pytest.raises(Overloaded) as refused:
        async with admission.place():
            pass
    assert refused.value.retry_after_s
    until.set()
    await asyncio.gather(*tasks)
    assert (admission.running, admission.waiting) == (0, 0)


async def test_places_come_back_after_errors_and_cancellation() -> None:
    admission = Admission(concurrent=1, queued=4)
    with pytest.raises(RuntimeError):
        async with admission.place():
            raise RuntimeError
    held = asyncio.create_task(hold(admission, asyncio.Event()))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(hold(admission, asyncio.Event()))
    await asyncio.sleep(0)
    for task in (waiting, held):
        task.cancel()
    await asyncio.gather(held, waiting, return_exceptions=True)
    async with admission.place():
        assert (admission.running, admission.waiting) == (1, 0)


async def test_no_queue_means_no_waiting() -> None:
    admission = Admission(concurrent=1, queued=0)
    async with admission.place():
        with pytest.raises(Overloaded):
            async with admission.place():
                pass


async def test_a_waiting_caller_who_leaves_keeps_no_place_even_in_the_moment_of_his_turn() -> None:
    admission, until = Admission(concurrent=1, queued=2), asyncio.Event()
    held = asyncio.create_task(hold(admission, until))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(hold(admission, asyncio.Event())) for _ in range(2)]
    await asyncio.sleep(0)
    until.set()
    await held  # its place has been given on, and nobody has run since
    waiting[0].cancel()
    waiting[1].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert (admission.running, admission.waiting) == (0, 0)


async def test_all_who_wait_can_be_turned_away_while_what_runs_goes_on() -> None:
    admission, until = Admission(concurrent=1, queued=2), asyncio.Event()
    held = asyncio.create_task(hold(admission, until))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(hold(admission, asyncio.Event())) for _ in range(2)]
    await asyncio.sleep(0)
    admission.turn_away(ShuttingDown("over"))
    waiting[0].cancel()  # in the moment in which it is turned away
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in ended] == [asyncio.CancelledError, ShuttingDown]
    assert (admission.running, admission.waiting) == (1, 0)
    until.set()
    await held
    assert admission.running == 0


class Watch:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


async def together(admission: Admission, watch: Watch, many: int, seconds: float) -> None:
    """So many pieces of work at once, each of which takes `seconds`."""
    until = asyncio.Event()
    tasks = [asyncio.create_task(hold(admission, until)) for _ in range(many)]
    await asyncio.sleep(0)
    watch.s += seconds
    until.set()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_fewer_places_are_given_while_work_gets_slower_in_company_and_more_again_when_not() -> None:
    watch = Watch()
    admission = Admission(concurrent=8, queued=4, now=watch)
    for _ in range(5):
        await together(admission, watch, 1, 1.0)
    for _ in range(20):
        await together(admission, watch, admission.limit, 8.0)
    assert admission.limit == 2
    for _ in range(60):
        await together(admission, watch, admission.limit, 1.0)
    assert admission.limit == 8


async def test_the_time_to_come_back_follows_from_what_is_here_and_how_long_it_usually_takes() -> None:
    watch = Watch()
    admission, until = Admission(concurrent=2, queued=1, now=watch), asyncio.Event()
    await together(admission, watch, 1, 6.0)
    tasks = [asyncio.create_task(hold(admission, until)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refused:
        async with admission.place():
            pass
    assert refused.value.retry_after_s == 9.0
    until.set()
    await asyncio.gather(*tasks)
