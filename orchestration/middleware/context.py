"""The model's context window: long results are shown in part, to be read on; once it is nearly full, results that the model has
read are left out, then old turns are summarised.

Both are done rarely and much at a time, so that the beginning of the requests stays the same and a provider's cache of prompts
holds. The checkpoints keep the whole conversation; only the model's requests are shortened. LangChain's own
(`ContextEditingMiddleware`, `SummarizationMiddleware`, `trim_messages`) count four characters a token, clear results that were not
read yet and the outcomes of effects alike, cut anew in each round, and rewrite the stored conversation.
"""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Any, NotRequired, cast

from langchain.agents.middleware import AgentMiddleware, ExtendedModelResponse, ModelRequest
from langchain.agents.middleware.types import AgentState
from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, ToolException
from langgraph.types import Command
from pydantic import Field

from foundation.errors import BudgetExceeded, ComponentError, ContextTooLong
from models.pricing import usage_of
from orchestration.middleware.base import ModelHandler, reading_tool
from orchestration.middleware.policy import artifact_of
from orchestration.middleware.window import (
    find_boundary,
    lay_out,
    read_on,
    shorten_unread,
    tell_done,
)
from orchestration.run.metered_chat import REPLY_TOKENS, MeteredChatModel, is_note
from orchestration.run.run import current_run
from orchestration.run.tokens import count_tokens, cut_at

# Share of the window that one tool result may take, and the passages that one search or opening of a document shows
RESULT_SHARE, PASSAGES_SHARE = 0.1, 0.15
# Tokens of the window where the model's profile does not say
WINDOW = 32_000
# Share of the window that is used: the count is an estimate
SHARE = 0.9
# Share of the window that a reply has at least
REPLY_SHARE = 0.25
# Share of the room that is kept where results are left out, and that turns take where earlier ones are summarised
KEPT, TURNS = 0.4, 0.5
# How far the provider's count of tokens may be from the estimate: some servers count only what they had not cached
SCALES = (0.8, 4.0)
# Tokens of a request from which on its count is compared: small ones say little
COUNTED = 300
# Times that a request is made shorter after the provider found it too long, by half
TRIES = 2
# Pieces of a conversation that are summarised one after the other; what is older is left out
PIECES = 4
READ = "I have read this."
# Summaries that a process remembers
SUMMARIES = 128
# Characters of a result in the transcript that is summarised
SUMMED = 400
SHORT_BY_THEMSELVES = frozenset({"read_result", "search_documents", "open_document"})


CallId = Annotated[str, Field(description="the id of the call whose result was shown in part or left out")]
Start = Annotated[int, Field(ge=0, description="the character to read on from")]


class ContextState(AgentState[Any]):
    summary_before: NotRequired[tuple[str, str]]
    """The id of a message, and the summary of the turns before it."""
    left_out_before: NotRequired[str]
    """The id of the message before which results are left out."""
    token_scale: NotRequired[float]
    """The provider's count of the last request over our estimate of it."""


