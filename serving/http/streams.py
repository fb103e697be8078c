"""Follow an agent's events to the end, and stop it when the caller leaves or the server shuts down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable
from contextlib import aclosing
from typing import Any, TypeVar

import anyio
from fastapi import Request, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from foundation.errors import ShuttingDown, SixplyError
from foundation.output.markdown import markdown
from orchestration.events import Answer, Event
from orchestration.run.answering import error_of
from serving.http.errors import CallerLeft, InternalError
from serving.http.lifecycle import Lifecycle

log = logging.getLogger("sixply.serving")

# after so much silence a stream sends a comment, or proxies would close the connection
PING_S = 15.0
# what a cancelled agent may take to clean up; its place is taken until then
CLEAN_UP_S = 10.0
UNANSWERED = "The agent ended without an answer."
Items = asyncio.Queue[Event | Exception | None]
T = TypeVar("T")


async def follow(
    events: AsyncIterator[Event], lifecycle: Lifecycle, request: Request | None = None, queue: Items | None = None
) -> AsyncGenerator[Event | None]:
    """Yield the agent's events up to and including its answer; `None` after each `PING_S` of silence.

    Closing this generator cancels the agent and waits for its cleanup. `request` is watched for a disconnect; without
    it, only a response that is being sent would notice one. Raises SixplyError: the agent raised it, or reported it as
    an error event. ShuttingDown: the server's time is up. CallerLeft: the caller disconnected; only with `request`.
    """
    queue = queue or asyncio.Queue()  # where events wait that were not yielded yet
    # one task runs the whole agent, so that its spans open and close in one context
    tasks = [asyncio.create_task(_run(events, queue))]
    if request is not None:
        tasks.append(asyncio.create_task(_wait_until_left(request)))
        tasks[-1].add_done_callback(lambda _: queue.put_nowait(CallerLeft()))
    over = ShuttingDown("The server is stopping and could not finish this answer. Ask again.", retry_after_s=5)
    try:
        with lifecycle.in_flight(lambda: queue.put_nowait(over)):
            while (event := await _next(queue)) is None or event.kind != "answer":
                yield event
            yield event
    finally:
        for task in tasks:
            task.cancel()
        if lifecycle.over:
            # the caller is answered first: cleaning up can take longer than the time that is left
            lifecycle.clean_up(tasks)
        else:
            with anyio.move_on_after(CLEAN_UP_S, shield=True):  # shielded: this task is often being cancelled itself
                await asyncio.wait(tasks)


async def collect(events: AsyncIterator[Event], lifecycle: Lifecycle, request: Request | None = None) -> Answer:
    """Return the answer at the end of `events`. Raises the errors of `follow`."""
    async with aclosing(follow(events, lifecycle, request)) as followed:
        async for event in followed:
            if event is not None and event.answer is not None:
                return event.answer
    raise InternalError(UNANSWERED)


async def unless_left(work: Coroutine[Any, Any, T], lifecycle: Lifecycle, request: Request | None = None) -> T:
    """Return the result of `work`, which is cancelled at shutdown and, with `request`, when the caller disconnects.
    Raises ShuttingDown: the server's time is up. CallerLeft: the caller disconnected.
    """
    task = asyncio.create_task(work)
    waits = {task} | ({asyncio.create_task(_wait_until_left(request))} if request is not None else set())
    try:
        with lifecycle.in_flight(task.cancel):
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise CallerLeft
        if task.cancelled() and lifecycle.over:
            raise ShuttingDown("The server is stopping and could not finish this. Try again.", retry_after_s=5)
        return await task
    finally:
        for waiting in waits:
            waiting.cancel()
        with anyio.move_on_after(CLEAN_UP_S, shield=True):  # as in `follow`
            await asyncio.wait({task})


def explain(error: Exception) -> SixplyError:
    """Convert `error` to one of our errors, so that a stream can end with its `public` text; what that leaves out is logged."""
    if isinstance(error, SixplyError):
        if error.public != str(error):
            log.error("%s: %s", error.code, error)
        return error
    log.error("a stream failed", exc_info=error)
    return InternalError()


def stream_events(
    events: AsyncIterator[Event],
    lifecycle: Lifecycle,
    encode: Callable[[Event], Iterable[bytes]],
    failed: Callable[[SixplyError], bytes],
) -> EventStream:
    """Stream the agent's events to the caller. An error is the last event, because the status has already been sent."""

    async def encode_events() -> AsyncGenerator[bytes]:
        queue: Items = asyncio.Queue()
        waiting: list[bytes] = []
        try:
            async with aclosing(follow(events, lifecycle, queue=queue)) as followed:
                async for event in followed:
                    waiting += (KEEPALIVE_COMMENT,) if event is None else encode(event)
                    # what a busy server finds at once is one write
                    if waiting and (queue.empty() or (event and event.kind == "answer")):
                        yield b"".join(waiting)
                        waiting = []
        except Exception as error:
            yield b"".join([*waiting, failed(explain(error))])

    return EventStream(encode_events())


class EventStream(EventSourceResponse):
    """Server-sent events from a generator, which is always closed at the end."""

    def __init__(self, events: AsyncGenerator[bytes]) -> None:
        self._events = events
        super().__init__(events, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._events):
            await super().__call__(scope, receive, send)


class PassedOn(Response):
    """A response made by another ASGI application."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__()
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


async def _run(events: AsyncIterator[Event], queue: Items) -> None:
    try:
        async for event in events:
            queue.put_nowait(event)
        queue.put_nowait(InternalError(UNANSWERED))
    except Exception as error:  # the reader of the queue must get any error
        queue.put_nowait(error)
    finally:
        if (close := getattr(events, "aclose", None)) is not None:
            await close()


async def _wait_until_left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _next(queue: Items) -> Event | None:
    # a time limit around each wait costs as much as encoding a word
    ping = asyncio.get_running_loop().call_later(PING_S, queue.put_nowait, None)
    item = await queue.get()
    ping.cancel()
    if isinstance(item, Exception):
        raise item
    if item is not None and item.kind == "error":
        raise error_of(item)
    return item


def text_for_clients(answer: Answer) -> str:
    """Return the text as the chat model wrote it. One that is made of quotes is escaped, since clients render Markdown and HTML."""
    return answer.text if {"shown", "marked"} & {*answer.drafts} else markdown(answer.text)
