"""Judges of entailment for tests: the shipped one over any embedder, and a chat model that judges by shared words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from langchain_core.embeddings import Embeddings
from langchain_core.messages import AIMessage, BaseMessage

from foundation.components import Assembly, Context
from foundation.settings import Part
from models.build import open_judge
from models.chat.scripted import ScriptedChat
from models.contract import EntailmentJudge
from models.settings import ModelsSettings


def signs_over(embedder: Embeddings) -> EntailmentJudge:
    """The shipped judge, as the system opens it."""
    assembly = Assembly(Context(data_dir=Path("nowhere")), ExitStack())
    return open_judge(ModelsSettings(entailment=Part(use="signs")), assembly, embedder)


def counting_chat() -> ScriptedChat:
    """A double: replies with the share of the claim's words that the text has, from 0 to 100."""

    def reply(messages: Sequence[BaseMessage]) -> AIMessage:
        pair = json.loads(messages[-1].text)
        claimed, present = set(pair["claim"].lower().split()), set(pair["text"].lower().split())
        return AIMessage(str(100 * len(claimed & present) // max(1, len(claimed))))

    return ScriptedChat(replies=(reply,))
