"""A judge of entailment by the system's own chat model: all pairs in one call, by the prompt that judges answers (LLM as a judge).

A pair is supported or not, 1 or 0. For strong chat models; the bundled one cannot do it.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from extensions.judge.judging import ask, read_orders
from extensions.judge.settings import PROMPT
from foundation.errors import InvalidSetting
from foundation.settings import BESIDE_STACK, Section
from models.contract import BaseChatModel, EntailmentJudge, ScoringParts
from models.embedding import name_of


class Options(Section):
    prompt: Path | None = Field(default=None, json_schema_extra=BESIDE_STACK)
    """The file of its instructions, in place of `extensions/judge/judge.md`."""
    max_tokens: int = Field(default=4_000, ge=1)
    """Most tokens of the reply; a model that thinks first needs more."""


class ChatJudge:
    """Asks the chat model for a verdict. As thread-safe as the chat model."""

    def __init__(self, chat: BaseChatModel, orders: str, max_tokens: int) -> None:
        self.model_name = name_of(chat)
        self._chat, self._orders, self._max_tokens = chat, orders, max_tokens

    def support(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Return 1 or 0 a pair, as the port says. Raises UpstreamMalformed: the reply is no verdict."""
        if not pairs:
            return []
        numbers = {text: str(number) for number, text in enumerate(dict.fromkeys(text for text, _ in pairs), 1)}
        statements = [(says, [numbers[text]]) for text, says in pairs]
        texts = {number: text for text, number in numbers.items()}
        doubts = ask(self._chat, self._orders, texts, statements, max_tokens=self._max_tokens)
        return [float(place not in doubts) for place in range(len(pairs))]


def build(options: Options, context: ScoringParts) -> EntailmentJudge:
    """Raises InvalidSetting: there is no chat model, or the prompt cannot be read."""
    if context.chat is None:
        raise InvalidSetting(
            '[models.entailment] use = "chat" needs the chat model, and only documents are searched here. Use "signs".'
        )
    return ChatJudge(context.chat, read_orders(options.prompt or PROMPT), options.max_tokens)
