"""A chat model that calls tools and answers with the last line of what a tool read, or says that nothing was read."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from extensions.development.scripted_chat import Options, ScriptedChat
from foundation.components import Context

__all__ = ["Options", "build"]


class FileReader(ScriptedChat):
    def _reply(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]) -> AIMessage:
        read = [message.text.splitlines()[-1] for message in messages if isinstance(message, ToolMessage)]
        self.replies = (AIMessage(read[-1] if read else "Nothing was read."),)
        return super()._reply(messages, stop, kwargs)


def build(options: Options, context: Context) -> FileReader:
    return FileReader(profile={"tool_calling": True, "max_input_tokens": 128_000}, model_name="your-model")
