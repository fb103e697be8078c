"""The one way to open a SQLite file: readable for its owner only, and by a store that says how a person is erased from it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from foundation.errors import InvalidRequest, StoreUnavailable
from foundation.stores import erasures
from foundation.stores.full_disk import store_error
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
    """One connection that writes, and as many that read as are needed at once. Every piece of work is one immediate transaction,
    and committed means on the disk. Safe to share between threads.

    `run` works in a thread, so that a wait for the disk never stops the event loop, and the file is bound to no loop.
    """

    def __init__(
        self,
        path: Path,
        store: SqliteStore,
        *,
        timeout_s: float = BUSY_TIMEOUT_S,
        make_folder: bool = True,
        set_up: Callable[[sqlite3.Connection], object] = lambda _: None,
    ) -> None:
        """`set_up` is called with every new connection.

        Raises:
            StoreUnavailable: it cannot be opened. StorageFull: the disk is full.
        """
        self._path, self._store = path, store
        self._timeout_s, self._make_folder, self._set_up = timeout_s, make_folder, set_up
        self._lock = threading.Lock()
        self._idle: deque[sqlite3.Connection] = deque()
        """Those that nobody reads by now."""
        self._closed = False
        with self.translate_errors():
            self._writer = self._connect()

    async def run(self, work: Callable[[sqlite3.Connection], T], *, of_nobody: bool = False) -> T:
        """Do `work` in one `transaction`."""
        return await asyncio.to_thread(self.run_now, work, of_nobody=of_nobody)

    def run_now(self, work: Callable[[sqlite3.Connection], T], *, of_nobody: bool = False) -> T:
        """The same on the caller's thread."""
        with self.transaction(of_nobody=of_nobody) as connection:
            return work(connection)

    def read_now(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work`, which only reads, beside whoever writes: `reading`."""
        with self.reading() as connection:
            return work(connection)

    @contextmanager
    def transaction(self, *, of_nobody: bool = False) -> Iterator[sqlite3.Connection]:
        """The connection that writes, in one transaction that an exception rolls back. `of_nobody`: what is written names no
        person and no word of one, so it is written though the person for whom this is done was erased meanwhile.

        Raises:
            StoreUnavailable: the file is locked for too long, read-only or damaged. StorageFull: the disk is full.
            PersonErased: see `foundation.stores.erasures`. InvalidRequest: a text with a lone surrogate.
        """
        with self._lock, self.translate_errors():
            self._check_open()
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                # Behind the lock: an erasure that is noted after this finds what is committed here.
                if self._store.erase is not None and not of_nobody:
                    erasures.demand()
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:  # a full disk has ended it already
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection of one's own for as long as it is needed: they read side by side, and beside the writer.

        Raises:
            StoreUnavailable: the file is damaged or gone.
        """
        with self.translate_errors():
            self._check_open()
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._connect()
            try:
                yield connection
            finally:
                connection.close() if self._closed else self._idle.append(connection)

    def compact(self) -> None:
        """Leave nothing of what was deleted: neither in the file, where rows that SQLite once moved leave copies that
        `secure_delete` does not know, nor in its log.

        Raises:
            StoreUnavailable: another process is reading all the time, so the log cannot be emptied.
        """
        give_up = time.monotonic() + TRUNCATE_S
        with self._lock, self.translate_errors():
            self._writer.execute("VACUUM")
            while self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                if time.monotonic() > give_up:
                    raise StoreUnavailable(
                        f"{self._path}-wal cannot be emptied, because another process is reading it. What was deleted "
                        f"may still stand there: do it again."
                    )

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """What the file cannot do, as one of our errors; a fault of ours stays what it is."""
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError):
            raise
        except (sqlite3.Error, OSError) as error:
            raise store_error(self._path, error) from error
        except UnicodeEncodeError as error:
            raise InvalidRequest(
                f"A text holds a character that cannot be stored: {error.reason}. Remove it."
            ) from error

    def close(self) -> None:
        """A second call does nothing."""
        with self._lock:
            self._closed = True
            self._writer.close()
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _connect(self) -> sqlite3.Connection:
        connection = connect(
            self._path, self._store, timeout_s=self._timeout_s, make_folder=self._make_folder, isolation_level=None
        )
        try:
            connection.row_factory = sqlite3.Row
            self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"{self._path} was closed by this process. Open the system again.")
