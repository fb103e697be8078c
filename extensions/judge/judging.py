"""The judge: one call of the chat model for all statements of an answer (LLM as a judge).

Zheng et al., "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena", 2023, on what such judges get wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from extensions.judge.settings import PROMPT, JudgeSettings
from foundation.errors import InvalidSetting, UpstreamMalformed
from foundation.text.prose import blank_code
from retrieval.grounding.checks import MARKER, Finding, split_statements

if TYPE_CHECKING:
    from models.contract import BaseChatModel
    from orchestration.contract import WrittenAnswer
    from retrieval.grounding.evidence import Grounding

UNSUPPORTED = "unsupported"


class Doubt(BaseModel):
    statement: int
    reason: str = ""


class Verdict(BaseModel):
    not_supported: list[Doubt]


@dataclass(frozen=True, kw_only=True)
class JudgeCheck:
    """An `AnswerCheck`. Nothing is asked where nothing was read."""

    orders: str
    max_tokens: int
    statements: int

    @classmethod
    def of(cls, settings: JudgeSettings) -> JudgeCheck:
        """Raises InvalidSetting: the prompt's file cannot be read."""
        orders = read_orders(settings.prompt or PROMPT)
        return cls(orders=orders, max_tokens=settings.max_tokens, statements=settings.statements)

    def __call__(self, answer: WrittenAnswer, grounding: Grounding) -> Sequence[Finding]:  # noqa: ARG002 - the port's shape
        texts = {str(number): hit.chunk.text for number, hit in answer.passages.items()}
        texts |= {f"result {number}": text for number, text in enumerate(answer.results, 1)}
        if not texts:
            return []
        spans = list(split_statements(blank_code(answer.text)))
        if len(spans) > self.statements:
            answer.note(f"what {len(spans) - self.statements} of {len(spans)} statements mean was not judged")
        said = [answer.text[start:end] for start, end in spans[: self.statements]]
        statements = [(MARKER.sub("", text).strip(), MARKER.findall(text)) for text in said]
        doubts = ask(answer.chat, self.orders, texts, statements, max_tokens=self.max_tokens)
        return [Finding(*spans[place], UNSUPPORTED, reason) for place, reason in sorted(doubts.items())]


def read_orders(path: Path) -> str:
    """Return the judge's instructions. Raises InvalidSetting: the file cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting(
            f"The judge's prompt {path} cannot be read: {error}. Name a file of instructions."
        ) from error


def ask(
    chat: BaseChatModel,
    orders: str,
    texts: Mapping[str, str],
    statements: Sequence[tuple[str, Sequence[str]]],
    *,
    max_tokens: int,
) -> dict[int, str]:
    """Ask once which statements, each with the texts that it cites, the texts do not support; return their places and the reasons.

    Raises UpstreamMalformed: the reply is not the JSON that was asked for. ComponentError: what the chat model raises.
    """
    numbered = [
        {"number": number, "says": says, "cites": list(cites)} for number, (says, cites) in enumerate(statements, 1)
    ]
    # JSON's quotation marks keep a text from ending early, whatever stands in it
    asked = json.dumps({"texts": texts, "statements": numbered}, ensure_ascii=False)
    reply = chat.invoke([("system", orders), ("human", asked)], max_tokens=max_tokens).text
    try:
        verdict = Verdict.model_validate_json(reply[reply.find("{") : reply.rfind("}") + 1])
    except ValidationError as error:
        raise UpstreamMalformed(
            f"The chat model was asked to judge {len(statements)} statements and replied with {len(reply)} characters that "
            "are no verdict. Use a model that writes JSON, or turn the judge off: make remove NAME=judge"
        ) from error
    return {it.statement - 1: it.reason for it in verdict.not_supported if 0 < it.statement <= len(statements)}
