"""The address of a data folder's server, in a file that its process keeps locked: a dead process leaves no address."""

import fcntl
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

log = logging.getLogger("sixply.serving")

FILE = "server.lock"


@dataclass(frozen=True)
class Address:
    """Where a server listens, the file that it read, and the settings that its answers depend on."""

    port: int
    stack: str = ""
    answers_by: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def announce_address(data: Path, address: Address) -> Iterator[None]:
    """Publish the address to this machine's other commands; only the owner of the folder can read it."""
    file = os.open(data / FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            os.ftruncate(file, 0)
            os.write(file, json.dumps(asdict(address)).encode())
        except OSError as error:  # a full disk must not stop the server: reading still works
            log.warning(
                "no room to note our port, so make ask, ingest and approve will not find us: %s", error.strerror
            )
        yield
    finally:
        os.close(file)


def find_address(data: Path) -> Address | None:
    """Return the address of the server that runs on this data folder, or `None`."""
    try:
        with (data / FILE).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:  # its server holds it
        written = (data / FILE).read_text(encoding="utf-8")
        return Address(**json.loads(written)) if written else None
    except OSError:
        pass
    return None
