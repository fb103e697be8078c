"""The connections to a ledger in SQLite: one that writes, and as many that read as are needed at once."""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from foundation.errors import InvalidRequest, StoreUnavailable
from foundation.stores.crashpoints import crash_point
from foundation.stores.full_disk import store_error
from foundation.stores.sqlite_file import SqliteStore, connect
from foundation.text.tokens import searchable
from retrieval.tables.sqlite_schema import SEARCHABLE, prepare


class SqliteConnections:
    """Safe to share between threads. The tables are made, or converted, when it is built."""

    def __init__(self, path: Path, store: SqliteStore, *, timeout_s: float) -> None:
        self._path, self._store, self._timeout_s = path, store, timeout_s
        self._writing_lock = threading.Lock()
        self.idle: deque[sqlite3.Connection] = deque()
        """Those that nobody reads by now."""
        self._closed = False
        with self.translate_errors():
            self.writer = self._connect()
            try:
                prepare(self.writer, path)
            except BaseException:
                self.writer.close()
                raise

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        with self.translate_errors(), self._writing_lock:
            self._check_open()
            self.writer.execute("BEGIN IMMEDIATE")
            try:
                yield self.writer
                crash_point("before_commit")
                self.writer.execute("COMMIT")
            except BaseException:
                if self.writer.in_transaction:
                    self.writer.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection of one's own for as long as it is needed: they read side by side, and beside the writer."""
        with self.translate_errors():
            self._check_open()
            try:
                connection = self.idle.pop()
            except IndexError:
                connection = self._connect()
            try:
                yield connection
            finally:
                connection.close() if self._closed else self.idle.append(connection)

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError):
            raise  # a fault of ours, not of the store
        except (sqlite3.DatabaseError, OSError) as error:
            raise store_error(self._path, error) from error
        except UnicodeEncodeError as error:
            raise InvalidRequest(
                f"A text holds a character that cannot be stored: {error.reason}. Remove it."
            ) from error

    def close(self) -> None:
        self._closed = True
        with self._writing_lock:
            self.writer.close()
        with suppress(IndexError):
            while True:
                self.idle.pop().close()

    def _connect(self) -> sqlite3.Connection:
        connection = connect(self._path, self._store, timeout_s=self._timeout_s, isolation_level=None)
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.create_function(SEARCHABLE, 1, searchable, deterministic=True)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"{self._path} was closed by this process. Open the system again.")
