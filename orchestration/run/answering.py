"""Streams of events: a producer behind an iterator, the last event for callers that do not stream, errors as events."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from foundation.errors import ComponentError, Gone, InvalidRequest, SixplyError
from foundation.types import Principal
from orchestration.actions import Decision
from orchestration.contract import Agent
from orchestration.events import Answer, Event
from orchestration.requests import AnswerRequest

T = TypeVar("T")


async def answer(
    agent: Agent, request: AnswerRequest, principal: Principal, *, seen: Callable[[Event], None] | None = None
) -> Answer:
    """Run one request to its end and return its answer; `seen` gets each event. Raises RequestError and ComponentError."""
    return await _last(agent.stream(request, principal), seen)


async def resume(agent: Agent, decision: Decision, principal: Principal) -> Answer:
    """Decide an approval, continue the run that waits for it and return its answer. Raises as `Agent.resume` and `answer`."""
    return await _last(agent.resume(decision, principal))


async def _last(events: AsyncIterator[Event], seen: Callable[[Event], None] | None = None) -> Answer:
    last: Event | None = None
    async for last in events:
        if seen is not None:
            seen(last)
    if last is not None and last.answer is not None:
        return last.answer
    raise error_of(last) if last is not None else ComponentError("The agent's stream ended without an answer.")


async def stream_from(produce: Callable[[Callable[[T], None]], Awaitable[None]]) -> AsyncGenerator[T, None]:
    """Yield what `produce` emits in a task of its own. Raises its exception; closing the iterator cancels it and waits."""
    queue: asyncio.Queue[T | None] = asyncio.Queue()

    async def work() -> None:
        try:
            await produce(queue.put_nowait)
        finally:
            queue.put_nowait(None)

    task = asyncio.create_task(work())
    try:
        while (item := await queue.get()) is not None:
            yield item
        await task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            # nobody reads the error of an abandoned producer, and one that is raised twice loses where it came from
            await asyncio.gather(task, return_exceptions=True)


def error_event(error: SixplyError) -> Event:
    """Return `error` as the last event of a stream, with its public message; in this process `error_of` has the error itself."""
    details = {"retryable": error.retryable, "retry_after_s": error.retry_after_s}
    event = Event(kind="error", thread_id=error.thread_id, code=error.code, message=error.public, **details)
    event._error = error  # noqa: SLF001 - so that no copy of the event tells it
    return event


def error_of(event: Event) -> SixplyError:
    """Return the error behind an `error` event; where it came from elsewhere, one of the class with its code."""
    if event._error is not None:  # noqa: SLF001 - as above
        return event._error  # noqa: SLF001
    kinds: list[type[SixplyError]] = [ComponentError, InvalidRequest, Gone]
    for kind in kinds:  # it grows by those below each
        kinds += kind.__subclasses__()
    error_class = next((kind for kind in kinds if kind.code == event.code), ComponentError)
    error = error_class(event.message or "A part failed without a message.", retry_after_s=event.retry_after_s)
    error.thread_id = event.thread_id
    return error
