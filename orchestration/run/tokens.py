"""An estimate of tokens, for what no provider has counted yet."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately


def count_tokens(messages: Sequence[BaseMessage], tools: Sequence[Any] = ()) -> int:
    """Estimate the tokens of messages and tools: four characters of ASCII a token, three bytes of any other script. LangChain's
    estimate, which takes four characters for any, finds a quarter of the tokens of a Chinese text.
    """
    texts: list[str] = [message.text for message in messages]
    texts += [repr(call["args"]) for message in messages for call in getattr(message, "tool_calls", ())]
    return count_tokens_approximately(messages, tools=list(tools) or None) + int(sum(map(_missing, texts)))


def cut_at(text: str, tokens: int) -> int:
    """Return the number of characters at the text's beginning that make about so many tokens."""
    counted = tokens_in(text)
    return len(text) if counted <= tokens else int(len(text) * tokens / counted)


def tokens_in(text: str) -> float:
    return len(text) / 4 + _missing(text)


def _missing(text: str) -> float:
    if text.isascii():
        return 0.0
    plain = len(text.encode("ascii", "ignore"))
    return (len(text.encode("utf-8", "replace")) - plain) / 3 - (len(text) - plain) / 4
