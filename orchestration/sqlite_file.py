"""One SQLite file with the promises that approvals, effects and the audit need: committed means on the disk."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from foundation.storage import translated

T = TypeVar("T")

BUSY_TIMEOUT_S = 5.0


class SqliteFile:
    """A connection in WAL mode with `synchronous=FULL`; every piece of work is one immediate transaction.

    The work runs in a thread, so that a wait for the disk never stops the event loop, and the file is bound to no loop.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        with translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            self._connection.executescript(
                f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON; {schema}"
            )

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in one transaction; an exception rolls it back.

        Raises:
            StoreUnavailable: the file is locked for too long, read-only or damaged. StorageFull: the disk is full.
        """
        return await asyncio.to_thread(self.run_now, work)

    def run_now(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The same on the caller's thread."""
        with self._lock, translated(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(self._connection)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk has ended it already
                    self._connection.execute("ROLLBACK")
                raise
            return result

    def close(self) -> None:
        with self._lock:
            self._connection.close()
