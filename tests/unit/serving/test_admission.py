"""Places for running answers, the queue, and saying no."""

import asyncio

import pytest

from foundation.errors import Overloaded
from serving.admission import Admission


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
