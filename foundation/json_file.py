"""One small JSON file that every process of a data folder reads at any time, and one at a time rewrites."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

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

    def read(self) -> T | None:
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
        """One writer at a time, also between processes: read, change and write inside."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def write(self, content: Any) -> None:
        """Put `content` in the file's place, whole and on the disk, readable by its owner only."""
        temporary = self.path.with_suffix(".new")
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)
