"""The threads of an event loop: as many work at once as cores are for, and one that waits for the loop counts as none."""

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any
from weakref import WeakSet

# Threads at work, as asyncio has them, and with those that wait
AT_WORK, MOST = min(32, (os.cpu_count() or 1) + 4), 1_000
_thread = threading.local()
_loops: "WeakSet[asyncio.AbstractEventLoop]" = WeakSet()


class LoopThreads(ThreadPoolExecutor):
    """Runs `at_work` pieces of work at once. While one waits for the event loop, another takes its place: what the loop does for it
    may need a thread, and were all of them waiting, none could end.
    """

    def __init__(self, at_work: int = AT_WORK) -> None:
        super().__init__(MOST, thread_name_prefix="loop")
        self._places = at_work
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], Any]] = deque()

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        with self._lock:
            self._waiting.append(partial(self._do, future, partial(work, *args, **kwargs)))
        self._start_next()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End when all is done that was submitted: a charge that waits for a thread is recorded."""
        with self._lock:
            while self._waiting:
                self._begin(self._waiting.popleft())
        super().shutdown(wait, cancel_futures=cancel_futures)

    @contextmanager
    def without_place(self) -> Iterator[None]:
        """Give this thread's place to another until the block ends; then it goes on at once, beside the others."""
        self._give_place_back()
        try:
            yield
        finally:
            with self._lock:
                self._places -= 1

    def _start_next(self) -> None:
        with self._lock:
            if self._places > 0 and self._waiting:
                self._begin(self._waiting.popleft())

    def _begin(self, work: Callable[[], Any]) -> None:
        super().submit(work)
        self._places -= 1

    def _give_place_back(self) -> None:
        with self._lock:
            self._places += 1
        self._start_next()

    def _do(self, future: "Future[Any]", work: Callable[[], Any]) -> None:
        _thread.pool = self
        try:
            if future.set_running_or_notify_cancel():
                future.set_result(work())
        except BaseException as error:  # of the work, for whoever awaits it
            future.set_exception(error)
        finally:
            self._give_place_back()


def let_threads_wait(loop: asyncio.AbstractEventLoop) -> None:
    """Have `LoopThreads` work for the loop, where it has none yet."""
    if loop not in _loops:
        _loops.add(loop)
        loop.set_default_executor(LoopThreads())


@contextmanager
def waiting_for_loop() -> Iterator[None]:
    """Wait inside for what the event loop does, without a place among its threads."""
    pool: LoopThreads | None = getattr(_thread, "pool", None)
    if pool is None:
        yield
        return
    with pool.without_place():
        yield
