"""The judge: one call of the chat model for all statements of an answer (LLM as a judge).

Zheng et al., "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena", 2023, on what such judges get wrong.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from extensions.judge.settings import PROMPT, JudgeSettings
from foundation.errors import InvalidSetting, UpstreamMalformed
from foundation.text.prose import blank_code
from retrieval.grounding.checks import MARKER, Finding, split_statements

if TYPE_CHECKING:
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
    def of(cls, settings: JudgeSettings, stack_dir: Path) -> JudgeCheck:
        """Raises InvalidSetting: the prompt's file cannot be read."""
        path = stack_dir / (settings.prompt or PROMPT)
        try:
            orders = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidSetting(
                f'[judge] prompt = "{path}" cannot be read: {error}. Name a file of instructions.'
            ) from error
        return cls(orders=orders, max_tokens=settings.max_tokens, statements=settings.statements)

    def __call__(self, answer: WrittenAnswer, grounding: Grounding) -> Sequence[Finding]:  # noqa: ARG002 - the port's shape
        texts = {str(number): hit.chunk.text for number, hit in answer.passages.items()}
        texts |= {f"result {number}": text for number, text in enumerate(answer.results, 1)}
        if not texts:
            return []
        spans = list(split_statements(blank_code(answer.text)))[: self.statements]
        said = [answer.text[start:end] for start, end in spans]
        asked = {
            "texts": texts,
            "statements": [
                {"number": number, "says": MARKER.sub("", text).strip(), "cites": MARKER.findall(text)}
                for number, text in enumerate(said, 1)
            ],
        }
        reply = self._ask(answer, json.dumps(asked, ensure_ascii=False))
        doubts = {doubt.statement: doubt.reason for doubt in reply.not_supported}
        return [
            Finding(start, end, UNSUPPORTED, doubts[number])
            for number, (start, end) in enumerate(spans, 1)
            if number in doubts
        ]

    def _ask(self, answer: WrittenAnswer, asked: str) -> Verdict:
        """Raises UpstreamMalformed: the reply is not the JSON that was asked for; what the chat model raises."""
        reply = answer.chat.invoke([("system", self.orders), ("human", asked)], max_tokens=self.max_tokens).text
        try:
            return Verdict.model_validate_json(reply[reply.find("{") : reply.rfind("}") + 1])
        except ValidationError as error:
            raise UpstreamMalformed(
                f"The chat model was asked to judge its answer and replied with {len(reply)} characters that are no verdict. "
                "Use a model that writes JSON, or turn the judge off: make remove NAME=judge"
            ) from error
