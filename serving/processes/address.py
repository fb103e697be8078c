"""The address of a data folder's server, in a file that its process keeps locked: a dead process leaves no address."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger("sixply.serving")

FILE = "server.lock"


@contextmanager
def announce_address(data: Path, port: int) -> Iterator[None]:
    """Publish `port` to this machine's other commands; only the owner of the folder can read it."""
    file = os.open(data / FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            os.ftruncate(file, 0)
            os.write(file, str(port).encode())
        except OSError as error:  # a full disk must not stop the server: reading still works
            log.warning(
                "no room to note our port, so make ask, ingest and approve will not find us: %s", error.strerror
            )
        yield
    finally:
        os.close(file)


def find_port(data: Path) -> int | None:
    """Return the port of the server that runs on this data folder, or `None`."""
    try:
        with (data / FILE).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:  # its server holds it
        port = (data / FILE).read_text()
        return int(port) if port.isdecimal() else None
    except OSError:
        pass
    return None
