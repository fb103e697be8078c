"""One small JSON file that every process of a data folder reads at any time, and one at a time rewrites."""

from __future__ import annotations

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

TICK_NS = 2_000_000_000
"""The coarsest clock of a file system (FAT) ticks that slowly. Most tick every few milliseconds."""


class Unreadable(Exception):
    """The file is there and cannot be understood; the text says why. What that means is for the file's owner to say."""


class JsonFile(Generic[T]):
    """A file whose content `parse` turns into a `T`. It is read again when it has changed, which costs one `stat`;
    and as long as it has just changed, because a second change within one tick of the file system's clock would not show.

    `parse` may raise ValueError, TypeError or KeyError for content that is none of ours.
    """

    def __init__(self, path: Path, parse: Callable[[Any], T]) -> None:
        self.path = path
        self._parse = parse
        self._seen: tuple[int, int, int] | None = None
        self._content: T | None = None

    def load(self) -> T | None:
        """`None` where there is no file.

        Raises:
            Unreadable: it cannot be read, or is none of ours.
        """
        try:
            status = self.path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen != self._seen:
                settled = abs(time.time_ns() - status.st_mtime_ns) > TICK_NS
                self._content = self._parse(json.loads(self.path.read_text(encoding="utf-8")))
                self._seen = seen if settled else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise Unreadable(f"{type(error).__name__}: {error}") from error
        return self._content

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """One writer at a time, also between processes: read, change and write inside.

        Raises:
            StorageFull, StoreUnavailable: there is no lock to be had in the folder.
        """
        with translate_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def write(self, content: Any, *, size: int = 0) -> None:
        """Put `content` in the file's place, whole and on the disk, readable by its owner only; blanks make it `size` bytes long
        at least.

        A disk that is full or a quota that is used up lets no second file be made. What fits is then written over what is there:
        whoever reads in that moment, or after a crash in it, may find a file that is `Unreadable`.

        Raises:
            StorageFull: there is no room, and it is longer than what is there. StoreUnavailable: the folder cannot be written.
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
