"""Where the server of a data folder listens: a file that its process keeps locked, so that a process that died left no address."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE = "server.lock"


@contextmanager
def announce_address(data: Path, port: int) -> Iterator[None]:
    """Say to this machine's other commands that a server listens at `port`; only the owner of the folder reads it."""
    file = os.open(data / FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.ftruncate(file, 0)
        os.write(file, str(port).encode())
        yield
    finally:
        os.close(file)


def find_port(data: Path) -> int | None:
    """The port of the server that runs on this data folder now, if one does."""
    try:
        file = os.open(data / FILE, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        port = os.read(file, 16).decode()
        return int(port) if port.isdecimal() else None
    finally:
        os.close(file)
    return None
