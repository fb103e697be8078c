"""The async half of a synchronous LangGraph saver: each call in a thread, bound to no event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from foundation.stores import erasures

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

    _Saver = BaseCheckpointSaver[Any]
else:
    _Saver = object

ERASED = "their conversations: questions, answers and quotes"
ERASED_BUT = "their notes on decisions for somebody else, in the conversation of that person"
P = ParamSpec("P")
T = TypeVar("T")


def plain_data_only() -> JsonPlusSerializer:
    """Return a serializer that reads back only plain data and LangGraph's own types, so that a tampered store cannot
    make it import and call others (LANGGRAPH_STRICT_MSGPACK is off by default).
    """
    return JsonPlusSerializer(allowed_msgpack_modules=None)


class ThreadedSaver(_Saver):
    """A mixin with the async methods of a saver, listed before a synchronous saver among the bases."""

    def translate_errors(self) -> AbstractContextManager[None]:
        """Translate the store's errors into ours."""
        # not abstract: LangGraph's savers are no ABCs
        raise NotImplementedError(f"{type(self).__name__} has no method `translate_errors`.")

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await self._run_in_thread(self.get_tuple, config)

    async def alist(self, config: RunnableConfig | None, **conditions: Any) -> AsyncIterator[CheckpointTuple]:
        for item in await self._run_in_thread(lambda: list(self.list(config, **conditions))):
            yield item

    async def aput(self, *checkpoint: Any) -> RunnableConfig:
        erasures.demand()
        return await self._run_in_thread(self.put, *checkpoint)

    # LangGraph looks whether there is a `task_path`, and without it mixes up the writes of parallel calls
    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        erasures.demand()
        await self._run_in_thread(self.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        await self._run_in_thread(self.delete_thread, thread_id)

    async def _run_in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        def translate() -> T:
            with self.translate_errors():
                return work(*args, **kwargs)

        return await asyncio.to_thread(translate)
