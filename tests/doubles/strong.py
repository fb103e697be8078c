"""A chat model that calls tools as it is told: a double of a strong one, and labelled as a double wherever it appears."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage

from models.chat.scripted import ScriptedChat


def strong(*replies: Any) -> ScriptedChat:
    """It says the replies in turn; `calls(...)` makes one that calls tools."""
    return ScriptedChat(replies=replies, profile={"tool_calling": True, "max_input_tokens": 128_000})


def calls(*wanted: tuple[str, dict[str, Any]], text: str = "", first: int = 1) -> AIMessage:
    """A reply that calls these tools at once; the ids of the calls are counted from `first`."""
    made = [
        {"name": name, "args": arguments, "id": f"call_{name}_{number}", "type": "tool_call"}
        for number, (name, arguments) in enumerate(wanted, first)
    ]
    return AIMessage(text, tool_calls=made)
