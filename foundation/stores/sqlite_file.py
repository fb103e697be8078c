"""SQLite files, readable for their owner only, each with a store that says how a person is erased from it."""

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
# Seconds to wait for readers before the write-ahead log can be emptied
TRUNCATE_S = 30.0

EraseRows = Callable[[sqlite3.Connection, Person], int]
Open = Callable[..., "SqliteFile"]  # opens a store's tables by their path: in that file, or in what replicas share


@dataclass(frozen=True, kw_only=True)
class SqliteStore(Store):
    """A store in one SQLite file. Without `erase_rows` it has no data of a person, or keeps them; `stays` says why."""

    file: str
    """The file, relative to the data folder."""
    schema: str = ""
    erase_rows: EraseRows | None = None
    synchronous: Literal["FULL", "NORMAL"] = "FULL"
    shared: bool = False
    """`[foundation.records]` may put it elsewhere, where all replicas have it."""

    def __post_init__(self) -> None:
        claimed = tuple(f"{self.file}{end}" for end in ("", "-wal", "-shm", "-journal"))
        object.__setattr__(self, "files", (*claimed, *self.files))
        if self.erase_rows and self.erase is None:
            object.__setattr__(self, "erase", self.erase_now)
        super().__post_init__()

    def erase_now(self, data_dir: Path, person: Person, records: Any = None) -> int:
        """Erase a person from rows, free space and log, even of an open file. Raises StoreUnavailable."""
        path = data_dir / self.file
        if self.erase_rows is None or not (records or path.exists()):
            return 0
        with closing((records or SqliteFile)(path, self)) as file:
            count = file.run_now(lambda connection: self.erase_rows(connection, person), of_nobody=True)  # type: ignore[misc]
            file.compact()
        return count

    def compact_now(self, data_dir: Path) -> None:
        """Remove traces of deleted rows from the file: `SqliteFile.compact`."""
        if (path := data_dir / self.file).exists():
            with closing(SqliteFile(path, self)) as file:
                file.compact()


def connect(
    path: Path, store: SqliteStore, *, timeout_s: float = BUSY_TIMEOUT_S, make_folder: bool = True, **options: Any
) -> sqlite3.Connection:
    """Open a connection in WAL mode; file and log are for their owner alone. Raises sqlite3.Error, OSError."""
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
    """Open a read-only connection, which leaves the log as it is. Raises sqlite3.Error."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


class SqliteFile:
    """A SQLite file: one writing connection, readers beside it, each write an immediate transaction. Thread-safe."""

    def __init__(
        self,
        path: Path,
        store: SqliteStore,
        *,
        timeout_s: float = BUSY_TIMEOUT_S,
        make_folder: bool = True,
        set_up: Callable[[sqlite3.Connection], object] = lambda _: None,
    ) -> None:
        """Open the file. `set_up` is called with every new connection. Raises StoreUnavailable."""
        self._path, self._store = path, store
        self._timeout_s, self._make_folder, self._set_up = timeout_s, make_folder, set_up
        self._lock = threading.Lock()
        # Reading connections that are not in use
        self._idle: deque[sqlite3.Connection] = deque()
        self._closed = False
        with self.translate_errors():
            self._writer = self._connect()

    async def run(self, work: Callable[[sqlite3.Connection], T], *, of_nobody: bool = False) -> T:
        return await asyncio.to_thread(self.run_now, work, of_nobody=of_nobody)

    def run_now(self, work: Callable[[sqlite3.Connection], T], *, of_nobody: bool = False) -> T:
        """Do `work` in one `transaction`, on the caller's thread; `run` does it in another."""
        with self.transaction(of_nobody=of_nobody) as connection:
            return work(connection)

    def read_now(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work`, which only reads, beside a writer: `reading`."""
        with self.reading() as connection:
            return work(connection)

    @contextmanager
    def transaction(self, *, of_nobody: bool = False) -> Iterator[sqlite3.Connection]:
        """Yield the writing connection in a transaction that an exception rolls back. Data `of_nobody` are written even
        if the person for whom this is done was erased meanwhile.

        Raises StoreUnavailable; PersonErased (`foundation.stores.erasures`); InvalidRequest: a lone surrogate.
        """
        with self._lock, self.translate_errors():
            self._check_open()
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                # Inside the lock, so that an erasure noted after this check finds what is committed here.
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
        """Yield a reading connection for the block; readers run in parallel. Raises StoreUnavailable."""
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
        """Remove deleted rows from file and log for good. Raises StoreUnavailable: a reader holds the log."""
        give_up = time.monotonic() + TRUNCATE_S
        with self._lock, self.translate_errors():
            self._writer.execute("VACUUM")  # moved rows leave copies that `secure_delete` misses
            while self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                if time.monotonic() > give_up:
                    raise StoreUnavailable(
                        f"{self._path}-wal still holds what was deleted: another process is reading it. Do it again."
                    )

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Translate errors of the file into ours; programming errors stay as they are."""
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
        """Close all connections. A second call does nothing."""
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
