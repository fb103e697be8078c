"""A double of a server with a model behind it, for `make bench-context`: it counts the reply into its window and refuses what does not
fit, as vLLM does, and knows again the beginning of a request that it had before, as a provider's cache of prompts does.

It counts other tokens than Sixply estimates, as servers do: 3.6 characters of ASCII a token, and a token a character of other scripts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from extensions.development.scripted_chat import ScriptedChat
from foundation.errors import ContextTooLong

REPLY = 4_096
"""Tokens of its longest reply, as `[models.chat] max_tokens` is shipped."""
CACHED = 1_024
"""Least tokens of a beginning that is known again, as of OpenAI's and Anthropic's caches."""
REMEMBERED = 6
"""Latest requests whose beginnings it knows."""


class LimitedChat(ScriptedChat):
    """A chat model that states the longest reply, as those of providers do."""

    max_tokens: int = REPLY


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as the double read it."""

    messages: Sequence[BaseMessage]
    tools: frozenset[str]
    tokens: int
    cached: int
    fresh: int
    """Tokens of the messages that it never had before, which no cache can know."""


@dataclass
class ServerDouble:
    """Answers each request with what `says` makes of it; `chat` is its model for an agent. `sent` are the requests that it took."""

    window: int
    says: Callable[[Sent], AIMessage]
    sent: list[Sent] = field(default_factory=list)
    refused: int = 0
    _texts: list[str] = field(default_factory=list)
    _read: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        profile = {"tool_calling": True, "max_input_tokens": self.window}
        self.chat = LimitedChat(replies=(self._answer,), profile=profile)

    def _answer(self, messages: Sequence[BaseMessage]) -> AIMessage:
        bound = self.chat.bound[-1]
        tools = bound.get("tools") or ()
        text = "\n".join([json.dumps(tools), *map(_text_of, messages)])
        tokens, reply = tokens_of(text), bound.get("max_tokens") or REPLY
        if tokens + reply > self.window:
            self.refused += 1
            raise ContextTooLong(f"This model's maximum context length is {self.window} tokens.")
        known = max((tokens_of(text[: _count_shared(text, before)]) for before in self._texts), default=0)
        unread = {text for text in map(_text_of, messages) if text not in self._read}
        self._read |= unread
        request = Sent(
            messages,
            frozenset(tool["function"]["name"] for tool in tools),
            tokens,
            cached=known if known >= CACHED else 0,
            fresh=sum(map(tokens_of, unread)),
        )
        self.sent.append(request)
        self._texts = [*self._texts, text][-REMEMBERED:]
        said = self.says(request)
        wrote = tokens_of(_text_of(said))
        usage: Any = {
            "input_tokens": tokens,
            "output_tokens": wrote,
            "total_tokens": tokens + wrote,
            "input_token_details": {"cache_read": request.cached},
        }
        return said.model_copy(update={"usage_metadata": usage})


def tokens_of(text: str) -> int:
    plain = len(text.encode("ascii", "ignore"))
    return int(plain / 3.6 + len(text) - plain) + 1


def _count_shared(text: str, before: str) -> int:
    """Return how many characters both begin with."""
    low, high = 0, min(len(text), len(before))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text[low:middle] == before[low:middle] else (low, middle - 1)
    return low


def _text_of(message: BaseMessage) -> str:
    calls = [[call["id"], call["name"], call["args"]] for call in getattr(message, "tool_calls", ())]
    whose = getattr(message, "tool_call_id", "")
    return f"{message.type} {whose} {message.text} {json.dumps(calls, ensure_ascii=False) if calls else ''}"
