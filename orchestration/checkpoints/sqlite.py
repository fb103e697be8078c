"""Checkpoints in one SQLite file that any event loop may use."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from langgraph.checkpoint.sqlite import SqliteSaver
from pydantic import BaseModel, ConfigDict

from foundation.components import Context
from foundation.errors import StorageFull, StoreUnavailable
from orchestration.threaded_saver import ThreadedSaver, plain_data_only


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path = Path("checkpoints.sqlite")
    """Below the data folder unless absolute."""
    busy_timeout_s: float = 5.0


class SqliteCheckpoints(ThreadedSaver, SqliteSaver):
    """`SqliteSaver` with its async half, durable writes, strict reading, and our errors."""

    def __init__(self, path: Path, busy_timeout_s: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        connection = sqlite3.connect(path, timeout=busy_timeout_s, check_same_thread=False)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA secure_delete=ON")  # what a person has deleted must not be left in a free page
        super().__init__(connection, serde=plain_data_only())

    @contextmanager
    def translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                raise StorageFull(f"No room on the disk for {self._path}. Free some space.") from error
            raise StoreUnavailable(
                f"{self._path} cannot be used: {error}. Check that it is writable and free."
            ) from error

    def close(self) -> None:
        with self.lock:
            self.conn.close()


def build(options: Options, context: Context) -> SqliteCheckpoints:
    return SqliteCheckpoints(context.data_dir / options.path, options.busy_timeout_s)
