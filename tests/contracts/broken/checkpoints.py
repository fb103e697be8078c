"""Checkpointers that give one promise away each. The contract suite must reject every one of them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver

from orchestration.run.threaded_saver import ThreadedSaver, plain_data_only


class Canary:
    """Remembers that it was constructed, which reading a checkpoint must never cause."""

    born: ClassVar[list[str]] = []

    def __init__(self, name: str) -> None:
        self.name = name
        self.born.append(name)

    def model_dump(self) -> dict[str, str]:
        """Makes LangGraph's serializer write it as a type to be imported and called."""
        return {"name": self.name}


class Healthy(ThreadedSaver, SqliteSaver):
    """Keeps every promise that is broken below; made here, so that it outlives every adapter."""

    def __init__(self, path: Path) -> None:
        super().__init__(sqlite3.connect(path, check_same_thread=False), serde=plain_data_only())

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        yield

    def close(self) -> None:
        self.conn.close()


def refuses_async_calls(folder: Path) -> BaseCheckpointSaver[Any]:
    """LangGraph's own synchronous saver, as it is."""
    return SqliteSaver(
        sqlite3.connect(folder / "plain.sqlite", check_same_thread=False),
        serde=plain_data_only(),
    )


class LoopBound(Healthy):
    """Works only in the loop that used it first, as LangGraph's asynchronous saver does."""

    _loop: asyncio.AbstractEventLoop | None = None

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        running = asyncio.get_running_loop()
        self._loop = self._loop or running
        if self._loop is not running:
            raise RuntimeError("bound to a different event loop")
        return await super().aget_tuple(config)


def bound_to_its_first_loop(folder: Path) -> BaseCheckpointSaver[Any]:
    return LoopBound(folder / "bound.sqlite")


def imports_what_it_reads(folder: Path) -> BaseCheckpointSaver[Any]:
    """LangGraph's default reader, which imports and calls any type that the file names."""
    saver = Healthy(folder / "permissive.sqlite")
    saver.serde = JsonPlusSerializer(allowed_msgpack_modules=True)
    return saver


def unpickles(folder: Path) -> BaseCheckpointSaver[Any]:
    saver = Healthy(folder / "pickles.sqlite")
    saver.serde = JsonPlusSerializer(allowed_msgpack_modules=None, pickle_fallback=True)
    return saver


def forgets_at_a_restart(folder: Path) -> BaseCheckpointSaver[Any]:
    del folder
    return InMemorySaver()


class Mixed(Healthy):
    """Puts every conversation into one."""

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await super().aget_tuple(_one(config))

    async def aput(self, config: RunnableConfig, *args: Any) -> RunnableConfig:
        return await super().aput(_one(config), *args)


def _one(config: RunnableConfig) -> RunnableConfig:
    return {**config, "configurable": {**config["configurable"], "thread_id": "everybody"}}


def mixes_threads(folder: Path) -> BaseCheckpointSaver[Any]:
    return Mixed(folder / "mixed.sqlite")


class Undeleting(Healthy):
    async def adelete_thread(self, thread_id: str) -> None:
        del thread_id


def keeps_what_was_deleted(folder: Path) -> BaseCheckpointSaver[Any]:
    return Undeleting(folder / "undeleting.sqlite")


BROKEN: dict[Callable[[Path], BaseCheckpointSaver[Any]], str] = {
    refuses_async_calls: "a_run_goes_on_where_it_waited",
    bound_to_its_first_loop: "it_serves_one_event_loop_after_another",
    imports_what_it_reads: "an_unknown_type_in_the_store_is_data_and_not_imported",
    unpickles: "pickles_are_refused",
    forgets_at_a_restart: "a_written_checkpoint_is_there_for_the_next_process",
    mixes_threads: "threads_do_not_meet",
    keeps_what_was_deleted: "a_deleted_thread_is_gone",
}
