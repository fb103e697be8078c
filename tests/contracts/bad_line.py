"""What every part with a server promises: one that falls silent is given up in time, with an error that says so, and used
again when it answers. The real servers of the tests stand behind a relay that can fail.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from foundation.errors import StoreUnavailable
from tests import services
from tests.doubles.relay import Address, Relay, relay

PATIENCE_S = 60
TIMEOUT_S = 3
"""Enough for a busy machine to answer, and not too long to wait for what never comes."""
NEVER_S = 1
"""Where there is no answer that could come later."""


def options(use: str, folder: Path, port: int, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """What leads the adapter to `port` on this machine."""
    given: dict[str, dict[str, Any]] = {
        "postgres": {"connect_timeout_s": timeout_s},
        "pgvector": {"connect_timeout_s": timeout_s},
        "redis": {"url": f"redis://127.0.0.1:{port}"},
        "qdrant": {"url": f"http://127.0.0.1:{port}"},
    }
    known = services.options(use, folder) | given[use] | {"timeout_s": timeout_s}
    return known | ({"dsn": f"host=127.0.0.1 port={port} user=sixply dbname=postgres"} if "dsn" in known else {})


@contextmanager
def to_server(use: str, folder: Path) -> Iterator[tuple[Relay, dict[str, Any]]]:
    """A line to the adapter's real server, and the options that lead over it."""
    with relay(_server(use)) as line:
        yield line, options(use, folder, line.port)


@contextmanager
def to_nobody(use: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Options that lead to a server that takes every connection and says nothing."""
    with relay() as line:
        yield options(use, folder, line.port, NEVER_S)


def until(done: Callable[[], bool]) -> None:
    """Wait for a server that was given up to be used again."""
    give_up = time.monotonic() + PATIENCE_S
    while not _tried(done):
        assert time.monotonic() < give_up, "it was never used again"
        time.sleep(0.05)


def _tried(done: Callable[[], bool]) -> bool:
    try:
        return done()
    except StoreUnavailable:
        return False


def _server(use: str) -> Address:
    match use:
        case "postgres" | "pgvector":
            folder = services.postgres().partition("host=")[2].split()[0]
            return f"{folder}/.s.PGSQL.5432"
        case _:
            return ("127.0.0.1", int(urlsplit(services.valkey()).port or 0))
