"""A chat model that says again what a recorded model said: a double, and labelled as one.

It keeps no place of its own. What it is shown decides what comes next, so that a process that was killed goes on where the
conversation stands. It looks at what it is shown as a strict provider would, and notes what differs from the recording.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict

from lab.replay.journal import Journal
from lab.replay.recording import Conversation, Line
from models.contract import Call, Price, PriceSource

LABEL = "(recorded)"
THE_END = "[The recording ends here.]"
A_SUMMARY = "[What was said before stands in the recording.]"
Key = tuple[Any, ...]


class RecordedChat(BaseChatModel):
    """Plays the model's part of `conversation`. `model` is who spoke when it was recorded, as provider/name."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    conversation: Conversation
    journal: Journal
    model: str = ""

    @property
    def _llm_type(self) -> str:
        return "recorded-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": f"{self.model} {LABEL}".strip()}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        return {**params, "ls_provider": "recorded", "ls_model_name": self._identifying_params["model_name"]}

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[Any, AIMessage]:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], tool_choice=tool_choice, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002  # what was said was said
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002  # the caller reports what came back
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._reply(messages, kwargs.get("tools") or []))])

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002  # what was said was said
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002  # the caller reports what came back
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in _chunks(self._reply(messages, kwargs.get("tools") or [])):
            yield chunk

    def _reply(self, messages: Sequence[BaseMessage], tools: Sequence[Any]) -> AIMessage:
        shown = [message for message in messages if not isinstance(message, SystemMessage)]
        for fault in protocol_faults(messages):
            self.journal.note("protocol", fault)
        if not tools:
            self.journal.note("summaries_asked")
            return self._said(AIMessage(A_SUMMARY), messages, tools)
        place, asked_besides = self._find_place(shown)
        script = self.conversation.script
        if place < len(script) and script[place].speaker == "model":
            self.journal.mark("place", str(place))
            self.journal.note("played", str(place))
            reply = as_message(script[place], text_only=asked_besides == "repairs_asked")
        else:
            if place < len(script):
                self.journal.note("difference", f"the model was asked where the recording has {script[place].speaker}")
            reply = AIMessage(THE_END)
        if asked_besides:
            self.journal.note(asked_besides, shown[-1].text)
        return self._said(reply, messages, tools)

    def _find_place(self, shown: Sequence[BaseMessage]) -> tuple[int, str]:
        """Where in the script the next message stands, and what was asked for that the recording does not have."""
        keys, script = [_key_of_message(message) for message in shown], self.conversation.script
        place, fitting = self._align(keys)
        if fitting:
            self._compare(shown, place, fitting)
            return place, ""
        place, fitting = self._align(keys[:-1])  # the last message is the agent's own: an instruction of this round
        self._compare(shown[:-1], place, fitting)
        if place and script[place - 1].speaker == "model":
            return place - 1, "repairs_asked"
        return place, "last_rounds_asked"

    def _align(self, keys: Sequence[Key]) -> tuple[int, int]:
        """The place behind the stretch of the script that the shown messages end with, and how long it is."""
        lines = [_key_of_line(line) for line in self.conversation.script]
        if keys and keys == lines[: len(keys)]:  # texts such as "ok" stand in several places
            return len(keys), len(keys)
        lengths = [(_common_end(lines[:place], keys), place) for place in range(1, len(lines) + 1)]
        length, place = max(lengths, default=(0, 0))
        return place, length

    def _compare(self, shown: Sequence[BaseMessage], place: int, fitting: int) -> None:
        first = place - fitting
        for line, message in enumerate(shown[-fitting:] if fitting else (), first):
            if isinstance(message, ToolMessage):
                self.journal.record_result(line, message.text)
        if (fitting, fitting) != (place, len(shown)):
            what = f"{place} messages recorded, {len(shown)} shown, the last {fitting} of them the same"
            self.journal.note("difference", f"the model was shown another conversation: {what}")

    def _said(self, reply: AIMessage, messages: Sequence[BaseMessage], tools: Sequence[Any]) -> AIMessage:
        """The reply with estimated usage: recordings in this shape tell none."""
        read = count_tokens_approximately(messages) + len(json.dumps(tools)) // 4
        wrote = count_tokens_approximately([reply])
        usage = UsageMetadata(input_tokens=read, output_tokens=wrote, total_tokens=read + wrote)
        self.journal.note("tokens", str(read + wrote))
        metadata = {**self._identifying_params, "test_double": True}
        return reply.model_copy(update={"usage_metadata": usage, "response_metadata": metadata})


