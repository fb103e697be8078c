"""Checkpoints in one SQLite file that any event loop may use.

LangGraph's `AsyncSqliteSaver` binds itself to the loop in which it was made, while a command line runs one loop a
command and an API another. Its synchronous sibling stores the same and is bound to none, but refuses async calls; here
they run in a thread. Only plain data and LangGraph's own types are ever read back: an unknown type in the file is data,
not something to import (LANGGRAPH_STRICT_MSGPACK is off by default).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from pydantic import BaseModel, ConfigDict

from foundation.components import Context
from foundation.errors import StorageFull, StoreUnavailable

T = TypeVar("T")


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path = Path("checkpoints.sqlite")
    """Below the data folder unless absolute."""
    busy_timeout_s: float = 5.0


class SqliteCheckpoints(SqliteSaver):
    """`SqliteSaver` with its async half, durable writes, strict reading, and our errors."""

    def __init__(self, path: Path, busy_timeout_s: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        connection = sqlite3.connect(path, timeout=busy_timeout_s, check_same_thread=False)
        connection.execute("PRAGMA synchronous=FULL")
        super().__init__(connection, serde=JsonPlusSerializer(allowed_msgpack_modules=None))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await self._threaded(lambda: self.get_tuple(config))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - the name is LangGraph's
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        found = await self._threaded(lambda: list(self.list(config, filter=filter, before=before, limit=limit)))
        for item in found:
            yield item

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await self._threaded(lambda: self.put(config, checkpoint, metadata, new_versions))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        await self._threaded(lambda: self.put_writes(config, writes, task_id, task_path))

    async def adelete_thread(self, thread_id: str) -> None:
        await self._threaded(lambda: self.delete_thread(thread_id))

    def close(self) -> None:
        with self.lock:
            self.conn.close()

    async def _threaded(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                raise StorageFull(f"No room on the disk for {self._path}. Free some space.") from error
            raise StoreUnavailable(
                f"{self._path} cannot be used: {error}. Check that it is writable and free."
            ) from error


def build(options: Options, context: Context) -> SqliteCheckpoints:
    return SqliteCheckpoints(context.data_dir / options.path, options.busy_timeout_s)
