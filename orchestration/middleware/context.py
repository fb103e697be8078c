"""The model's context window: long results are shown in part, to be read on, and old turns are summarised.

The checkpoints keep the whole conversation; only the model's requests are shortened.
"""

from collections.abc import Sequence
from typing import Annotated, Any, NotRequired, cast

from langchain.agents.middleware import AgentMiddleware, ExtendedModelResponse, ModelRequest
from langchain.agents.middleware.types import AgentState
from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.tools import BaseTool, ToolException
from langgraph.types import Command
from pydantic import Field

from foundation.errors import ComponentError
from orchestration.middleware.base import ModelHandler, reading_tool
from orchestration.run.run import current_run

# Share of the window that one tool result may take, at four characters a token
RESULT_SHARE = 0.1
# Tokens of the window where the model's profile does not say
WINDOW = 32_000
# Share of the window that the conversation may take; the rest is for what this turn reads and writes
SHARE = 0.6
SHORT_BY_THEMSELVES = frozenset({"read_result", "search_documents", "open_document"})


CallId = Annotated[str, Field(description="the id of the call whose result was shown in part")]
Start = Annotated[int, Field(ge=0, description="the character to read on from")]


class ContextState(AgentState[Any]):
    summary_before: NotRequired[tuple[str, str]]
    """The id of a message, and the summary of the turns before it."""


class ContextMiddleware(AgentMiddleware[Any, Any]):
    """Shortens the model's requests, and offers `read_result` to read on in a long result."""

    state_schema = ContextState

    def __init__(self, *, window: int | None = None) -> None:
        """`window` is the model's context window in tokens."""
        self._room, self._shown = (int(part * (window or WINDOW)) for part in (SHARE, 4 * RESULT_SHARE))
        read_on = "Read on in the result of an earlier tool call that was shown in part."
        self.tools: list[BaseTool] = [reading_tool(self._read_result, "read_result", read_on)]

    async def awrap_model_call(self, request: ModelRequest[Any], handler: ModelHandler) -> ExtendedModelResponse[Any]:
        # the beginning stays the same from call to call, so that a provider's prompt cache holds
        messages, update = [self._shorten(message) for message in request.messages], {}
        begin, summary = cast("ContextState", request.state).get("summary_before", ("", ""))
        if place := next((place for place, message in enumerate(messages) if message.id == begin), 0):
            messages = [HumanMessage(summary), *messages[place:]]
        if count_tokens_approximately(messages) > self._room:
            starts = [number for number, message in enumerate(messages) if isinstance(message, HumanMessage)]
            # half of the room, since each new summary costs a call and the prompt cache
            short = (start for start in starts if count_tokens_approximately(messages[start:]) <= self._room / 2)
            if (start := next(short, starts[-1] if starts else 0)) > bool(place):
                summary, whole = await self._summary_of(messages[:start])
                update = {"summary_before": (messages[start].id, summary)} if whole else {}
                messages = [HumanMessage(summary), *messages[start:]]
        response = await handler(request.override(messages=_without_old_results(messages, self._room)))
        return ExtendedModelResponse(model_response=response, command=Command(update=update))

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
        texts = [message.text for message in reversed(results) if message.tool_call_id == call_id]
        if not texts:
            raise ToolException(f"There is no result of a call {call_id}.")
        # the last one that is so long: some servers give an id to several calls
        text = next((text for text in texts if start < len(text)), "")
        if not text:
            raise ToolException(f"The result has {max(map(len, texts)):,} characters.")
        end = min(len(text), start + self._shown)
        return text[start:end] + (f"\n{_more(call_id, end, len(text))}" if end < len(text) else "")

    async def _summary_of(self, messages: Sequence[AnyMessage]) -> tuple[str, bool]:
        run = current_run()
        spoken = [m for m in messages if isinstance(m, HumanMessage | AIMessage) and m.text]
        transcript = "\n".join(f"{'Person' if isinstance(m, HumanMessage) else 'Assistant'}: {m.text}" for m in spoken)
        try:
            reply = await run.generate([HumanMessage(f"{run.prompt('summary').text}\n\n{transcript}")])
            if said := reply.text.strip():  # a model that thinks may end before its first word
                return f"[What was said before, in short: {said}]", True
            why = "empty"
        except ComponentError as error:
            why = error.code
        run.note(f"earlier turns are left out: they could not be summarised ({why})")
        return "[Earlier turns of this conversation are left out here.]", False


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
