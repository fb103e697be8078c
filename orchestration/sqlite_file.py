"""One SQLite file with the promises that approvals, effects and the audit need: committed means on the disk."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from foundation.errors import StorageFull, StoreUnavailable

T = TypeVar("T")

BUSY_TIMEOUT_S = 5.0


class SqliteFile:
    """A connection in WAL mode with `synchronous=FULL`; every piece of work is one immediate transaction.

    The work runs in a thread, so that a wait for the disk never stops the event loop, and the file is bound to no loop.
    """

    def __init__(self, path: Path, schema: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            self._connection.executescript(
                f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON; {schema}"
            )
        except sqlite3.Error as error:
            raise self._translate(error) from error

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in one transaction; an exception rolls it back.

        Raises:
            StoreUnavailable: the file is locked for too long, read-only or damaged. StorageFull: the disk is full.
        """
        return await asyncio.to_thread(self.run_now, work)

    def run_now(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The same on the caller's thread."""
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    result = work(self._connection)
                except BaseException:
                    self._connection.execute("ROLLBACK")
                    raise
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise self._translate(error) from error
            return result

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _translate(self, error: sqlite3.Error) -> StoreUnavailable:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return StorageFull(f"No room on the disk for {self._path}. Free some space; nothing was written.")
        return StoreUnavailable(f"{self._path} cannot be used: {error}. Check that it is writable and not locked.")
