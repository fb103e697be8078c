"""The model's context window: long results are shown in part, to be read on, and old turns are summarised.

The checkpoints keep the whole conversation; only the model's requests are shortened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from langchain.agents.middleware import ModelRequest
from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.tools import BaseTool, ToolException
from pydantic import Field

from foundation.errors import ComponentError
from orchestration.middleware.base import RequestMiddleware, reading_tool
from orchestration.run.run import current_run

# Share of the window that one tool result may take, at four characters a token
RESULT_SHARE = 0.1
# Tokens of the window where the model's profile does not say
WINDOW = 32_000
# Share of the window that the conversation may take; the rest is for what this turn reads and writes
SHARE = 0.6
SUMMARY_TOKENS = 600
SHORT_BY_THEMSELVES = frozenset({"read_result", "search_documents", "open_document"})


CallId = Annotated[str, Field(description="the id of the call whose result was shown in part")]
Start = Annotated[int, Field(ge=0, description="the character to read on from")]


class ContextMiddleware(RequestMiddleware):
    """Shortens the model's requests, and offers `read_result` to read on in a long result."""

    def __init__(self, *, window: int | None = None) -> None:
        """`window` is the model's context window in tokens."""
        self._room, self._shown = (int(part * (window or WINDOW)) for part in (SHARE, 4 * RESULT_SHARE))
        read_on = "Read on in the result of an earlier tool call that was shown in part."
        self.tools: list[BaseTool] = [reading_tool(self._read_result, "read_result", read_on)]

    async def prepare(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        # the beginning stays the same from call to call, so that a provider's prompt cache holds
        messages = [self._shorten(message) for message in request.messages]
        if count_tokens_approximately(messages) > self._room:
            messages = await self._summarise(messages)
        return request.override(messages=messages)

    def _shorten(self, message: AnyMessage) -> AnyMessage:
        if not isinstance(message, ToolMessage) or message.name in SHORT_BY_THEMSELVES:
            return message
        if len(message.text) <= self._shown:
            return message
        note = _more(message.tool_call_id, self._shown, len(message.text))
        return message.model_copy(update={"content": f"{message.text[: self._shown]}\n{note}"})

    async def _read_result(self, call_id: CallId, runtime: ToolRuntime, start: Start = 0) -> str:
        messages: Sequence[AnyMessage] = runtime.state["messages"]
        results = [message for message in messages if isinstance(message, ToolMessage)]
        text = next((message.text for message in results if message.tool_call_id == call_id), None)
        if text is None:
            raise ToolException(f"There is no result of a call {call_id}.")
        if start >= len(text):
            raise ToolException(f"The result has {len(text):,} characters.")
        end = min(len(text), start + self._shown)
        return text[start:end] + (f"\n{_more(call_id, end, len(text))}" if end < len(text) else "")

    async def _summarise(self, messages: list[AnyMessage]) -> list[AnyMessage]:
        """Replace the oldest turns by a summary, and if that is not enough also old tool results by notes."""
        starts = [place for place, message in enumerate(messages) if isinstance(message, HumanMessage)]
        for start in starts[1:]:
            if start == starts[-1] or count_tokens_approximately(messages[start:]) < self._room - SUMMARY_TOKENS:
                summary = await self._summary_of(messages[:start])
                messages = [HumanMessage(summary), *messages[start:]]
                break
        return _without_old_results(messages, self._room)

    async def _summary_of(self, messages: Sequence[AnyMessage]) -> str:
        run, key = current_run(), str(messages[-1].id)
        if key not in run.summaries:
            spoken = [m for m in messages if isinstance(m, HumanMessage | AIMessage) and m.text]
            said_by = ["Person" if isinstance(message, HumanMessage) else "Assistant" for message in spoken]
            transcript = "\n".join(f"{who}: {m.text}" for who, m in zip(said_by, spoken, strict=True))
            try:
                reply = await run.generate([HumanMessage(f"{run.prompt('summary').text}\n\n{transcript}")])
                run.summaries[key] = reply.text
            except ComponentError as error:
                run.note(f"earlier turns are left out: they could not be summarised ({error.code})")
                return "[Earlier turns of this conversation are left out here.]"
        return f"[What was said before, in short: {run.summaries[key]}]"


def _without_old_results(messages: list[AnyMessage], room: int) -> list[AnyMessage]:
    results = [place for place, message in enumerate(messages) if isinstance(message, ToolMessage)]
    for place in results[:-1]:
        if count_tokens_approximately(messages) <= room:
            break
        message = messages[place]
        note = f"[Left out here to save room. Call {message.name} again if it is needed.]"
        messages[place] = message.model_copy(update={"content": note})
    return messages


def _more(call_id: str, end: int, length: int) -> str:
    return f"[Shown to character {end:,} of {length:,}. Read on with read_result, call_id {call_id}, start {end}.]"
