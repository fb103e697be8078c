"""The server: one process on one socket, with graceful shutdown."""

import faulthandler
import gc
import math
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata

from foundation.machine.process import catch_stop_signals
from foundation.text.sentences import sentence_spans
from models.pricing import call_of
from retrieval.grounding.checks import check_answer
from serving.app import create_app
from serving.http.listening import base_url, bind
from serving.http.streams import CLEAN_UP_S
from serving.runtime import Runtime
from serving.settings import HttpSettings
from serving.wiring import System

STARTED_WITHIN_S = 30
# from the grace period to the end by force, with the stack of each thread on standard error
LAST_S = 5.0


def serve(system: System, listening: socket.socket) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP, then return within the grace period. The process should end afterwards: garbage
    collection is disabled for existing objects.
    """
    load_what_answers_use(system)
    with listening:
        _server(create_app(system), system.settings.serving.http).run(sockets=[listening])
    gc.freeze()  # Python collects garbage at exit: a second of computing, or nine on a busy machine


@contextmanager
def running(system: System) -> Iterator[str]:
    """Serve in a background thread, for demos and tests; yield the base URL, whose port is any free one. Raises AddressInUse, InvalidSetting:
    the address cannot be taken. ConfigurationError: there is no API key.
    """
    http = system.settings.serving.http.model_copy(update={"port": 0})
    server = _server(create_app(system), http)
    with bind(http) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="serving", daemon=True)
        thread.start()
        if not server.is_up.wait(STARTED_WITHIN_S):
            raise RuntimeError("The server did not start; its log says why.")
        try:
            yield base_url(http, listening)
        finally:
            server.should_exit = True
            thread.join(http.grace_s + STARTED_WITHIN_S)


class GracefulServer(uvicorn.Server):
    """uvicorn's server, which tells the routes about a shutdown and returns instead of dying of the signal."""

    def __init__(self, config: uvicorn.Config, runtime: Runtime, grace_s: float) -> None:
        super().__init__(config)
        self._runtime = runtime
        self._grace_s = grace_s
        self._told_at: float | None = None
        self.is_up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # About 300,000 objects live as long as the server; collecting them delayed every request by 0.2 s.
        gc.collect(2 if threading.current_thread() is threading.main_thread() else 0)  # else the young only
        gc.freeze()
        self.is_up.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # the grace period began with the signal, which a busy event loop may handle late
        late_s = 0.0 if self._told_at is None else time.monotonic() - self._told_at
        left_s = max(self._grace_s - late_s, self._grace_s / 4)
        self._runtime.lifecycle.drain(left_s)
        self.config.timeout_graceful_shutdown = math.ceil(left_s)
        await super().shutdown(sockets)
        await self._runtime.lifecycle.cleaned_up(CLEAN_UP_S)
        gc.unfreeze()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but without raising the signal again: the stores must still be closed."""
        if threading.current_thread() is threading.main_thread():
            # Never put back: a supervisor's SIGTERM after the terminal's Ctrl-C must not end the closing.
            catch_stop_signals(self._stop)
        yield

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self._told_at is None:
            self._told_at = time.monotonic()
            # Threads cannot be stopped, and Python waits for them at exit: a last resort that needs no lock.
            faulthandler.dump_traceback_later(self._grace_s + LAST_S, exit=True, file=2)
        self.handle_exit(number, frame)


def load_what_answers_use(system: System) -> None:
    """Price a call and check a sentence, or the first answer would wait for what both import and compile at their first use."""
    usage = UsageMetadata(input_tokens=1, output_tokens=1, total_tokens=2)
    call = call_of(system.models.chat, AIMessage("", usage_metadata=usage), seconds=0, at=system.context.clock.now())
    system.models.prices.price(call)
    sentence_spans("Yes. No.")
    check_answer("Yes. No.", {}, ["No."])


def _server(app: FastAPI, http: HttpSettings) -> GracefulServer:
    config = uvicorn.Config(
        app,
        log_config=None,  # observability/telemetry/logs.py sets up the process's log
        log_level="warning",
        access_log=False,  # serving/http/middleware.py logs a request with its trace, and without what is in its address
        server_header=False,
        proxy_headers=False,  # these headers can be forged: enable them only behind a proxy
        http="h11",  # it limits the size of a head; slow clients are for a proxy in front
        ws_max_size=http.max_json_bytes,
        ws="websockets-sansio",  # the page's only; every other websocket is refused (serving/http/middleware.py)
    )
    runtime: Runtime = app.state.runtime
    runtime.parts.append(config)  # a lifespan may change it before the first connection
    return GracefulServer(config, runtime, http.grace_s)