class ContextMiddleware(AgentMiddleware[Any, Any]):
    """Shortens the model's requests, and offers `read_result` to read on in a long result."""

    state_schema = ContextState

    def __init__(self, *, window: int | None = None) -> None:
        """`window` is the model's context window in tokens, of the prompt and the reply together."""
        self._window = window or WINDOW
        self._shown = int(RESULT_SHARE * self._window)
        self._passages = int(PASSAGES_SHARE * self._window)
        self.tools: list[BaseTool] = [
            reading_tool(
                self._read_result,
                "read_result",
                "Read on in the result of an earlier tool call that was shown in part or left out.",
            )
        ]
        self._summaries = OrderedDict[str, str]()
        """The latest summaries, by what they sum up: clients that keep their conversations send them whole with each question."""

    async def awrap_model_call(self, request: ModelRequest[Any], handler: ModelHandler) -> ExtendedModelResponse[Any]:
        state = cast("ContextState", dict(request.state))
        stated, reserved = self._limits_of_reply(request)
        scale = state.get("token_scale", 1.0)
        fixed = count_tokens([request.system_message] if request.system_message else [], request.tools)
        room = int((SHARE * self._window - reserved) / scale) - fixed
        whole, longest = [self._shorten(message) for message in request.messages], self._window
        for tries_left in range(TRIES, -1, -1):
            messages = await self._fit(whole, max(room, 0), state, reserved)
            sent = count_tokens(messages) + fixed
            left = max(reserved, min(longest, self._window - int(sent * scale / SHARE)))
            settings = {"max_tokens": left} if stated and left < stated else {}
            try:
                sampling = {**request.model_settings, **settings}
                response = await handler(request.override(messages=messages, model_settings=sampling))
                break
            except ContextTooLong:
                if not tries_left:
                    raise
                # the estimate was too low, and what it left for the reply too much
                room, longest = count_tokens(messages) // 2, reserved
        counts = [usage_of(message).input_tokens for message in response.result if isinstance(message, AIMessage)]
        if sent >= COUNTED and counts and counts[0]:
            state["token_scale"] = min(max(counts[0] / sent, SCALES[0]), SCALES[1])
        kept = ("summary_before", "left_out_before", "token_scale")
        update = {name: state[name] for name in kept if name in state}  # type: ignore[literal-required]
        return ExtendedModelResponse(model_response=response, command=Command(update=update))

    def _limits_of_reply(self, request: ModelRequest[Any]) -> tuple[int | None, int]:
        """Return the limit of a reply that is sent to the provider, and the tokens of the window that are kept for the reply."""
        model, least = request.model, int(REPLY_SHARE * self._window)
        stated = model.stated_reply(request.model_settings) if isinstance(model, MeteredChatModel) else None
        # where none is stated, a server gives the reply what is left
        return stated, min(stated or REPLY_TOKENS, least)

    async def _fit(
        self, messages: Sequence[AnyMessage], room: int, state: ContextState, reply: int
    ) -> list[AnyMessage]:
        """Return the messages to send; note in `state` what is left out from now on."""
        shown = self._lay_out(messages, state)
        if count_tokens(shown) <= room:
            return shown
        if boundary := find_boundary(shown, int(KEPT * room)):
            state["left_out_before"] = boundary
            shown = self._lay_out(messages, state)
        if count_tokens(shown) > room:
            shown = await self._summarise(messages, room, state, reply)
        return shorten_unread(shown, room) if count_tokens(shown) > room else shown

    async def _summarise(
        self, messages: Sequence[AnyMessage], room: int, state: ContextState, reply: int
    ) -> list[AnyMessage]:
        begin, before = find_summary_place(messages, state)
        noted = self._note(messages, state)
        starts = [place for place, it in enumerate(noted) if isinstance(it, HumanMessage) and place > begin]
        # half of the room, since each new summary costs a call and the prompt cache
        made = _digests(messages)
        if not begin and (known := self._find_summary(noted, made, starts, room)):
            state["summary_before"] = known
            return self._lay_out(messages, state)
        short = (start for start in starts if count_tokens(noted[start:]) <= TURNS * room)
        start = next(short, 0) or _find_round(noted, max([begin, *starts]), room) or max(starts, default=0)
        if start == 0:
            return self._lay_out(messages, state)
        summary, whole = await self._summary_of(before, messages[begin:start], reply)
        place = cast("tuple[str, str]", (messages[start].id, summary))
        if whole:
            state["summary_before"] = place
            self._summaries[made[start]] = summary
            while len(self._summaries) > SUMMARIES:
                self._summaries.popitem(last=False)
        return self._lay_out(messages, {**state, "summary_before": place})

    def _note(self, messages: Sequence[AnyMessage], state: ContextState) -> list[AnyMessage]:
        """Return the messages with notes of what is left out and of what stands above."""
        return lay_out(messages, state.get("left_out_before", ""), self._passages)

    def _lay_out(self, messages: Sequence[AnyMessage], state: ContextState) -> list[AnyMessage]:
        """Return the messages as the model sees them, those before the summary's place in its words."""
        place, summary = find_summary_place(messages, state)
        if not summary:
            return self._note(messages, state)
        # with a reply, or it would be one message with what the person says next
        told = HumanMessage("\n".join(filter(None, [summary, tell_done(messages[:place])])))
        return [told, AIMessage(READ), *_question_before(messages, place), *self._note(messages[place:], state)]

    def _find_summary(
        self, noted: Sequence[AnyMessage], made: Sequence[str], starts: Sequence[int], room: int
    ) -> tuple[str, str] | None:
        """Return the place and the summary of the most messages that were summed up before, where those after it fit."""
        for start in reversed(starts):
            if (summary := self._summaries.get(made[start])) and count_tokens(
                [HumanMessage(summary), *noted[start:]]
            ) <= room:
                return noted[start].id or "", summary
        return None

    def _shorten(self, message: AnyMessage) -> AnyMessage:
        if not isinstance(message, ToolMessage) or message.name in SHORT_BY_THEMSELVES:
            return message
        end, length = cut_at(message.text, self._shown), len(message.text)
        if end >= length:
            return message
        note = read_on(message.tool_call_id, end, length)
        return message.model_copy(update={"content": f"{message.text[:end]}\n{note}"})

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
        end = start + cut_at(text[start:], self._shown)
        return text[start:end] + (f"\n{read_on(call_id, end, len(text))}" if end < len(text) else "")

    async def _summary_of(self, before: str, messages: Sequence[AnyMessage], reply: int) -> tuple[str, bool]:
        run, said, why = current_run(), before, "empty"
        for piece in self._pieces_of(messages, reply):
            try:
                # as long as any reply: a model that thinks would else end before its first word
                asked = HumanMessage(f"{run.prompt('summary').text}\n\n{said}\n{piece}")
                summary = (await run.bill.generate([asked], max_tokens=reply)).text.strip()
            except (ComponentError, BudgetExceeded) as error:
                summary, why = "", error.code
            if not summary:
                run.note(f"earlier turns are left out: they could not be summarised ({why})")
                return "[Earlier turns of this conversation are left out here.]", False
            said = f"[The system's summary of what was said before: {summary}]"
        return said, True

    def _pieces_of(self, messages: Sequence[AnyMessage], reply: int) -> list[str]:
        """Return the transcript in pieces of which each fits into the window beside a reply."""
        size, pieces, taken = self._window * 7 // 8 - reply, [""], 0
        for whole in filter(None, map(_line_of, messages)):
            line = whole[: cut_at(whole, size)]
            tokens = count_tokens([HumanMessage(line)])
            if taken + tokens > size:
                pieces, taken = [*pieces, ""], 0
            pieces[-1] += f"{line}\n"
            taken += tokens
        return pieces[-PIECES:]


