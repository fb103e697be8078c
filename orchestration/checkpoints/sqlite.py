"""Checkpoints in one SQLite file that any event loop may use."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path

from langgraph.checkpoint.sqlite import SqliteSaver
from pydantic import BaseModel, ConfigDict

from foundation.components import Context
from foundation.storage import translated
from orchestration.threaded_saver import ThreadedSaver, plain_data_only


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path = Path("checkpoints.sqlite")
    """Below the data folder unless absolute."""
    busy_timeout_s: float = 5.0


class SqliteCheckpoints(ThreadedSaver, SqliteSaver):
    """`SqliteSaver` with its async half, durable writes, strict reading, and our errors."""

    def __init__(self, path: Path, busy_timeout_s: float) -> None:
        self._path = path
        with self.translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, timeout=busy_timeout_s, check_same_thread=False)
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA secure_delete=ON")  # what a person has deleted must not be left in a free page
            super().__init__(connection, serde=plain_data_only())
            self.setup()  # now, so that a damaged file is told of at the start and not to the first who asks

    def translated(self) -> AbstractContextManager[None]:
        return translated(self._path)

    def close(self) -> None:
        with self.lock:
            self.conn.close()


def build(options: Options, context: Context) -> SqliteCheckpoints:
    return SqliteCheckpoints(context.data_dir / options.path, options.busy_timeout_s)
