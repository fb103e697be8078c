"""Several worker processes on one socket: `[workers] processes`. Each has a system of its own, as a single `make serve` has."""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from extensions.workers.settings import WorkersSettings
from foundation.errors import ComponentError, InvalidSetting, SixplyError
from foundation.machine.process import catch_stop_signals
from foundation.settings import Part
from serving import server
from serving.cli.opening import callers_of
from serving.http.listening import base_url, bind
from serving.server import STARTED_WITHIN_S
from serving.settings import Loaded, Settings

log = logging.getLogger("sixply.serving")

LOOK_S = 0.2
# a worker that ran this long was healthy, so its failure is treated as temporary
STEADY_S = 60.0
# before a worker that died young is replaced; doubled for each further one in a row
BACK_OFF_S = 1.0
# early failures in a row after which restarting is given up
GIVE_UP = 5
# Kind of store -> adapters bound to one process or machine, and one that several processes share
STORES = {
    "retrieval.ledger": (("sqlite",), "postgres"),
    "retrieval.vectors": (("exact", "memory", "chroma"), "pgvector"),
    "orchestration.checkpoints": (("sqlite", "memory"), "postgres"),
    "serving.cache": (("memory",), "redis"),
}


def demand_shared(settings: Settings, processes: int, *, key: str = "[workers] processes") -> None:
    """Raises InvalidSetting: there are several processes, here or on a cluster, and a store that only one can hold."""
    chosen: dict[str, Part] = {}
    for section, (alone, _) in STORES.items():
        layer, _, port = section.partition(".")
        part: Part = getattr(getattr(settings, layer), port)
        if part.use in alone or (part.use == "qdrant" and not part.options.get("url")):
            chosen[section] = part
    if processes > 1 and chosen:
        named = "; ".join(
            f'[{section}] use = "{part.use}", take {STORES[section][1]}' for section, part in chosen.items()
        )
        raise InvalidSetting(
            f"{key} = {processes}, but one process alone can hold some of the stores, and the "
            f"others would not see what it writes: {named} (make setup WITH=postgres,redis). Or have one process: {key} = 1."
        )


def serve(loaded: Loaded, announce: Callable[[str], None]) -> bool:
    """Serve with several processes; return False, and serve nothing, where the settings want one."""
    settings, http = loaded.settings, loaded.settings.serving.http
    if settings.section(WorkersSettings).processes == 1:
        return False
    callers_of(settings).demand_any()
    with bind(http) as listening:
        supervise(loaded, listening, lambda: announce(base_url(http, listening)))
    return True


def supervise(loaded: Loaded, listening: socket.socket, announce: Callable[[], None]) -> None:
    """Serve with `[workers] processes` until a stop signal; `announce` is called when all are up. Raises
    InvalidSetting: a store can be held by one process only. ComponentError: a worker did not start, or died young
    repeatedly; it printed the reason to standard error.
    """
    settings, processes = loaded.settings, loaded.settings.section(WorkersSettings).processes
    demand_shared(settings, processes)
    stopped = await_stop_signal()
    places = [_Place(loaded, listening) for _ in range(processes)]
    try:
        while not stopped.is_set() and not all(place.worker.is_up() for place in places):
            _look(places)
        if not stopped.is_set():
            announce()
        while not stopped.is_set():
            _look(places)
            for place in places:
                place.tend()
    finally:
        listening.close()  # else who comes now waits for workers that have stopped, until the connection breaks
        for place in places:
            place.worker.process.terminate()
        for place in places:
            place.worker.process.join(settings.serving.http.grace_s + STARTED_WITHIN_S)
            place.worker.process.kill()


class _Place:
    """A worker, started at once, and its replacements."""

    def __init__(self, loaded: Loaded, listening: socket.socket) -> None:
        self._loaded, self._listening = loaded, listening
        self._young_deaths = 0
        self._due: float | None = time.monotonic()
        """When the next worker starts; `None` while one runs."""
        self.tend()

    def tend(self) -> None:
        """Replace the worker if it has ended. Raises ComponentError: too many in a row have died young."""
        now = time.monotonic()
        if self._due is not None:
            if now >= self._due:
                self._due, self._began, self.worker = None, now, _Worker(self._loaded, self._listening)
        elif not self.worker.process.is_alive():
            self._young_deaths = self._young_deaths + 1 if now - self._began < STEADY_S else 0
            ended = how_ended(self.worker.process.exitcode)
            if self._young_deaths >= GIVE_UP:
                raise ComponentError(
                    f"A worker {ended} within {STEADY_S:g} s of its start, for the {GIVE_UP}th time in a row. What ended it "
                    "stands above, and the server ends with it: mend that, then start again."
                )
            wait_s = BACK_OFF_S * 2 ** (self._young_deaths - 1) if self._young_deaths else 0.0
            log.warning("a worker %s; another one is started in %g s", ended, wait_s)
            self._due = now + wait_s


def how_ended(exitcode: int | None) -> str:
    """Describe how a process ended.

    >>> how_ended(1), how_ended(-11)
    ('ended with exit code 1', 'was killed by SIGSEGV')
    """
    if exitcode is None or exitcode >= 0:
        return f"ended with exit code {exitcode}"
    name = signal.Signals(-exitcode).name if -exitcode in set(signal.Signals) else f"signal {-exitcode}"
    return f"was killed by {name}" + (" (as a system without memory does)" if -exitcode == signal.SIGKILL else "")


class _Worker:
    """A process, and whether it is up."""

    def __init__(self, loaded: Loaded, listening: socket.socket) -> None:
        spawn = multiprocessing.get_context("spawn")  # a fork would copy this process's threads and locks
        self._up, ready = spawn.Pipe(duplex=False)
        self.process: BaseProcess = spawn.Process(target=_work, args=(loaded, listening, ready), name="worker")
        self.process.start()
        ready.close()

    def is_up(self) -> bool:
        """Whether the worker is up. Raises ComponentError: it has ended."""
        if not self.process.is_alive():
            raise ComponentError("A worker did not come up. Its own error stands above.")
        return self._up.poll()


def _look(places: list[_Place]) -> None:
    living = [place.worker.process for place in places if place.worker.process.is_alive()]
    wait([process.sentinel for process in living], timeout=LOOK_S)


def await_stop_signal() -> threading.Event:
    """Return an event that a stop signal sets, instead of ending this process."""
    stopped = threading.Event()
    catch_stop_signals(lambda *_: stopped.set())
    return stopped


def _work(loaded: Loaded, listening: socket.socket, ready: Connection) -> None:
    from foundation.machine import process
    from observability.telemetry import logs
    from serving.cli import terminal
    from serving.wiring import open_system

    catch_stop_signals(lambda number, _: sys.exit(128 + number))
    process.keep_what_is_imported()
    logs.set_up(loaded.settings.foundation.logging)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with open_system(loaded) as system:
            ready.send(True)
            server.serve(system, listening)
    except SixplyError as error:
        terminal.show_error(error)
        sys.exit(1)


def _end_with_parent() -> None:
    """Stop this worker when its parent dies: a parent that was killed can stop nobody."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
