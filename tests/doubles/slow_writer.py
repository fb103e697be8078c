"""A chat model that writes Markdown and then falls silent, once; asked again, it writes to the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk

from extensions.development.scripted_chat import Options, ScriptedChat
from foundation.components import Context

__all__ = ["Options", "build"]

WRITTEN = "**Nine hours** is what it runs:\n\n- *moon lamp*\n- sun lamp\n\nThat is all."


class SlowWriter(ScriptedChat):
    async def _astream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        async for chunk in super()._astream(messages, stop, run_manager, **kwargs):
            yield chunk
        if len(self.seen) == 1:
            await asyncio.Event().wait()


def build(options: Options, context: Context) -> SlowWriter:
    return SlowWriter(
        replies=(AIMessage(WRITTEN),),
        profile={"tool_calling": True, "max_input_tokens": 128_000},
        model_name="your-model",
    )
