"""Events arrive in order, and closing a stream stops its producer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import pytest

from foundation.errors import ComponentError, PersonErased, StoreUnavailable, UpstreamDown, UpstreamLimited
from orchestration.events import Event
from orchestration.run.answering import error_event, error_of, stream_from


async def test_what_is_emitted_arrives_in_order() -> None:
    async def produce(emit: Callable[[int], None]) -> None:
        for number in range(3):
            emit(number)
            await asyncio.sleep(0)

    assert [item async for item in stream_from(produce)] == [0, 1, 2]


async def test_a_failure_arrives_after_what_was_emitted_before_it() -> None:
    async def produce(emit: Callable[[int], None]) -> None:
        emit(1)
        raise StoreUnavailable("gone")

    items = stream_from(produce)
    assert await anext(items) == 1
    with pytest.raises(StoreUnavailable) as failed:
        await anext(items)
    assert "produce" in [entry.name for entry in failed.traceback]


async def test_closing_cancels_the_producer_and_waits_for_its_end() -> None:
    ended: list[str] = []

    async def produce(emit: Callable[[int], None]) -> None:
        emit(1)
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            ended.append("cleaned up")

    async with aclosing(stream_from(produce)) as items:
        assert await anext(items) == 1
    assert ended == ["cleaned up"]


async def test_a_cancelled_consumer_cancels_the_producer() -> None:
    begun, ended = asyncio.Event(), list[str]()

    async def produce(emit: Callable[[int], None]) -> None:
        emit(1)
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cancelled")

    async def consume() -> None:
        async with aclosing(stream_from(produce)) as items:
            async for _ in items:
                pass

    task = asyncio.create_task(consume())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["cancelled"]


def test_an_error_event_tells_callers_its_public_text_and_this_process_the_whole() -> None:
    event = error_event(UpstreamDown("m-1 failed, http://10.1.2.3", public="m-1 failed"))
    assert "10.1.2.3" not in event.model_dump_json()
    assert str(error_of(event)) == "m-1 failed, http://10.1.2.3"
    assert error_of(event).public == event.message == "m-1 failed"


def test_an_error_event_becomes_the_error_of_its_code() -> None:
    event = Event(kind="error", code="upstream_limited", message="slow down", retryable=True, retry_after_s=3)
    error = error_of(event)
    assert isinstance(error, UpstreamLimited)
    assert (str(error), error.retry_after_s) == ("slow down", 3)
    assert type(error_of(Event(kind="error", code="erased", message="gone"))) is PersonErased
    assert type(error_of(Event(kind="error", code="never_heard_of", message="odd"))) is ComponentError