def find_summary_place(messages: Sequence[AnyMessage], state: ContextState) -> tuple[int, str]:
    """Return where the messages after the summary begin, and the summary."""
    begin, summary = state.get("summary_before", ("", ""))
    place = next((place for place, message in enumerate(messages) if message.id == begin), 0)
    return place, summary if place else ""


def _find_round(noted: Sequence[AnyMessage], begin: int, room: int) -> int:
    """Return where the rounds begin that stay of a turn whose rounds fill half of the room by what was read in them; 0: they do not."""
    rounds = [place for place, it in enumerate(noted) if isinstance(it, AIMessage) and place > begin]
    last = rounds[-1] if rounds else begin
    if count_tokens(noted[begin:last]) <= TURNS * room:
        return 0
    short = (start for start in rounds[1:] if count_tokens(noted[start:last]) <= TURNS / 2 * room)
    return next(short, last)


def _question_before(messages: Sequence[AnyMessage], place: int) -> list[AnyMessage]:
    """Return the question of the turn in whose middle `place` is; none at the beginning of a turn."""
    humans: list[AnyMessage] = [message for message in messages[:place] if isinstance(message, HumanMessage)]
    return [] if not place or isinstance(messages[place], HumanMessage) else humans[-1:]


def _digests(messages: Sequence[AnyMessage]) -> list[str]:
    """Return for each message a digest of the caller and of all messages before it."""
    owner = current_run().principal
    digest, digests = sha256(f"{owner.tenant}\n{owner.subject}".encode()), list[str]()
    for message in messages:
        digests.append(digest.hexdigest())
        digest.update(f"{message.type}\n{message.text}\n".encode("utf-8", "replace"))
    return digests


def _line_of(message: AnyMessage) -> str:
    if isinstance(message, ToolMessage):
        done = artifact_of(message).get("effect")
        return f"Done by {message.name}: {message.text}" if done else f"{message.name} gave: {message.text[:SUMMED]}"
    if is_note(message):
        return message.text
    speaker = "Person" if isinstance(message, HumanMessage) else "Assistant"
    calls = [f"{call['name']}({call['args']})" for call in getattr(message, "tool_calls", ())]
    return f"{speaker}: {' '.join(filter(None, [message.text, *calls]))}" if message.text or calls else ""
