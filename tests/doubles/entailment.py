"""Judges of entailment for tests: the shipped one over any embedder, and a chat model that judges by shared words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from langchain_core.embeddings import Embeddings
from langchain_core.messages import AIMessage, BaseMessage

from extensions.development.scripted_chat import ScriptedChat
from foundation.components import Assembly, Context
from foundation.settings import Part
from models.build import open_judge
from models.contract import EntailmentJudge
from models.settings import ModelsSettings


def signs_over(embedder: Embeddings) -> EntailmentJudge:
    """The shipped judge, as the system opens it."""
    assembly = Assembly(Context(data_dir=Path("nowhere")), ExitStack())
    return open_judge(ModelsSettings(entailment=Part(use="signs")), assembly, embedder)


def counting_chat() -> ScriptedChat:
    """A double: replies with the verdict that the statements are not supported of which a text that they cite lacks a word."""

    def reply(messages: Sequence[BaseMessage]) -> AIMessage:
        asked = json.loads(messages[-1].text)
        doubts = [
            {"statement": said["number"], "reason": "a word is missing"}
            for said in asked["statements"]
            for text in (asked["texts"][cited] for cited in said["cites"])
            if not {*said["says"].lower().split()} <= {*text.lower().split()}
        ]
        return AIMessage(json.dumps({"not_supported": doubts}))

    return ScriptedChat(replies=(reply,))
