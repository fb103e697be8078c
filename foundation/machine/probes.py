"""Reads of stores for whoever must be answered at once, health and metrics: a server that is down makes its readers wait."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Any

# Seconds to wait for all reads of a round together
PATIENCE_S = 1.5


class Probes:
    """Reads by name, in threads. One that is late goes on, and is not begun again before it ends. Thread-safe."""

    def __init__(self) -> None:
        self._lock, self._running = threading.Lock(), dict[Any, Future[Any]]()

    def read(self, reads: Mapping[Any, Callable[[], Any]]) -> tuple[dict[Any, Any], dict[Any, BaseException]]:
        """Return the results by name, and the errors of the others: TimeoutError, it took longer than `PATIENCE_S`."""
        with self._lock:
            for name, read in reads.items():
                if name not in self._running or self._running[name].done():
                    self._running[name] = future = Future[Any]()
                    # not of a pool, whose threads hold the end of the process
                    threading.Thread(target=_run_probe, args=(read, future), daemon=True, name="probe").start()
            futures = {name: self._running[name] for name in reads}
        done = wait(futures.values(), PATIENCE_S).done
        late = TimeoutError(f"no answer within {PATIENCE_S:g} s")
        errors = {name: future.exception() if future in done else late for name, future in futures.items()}
        results = {name: futures[name].result() for name, error in errors.items() if error is None}
        return results, {name: error for name, error in errors.items() if error}


def _run_probe(read: Callable[[], Any], future: Future[Any]) -> None:
    try:
        future.set_result(read())
    except BaseException as error:
        future.set_exception(error)
