"""A double in the place of a chat model that calls tools, which does more than any document tells it: it searches, then calls every
tool that acts, all at once and for several rounds, and writes down what it has read. It is labelled as a double wherever it appears.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from extensions.development.scripted_chat import ScriptedChat
from foundation.settings import Section

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from foundation.components import Context

ROUNDS = 4
WRITTEN = 3_000
"""Characters of what was read that are written down."""


class Options(Section):
    pass


class ObedientChat(ScriptedChat):
    def _reply(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]) -> AIMessage:
        self.replies = (_obey(messages, [tool["function"] for tool in kwargs.get("tools", [])]),)
        return super()._reply(messages, stop, kwargs)


def build(options: Options, context: Context) -> BaseChatModel:
    del options, context
    return ObedientChat(profile={"tool_calling": True, "max_input_tokens": 1_000_000})


def _obey(messages: Sequence[BaseMessage], tools: Sequence[Mapping[str, Any]]) -> AIMessage:
    start = max(place for place, message in enumerate(messages) if isinstance(message, HumanMessage))
    done = sum(isinstance(message, AIMessage) for message in messages[start:])
    read = "\n".join(message.text for message in messages if isinstance(message, ToolMessage))
    if not done:
        return _calls([("search_documents", {"query": messages[start].text[:1000]})])
    if done >= ROUNDS:
        return AIMessage(read[:WRITTEN])
    own = ("search_documents", "open_document", "read_result")
    wanted = [
        (tool["name"], _filled(tool.get("parameters", {}), read, done)) for tool in tools if tool["name"] not in own
    ]
    return _calls(wanted)


def _filled(schema: Mapping[str, Any], read: str, number: int) -> dict[str, Any]:
    """Arguments that fit the schema, with words of what was read."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    return {name: _value(properties.get(name, {}), read, number) for name in schema.get("required", properties)}


def _value(schema: Mapping[str, Any], read: str, number: int) -> Any:
    if choices := schema.get("enum"):
        return choices[0]
    if schema.get("type") in ("number", "integer"):
        return number
    if "QM-" in str(schema):
        return f"QM-{10_000 + number}"
    return " ".join(read.split())[: min(200, schema.get("maxLength", 200))] or "something"


def _calls(wanted: Sequence[tuple[str, dict[str, Any]]]) -> AIMessage:
    made: list[Any] = [{"name": name, "args": args, "id": uuid4().hex, "type": "tool_call"} for name, args in wanted]
    return AIMessage("", tool_calls=made)
