"""The one way to open a SQLite file: readable for its owner only, and by a store that says how a person is erased from it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from foundation.errors import StoreUnavailable
from foundation.stores import erasures
from foundation.stores.full_disk import translate_errors
from foundation.stores.registry import Person, Store

T = TypeVar("T")

BUSY_TIMEOUT_S = 5.0
TRUNCATE_S = 30.0
"""How long to wait for readers before the write-ahead log is emptied."""

EraseRows = Callable[[sqlite3.Connection, Person], int]


@dataclass(frozen=True, kw_only=True)
class SqliteStore(Store):
    """A store in one SQLite file. Without `erase_rows` it holds nothing of a person, or keeps it: `stays` says why."""

    file: str
    """Below the data folder."""
    schema: str = ""
    later: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Columns that files of earlier versions lack, with their declarations, by table."""
    erase_rows: EraseRows | None = None
    synchronous: Literal["FULL", "NORMAL"] = "FULL"

    def __post_init__(self) -> None:
        claimed = tuple(f"{self.file}{end}" for end in ("", "-wal", "-shm", "-journal"))
        object.__setattr__(self, "files", (*claimed, *self.files))
        if self.erase_rows and self.erase is None:
            object.__setattr__(self, "erase", self.erase_now)
        super().__post_init__()

    def erase_now(self, data_dir: Path, person: Person) -> int:
        """Take a person out of the file, whoever has it open: out of its rows, its free space and its write-ahead log.

        Raises:
            StoreUnavailable: it cannot be written, or a reader does not let go of the log.
        """
        path = data_dir / self.file
        if self.erase_rows is None or not path.exists():
            return 0
        with closing(SqliteFile(path, self)) as file:
            count = file.run_now(lambda connection: self.erase_rows(connection, person), of_nobody=True)  # type: ignore[misc]
            file.compact()
        return count

    def compact_now(self, data_dir: Path) -> None:
        """Leave nothing in the file of what was deleted from it: `SqliteFile.compact`."""
        if (path := data_dir / self.file).exists():
            with closing(SqliteFile(path, self)) as file:
                file.compact()


def connect(
    path: Path, store: SqliteStore, *, timeout_s: float = BUSY_TIMEOUT_S, make_folder: bool = True, **options: Any
) -> sqlite3.Connection:
    """A connection in WAL mode; where people are erased it overwrites what it deletes. A new file can be read by its owner only,
    and so can its log, whatever the umask: SQLite gives the log the rights of its file.

    Raises:
        sqlite3.Error, OSError: as they are; whoever opens it knows what to say.
    """
    if make_folder:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    connection: sqlite3.Connection = sqlite3.connect(path, timeout=timeout_s, check_same_thread=False, **options)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={store.synchronous}")
        if store.erase is not None:
            connection.execute("PRAGMA secure_delete=ON")
        if store.schema:
            connection.executescript(store.schema)
        for table, columns in store.later.items():
            present = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            for column in columns.keys() - present:
                connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {columns[column]}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing, not even the file's log.

    Raises:
        sqlite3.Error: there is no such file, or it is damaged.
    """
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


class SqliteFile:
    """One connection; every piece of work is one immediate transaction, and committed means on the disk.

    The work runs in a thread, so that a wait for the disk never stops the event loop, and the file is bound to no loop.
    """

    def __init__(self, path: Path, store: SqliteStore, *, make_folder: bool = True) -> None:
        """Raises:
        StoreUnavailable: it cannot be opened. StorageFull: the disk is full.
        """
        self._path, self._store = path, store
        self._lock = threading.Lock()
        with translate_errors(path):
            self._connection = connect(path, store, make_folder=make_folder, isolation_level=None)
        self._connection.row_factory = sqlite3.Row

    async def run(self, work: Callable[[sqlite3.Connection], T], *, of_nobody: bool = False) -> T:
        """Do `work` in one transaction; an exception rolls it back. `of_nobody`: what it writes names no person and no word of
        one, so it is written though the person for whom this is done was erased meanwhile.

        Raises:
            StoreUnavailable: the file is locked for too long, read-only or damaged. StorageFull: the disk is full.
            PersonErased: see `foundation.stores.erasures`.
        """
        return await asyncio.to_thread(self.run_now, work, of_nobody=of_nobody)

    def run_now(self, work: Callable[[sqlite3.Connection], T], *, of_nobody: bool = False) -> T:
        """The same on the caller's thread."""
        with self._lock, translate_errors(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                # Behind the lock: an erasure that is noted after this finds what is committed here.
                if self._store.erase is not None and not of_nobody:
                    erasures.demand()
                result = work(self._connection)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk has ended it already
                    self._connection.execute("ROLLBACK")
                raise
            return result

    def read_now(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work`, which only reads, beside whoever writes.

        Raises:
            StoreUnavailable: the file is damaged or gone.
        """
        with self._lock, translate_errors(self._path):
            return work(self._connection)

    def compact(self) -> None:
        """Leave nothing of what was deleted: neither in the file, where rows that SQLite once moved leave copies that
        `secure_delete` does not know, nor in its log.

        Raises:
            StoreUnavailable: another process is reading all the time, so the log cannot be emptied.
        """
        give_up = time.monotonic() + TRUNCATE_S
        with self._lock, translate_errors(self._path):
            self._connection.execute("VACUUM")
            while self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                if time.monotonic() > give_up:
                    raise StoreUnavailable(
                        f"{self._path}-wal cannot be emptied, because another process is reading it. What was deleted "
                        f"may still stand there: do it again."
                    )

    def close(self) -> None:
        with self._lock:
            self._connection.close()
