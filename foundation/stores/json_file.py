"""A small JSON file that all processes of a data folder read at any time, and one at a time rewrites."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

from foundation.errors import StorageFull
from foundation.stores.full_disk import translate_errors

T = TypeVar("T")

# Tick of the coarsest file system clock (FAT) in nanoseconds; most tick every few milliseconds
TICK_NS = 2_000_000_000


class Unreadable(Exception):
    """The file exists and cannot be read or parsed; the text says why."""


class JsonFile(Generic[T]):
    """A JSON file as a `T`, read again when it changed. `parse` may raise ValueError, TypeError or KeyError."""

    def __init__(self, path: Path, parse: Callable[[Any], T]) -> None:
        self.path = path
        self._parse = parse
        self._seen: tuple[int, int, int] | None = None
        self._content: T | None = None

    def load(self) -> T | None:
        """Return the content; `None` without a file. Raises Unreadable."""
        try:
            status = os.stat(self.path)  # noqa: PTH116 - at each word of a stream, and half of the time of `Path.stat`
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen != self._seen:
                settled = abs(time.time_ns() - status.st_mtime_ns) > TICK_NS
                self._content = self._parse(json.loads(self.path.read_text(encoding="utf-8")))
                self._seen = seen if settled else None  # a second change within a tick would not show
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise Unreadable(f"{type(error).__name__}: {error}") from error
        return self._content

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Lock the file against writers of all processes; read and write inside. Raises StoreUnavailable."""
        with translate_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def write(self, content: Any, *, size: int = 0) -> None:
        """Replace the file, atomically and synced, for its owner alone, padded with blanks to `size` bytes.

        On a full disk, content that fits is written over the present file, which a reader may then find `Unreadable`.
        Raises StorageFull: it does not fit. StoreUnavailable: the folder cannot be written.
        """
        padded = json.dumps(content, indent=1).encode().ljust(size)
        try:
            with translate_errors(self.path):
                self._replace(padded)
        except StorageFull:
            if not self._overwrite(padded):
                raise

    def _replace(self, padded: bytes) -> None:
        temporary = self.path.with_suffix(".new")
        try:
            temporary.unlink(missing_ok=True)
            opened = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(opened, "wb") as file:
                file.write(padded)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        except OSError:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise

    def _overwrite(self, padded: bytes) -> bool:
        with suppress(OSError), self.path.open("r+b", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if len(padded.rstrip()) <= size and file.write(padded.rstrip().ljust(size)) == size:
                os.fsync(file.fileno())
                return True
        return False
