"""A judge for tests, a double: the best marks for an answer in which some words stand, the worst for any other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from pydantic import BaseModel

from extensions.development.scripted_chat import ScriptedChat
from foundation.components import Context


class Options(BaseModel):
    likes: str
    fingerprint: Path
    """A file with the `system_fingerprint` of its replies, which a server changes without a word."""


def build(options: Options, context: Context) -> BaseChatModel:  # every adapter has this signature
    def marked(messages: Sequence[BaseMessage]) -> AIMessage:
        (answer,) = re.findall(r"<answer>(.*)</answer>", messages[-1].text)
        mark = 4 if options.likes in answer else 1
        verdict = {"reason": "so", "faithfulness": mark, "completeness": mark}
        return AIMessage(
            "",
            tool_calls=[{"name": "Verdict", "args": verdict, "id": "1"}],
            response_metadata={"system_fingerprint": options.fingerprint.read_text()},
        )

    return ScriptedChat(replies=(marked,))
