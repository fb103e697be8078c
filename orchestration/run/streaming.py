"""A producer in a task of its own behind an async iterator.

Spans, timeouts and cancellation then stay in one task with one context, however and wherever the iterator is consumed
or closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def stream_from(produce: Callable[[Callable[[T], None]], Awaitable[None]]) -> AsyncGenerator[T, None]:
    """Yield what `produce` emits while it runs. Its exception passes on; closing the iterator cancels it and waits."""
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
        with suppress(asyncio.CancelledError, Exception):  # the failure of an abandoned producer has no reader
            await task
