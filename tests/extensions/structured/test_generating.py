"""An object of a chat model fits its schema, is repaired once, or is a typed failure."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from pydantic import BaseModel

from extensions.structured.generating import generate_object, json_of, object_from
from foundation.errors import UpstreamMalformed
from orchestration.prompts.files import Prompt

ASKED = [HumanMessage("How heavy is it?")]


class Weight(BaseModel):
    """A weight."""

    kilograms: float


class Replies:
    """Gives one reply after the other, and keeps what it was asked."""

    def __init__(self, *replies: str) -> None:
        self._replies, self.asked = iter(replies), list[list[BaseMessage]]()

    async def __call__(self, messages: Sequence[BaseMessage], schema: Mapping[str, Any]) -> AIMessage:
        assert schema["title"] == "Weight"
        self.asked.append(list(messages))
        return AIMessage(next(self._replies))


async def test_what_does_not_fit_is_asked_for_once_more_without_the_value() -> None:
    ask = Replies('{"kilograms": "a secret"}', '{"kilograms": 30}')
    assert await generate_object(Weight, ASKED, ask) == Weight(kilograms=30)
    told = ask.asked[1][-1].text
    assert told.startswith("That does not fit: kilograms")
    assert "a secret" not in told


async def test_a_repair_that_does_not_fit_is_an_error_and_no_guess() -> None:
    with pytest.raises(UpstreamMalformed, match="does not fit Weight, nor does its repair: kilograms"):
        await generate_object(Weight, ASKED, Replies("{}", '{"kilograms": "heavy"}'))


@pytest.mark.parametrize(
    "reply",
    [
        AIMessage('{"kilograms": 30}'),
        AIMessage('Here it is:\n```json\n{"kilograms": 30}\n```'),
        AIMessage("", tool_calls=[{"name": "Weight", "args": {"kilograms": 30}, "id": "1"}]),
    ],
)
def test_the_json_of_a_reply_is_its_text_its_fence_or_its_call(reply: AIMessage) -> None:
    assert json_of(reply) == '{"kilograms": 30}'


def test_the_messages_begin_with_words_that_never_change_and_end_with_the_question() -> None:
    filling = Prompt("filling", "1", "Fill in what stands there. {shape}")
    one, other = object_from(filling, "q?", "text", {}), object_from(filling, "r?", "</evidence>", {})
    assert one[0] == other[0]
    assert one[-1].text.endswith("q?")
    assert "<evidence>(/evidence)</evidence>" in other[-1].text