class PricesOfRecorded:
    """Prices a played call as one of the model that spoke when it was recorded."""

    def __init__(self, inner: PriceSource, model: str) -> None:
        self._inner = inner
        self._provider, _, self._name = model.partition("/")

    def price(self, call: Call) -> Price:
        return self._inner.price(replace(call, provider=self._provider, model=self._name))


def as_message(line: Line, *, text_only: bool = False) -> AIMessage:
    """The recorded reply as the model's adapter would give it."""
    calls = () if text_only else line.calls
    return AIMessage(
        line.text,
        tool_calls=[
            {"name": call.name, "args": call.arguments, "id": call.call_id, "type": "tool_call"}
            for call in calls
            if isinstance(call.arguments, dict)
        ],
        invalid_tool_calls=[
            {"name": call.name, "args": call.arguments, "id": call.call_id, "error": None, "type": "invalid_tool_call"}
            for call in calls
            if isinstance(call.arguments, str)
        ],
    )


def protocol_faults(messages: Sequence[BaseMessage]) -> list[str]:
    """What a provider would answer with 400."""
    faults = []
    open_calls: Counter[str] = Counter()
    for number, message in enumerate(messages):
        if isinstance(message, ToolMessage):
            if open_calls[message.tool_call_id] <= 0:
                faults.append(
                    f"message {number} is a result of call {message.tool_call_id}, which does not stand before it"
                )
                continue
            open_calls[message.tool_call_id] -= 1
            continue
        if open_calls.total():
            faults.append(f"message {number} stands before the result of {next(iter(+open_calls))}")
            open_calls.clear()
        if isinstance(message, SystemMessage) and number:
            faults.append(f"message {number} is a system message behind others")
        if isinstance(message, AIMessage):
            open_calls.update(str(call["id"]) for call in message.tool_calls)
        if not message.text.strip() and not open_calls.total():
            faults.append(f"message {number} is empty")
    if open_calls.total():
        faults.append(f"there is no result of {next(iter(+open_calls))}")
    if not messages or not isinstance(messages[-1], HumanMessage | ToolMessage):
        faults.append("the last message is the model's own")
    return faults


def _key_of_message(message: BaseMessage) -> Key:
    if isinstance(message, ToolMessage):
        return ("tool", message.tool_call_id)
    if isinstance(message, AIMessage):
        return ("model", message.text.strip(), tuple(call["id"] for call in message.tool_calls))
    return ("person", message.text.strip())


def _key_of_line(line: Line) -> Key:
    if line.speaker == "tool":
        return ("tool", line.call_id)
    if line.speaker == "model":
        return ("model", line.text.strip(), tuple(call.call_id for call in line.calls))
    return ("person", line.text.strip())


def _common_end(one: Sequence[Key], other: Sequence[Key]) -> int:
    length = 0
    while length < min(len(one), len(other)) and one[-1 - length] == other[-1 - length]:
        length += 1
    return length


def _chunks(reply: AIMessage) -> Iterator[ChatGenerationChunk]:
    if reply.text:
        yield ChatGenerationChunk(message=AIMessageChunk(content=reply.text))
    yield ChatGenerationChunk(
        message=AIMessageChunk(
            content="",
            tool_calls=reply.tool_calls,
            invalid_tool_calls=reply.invalid_tool_calls,
            usage_metadata=reply.usage_metadata,
            response_metadata=reply.response_metadata,
            chunk_position="last",
        )
    )
