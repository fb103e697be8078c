"""Judges of entailment for tests: the shipped one over any embedder, and a chat model that judges by shared words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from langchain_core.embeddings import Embeddings
from langchain_core.messages import AIMessage, BaseMessage

from models.chat.scripted import ScriptedChat
from models.contract import EntailmentJudge, EntailmentParts
from models.entailment import signs
from models.scoring.checked import CheckedJudge


def signs_over(embedder: Embeddings) -> EntailmentJudge:
    """The shipped judge, as the system opens it."""
    parts = EntailmentParts(data_dir=Path("nowhere"), embedder=embedder)
    return CheckedJudge(signs.build(signs.Options(), parts))


def counting_chat() -> ScriptedChat:
    """A double: replies with the share of the claim's words that the text has, from 0 to 100."""

    def reply(messages: Sequence[BaseMessage]) -> AIMessage:
        pair = json.loads(messages[-1].text)
        claimed, present = set(pair["claim"].lower().split()), set(pair["text"].lower().split())
        return AIMessage(str(100 * len(claimed & present) // max(1, len(claimed))))

    return ScriptedChat(replies=(reply,))
