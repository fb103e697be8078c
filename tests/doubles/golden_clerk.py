"""A chat model that knows the golden answers of the support desk: a double of a strong one, and no measure of any model.

    [models.chat]
    use = "tests.doubles.golden_clerk:build"

It searches with the person's words, and says the golden answer where a passage holds it; it calls the tool that the case names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from pydantic import BaseModel, ConfigDict

from extensions.development.scripted_chat import ScriptedChat
from foundation.components import Context
from observability.evaluation.golden_set import GoldenCase, load_golden
from tests.doubles.strong import NOT_SAID, calls, passages_for

NAME = "scripted double that knows the golden answers"
PROFILE = {"tool_calling": True, "max_input_tokens": 128_000}


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    golden: Path = Path("examples/support_desk/golden.jsonl")


def build(options: Options, context: Context) -> BaseChatModel:
    """Raises as `load_golden`."""
    del context
    cases = {case.question: case for case in load_golden(options.golden)}
    return ScriptedChat(replies=(lambda messages: _reply(messages, cases),), profile=PROFILE, model_name=NAME)


def _reply(messages: Sequence[BaseMessage], cases: dict[str, GoldenCase]) -> AIMessage:
    question = next(
        message.text for message in reversed(messages) if isinstance(message, HumanMessage) and message.text in cases
    )
    case = cases[question]
    results = [message for message in messages if isinstance(message, ToolMessage)]
    if not results:
        wanted = (case.tool.name, case.tool.arguments) if case.tool else ("search_documents", {"query": question})
        return calls(wanted)
    if not case.answerable:
        return AIMessage(NOT_SAID)
    if case.tool:
        return AIMessage(results[-1].text)
    return AIMessage(_golden_answer(case, passages_for(results[-1].text, messages)) or NOT_SAID)


def _golden_answer(case: GoldenCase, passages: Sequence[tuple[str, str]]) -> str:
    """The sentences that hold the golden strings, with the numbers of their passages."""
    said = []
    for group in case.expected_strings:
        for number, text in passages:
            sentence = next(
                (each for each in re.split(r"(?<=[.!?])\s+|\n", text) if any(gold in each for gold in group)), None
            )
            if sentence:
                said.append(f"{sentence.rstrip('.')} [{number}].")
                break
    return " ".join(said)
