"""Checkpoints in one SQLite file, for any event loop."""

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

from langgraph.checkpoint.sqlite import SqliteSaver

from foundation.components import Context
from foundation.settings import Section
from foundation.stores import erasures
from foundation.stores.full_disk import translate_errors
from foundation.stores.sqlite_file import SqliteStore, connect
from orchestration.run.threaded_saver import ERASED, ERASED_BUT, ThreadedSaver, plain_data_only

# erasing rows is left out: threads are deleted through the port first
STORE = SqliteStore(
    name="conversations", file="checkpoints.sqlite", erase_rows=lambda *_: 0, erased=ERASED, stays=ERASED_BUT
)


class Options(Section):
    pass


class SqliteCheckpoints(ThreadedSaver, SqliteSaver):
    """`SqliteSaver` with async methods, durable writes, strict deserialisation, and our errors."""

    def __init__(self, path: Path) -> None:
        """Raises StoreUnavailable: the file cannot be opened. StorageFull: the disk is full."""
        self._path = path
        with self.translate_errors():
            super().__init__(connect(path, STORE), serde=plain_data_only())
            self.setup()  # now, so that a damaged file is reported at the start

    @contextmanager
    def cursor(self, transaction: bool = True) -> Iterator[sqlite3.Cursor]:
        """Yield a cursor as `SqliteSaver` does, but roll back on failure, and commit nothing for an erased person."""
        with self.lock:
            self.setup()
            with closing(self.conn.cursor()) as cursor:
                try:
                    yield cursor
                    if transaction and self.conn.in_transaction:
                        erasures.demand()  # inside the write lock: an erasure noted later finds these rows
                except BaseException:
                    self.conn.rollback()
                    raise
                if transaction:
                    self.conn.commit()

    def translate_errors(self) -> AbstractContextManager[None]:
        return translate_errors(self._path)

    def close(self) -> None:
        with self.lock:
            self.conn.close()


def build(options: Options, context: Context) -> SqliteCheckpoints:  # noqa: ARG001 - the signature of every adapter
    return SqliteCheckpoints(context.data_dir / STORE.file)


def stores(options: Options) -> tuple[SqliteStore, ...]:  # noqa: ARG001 - the signature of every adapter
    return (STORE,)
