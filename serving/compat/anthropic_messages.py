"""Anthropic's shape over our answers: its `messages`, so that its clients need another `base_url` and nothing else.

Citations are Anthropic's own, as characters of a
document.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.sse import ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field

from foundation.errors import SixplyError
from orchestration.contract import Answer, AnswerRequest
from serving.access.identity import Asker
from serving.api.schemas import Text
from serving.compat.shapes import ChatMetadata, TextPart, extra_of, refuse_unsupported, request_from, with_footnotes
from serving.compat.streaming import Shaped, reply, route_arguments, sse
from serving.http.errors import anthropic_problem
from serving.runtime import Running

router = APIRouter(prefix="/v1", tags=["anthropic"])

TUNING = frozenset(
    {"cache_control", "max_tokens", "output_config", "service_tier", "system", "temperature", "top_k", "top_p"}
)
"""Accepted without effect."""
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "stop_sequences": ([],),
    "thinking": ({"type": "disabled"},),
    "tools": ([],),
    "tool_choice": ({"type": "auto"},),
}


class MessagePart(BaseModel):
    """What clients send back of earlier messages; it is not read."""

    type: Literal["redacted_thinking", "thinking", "tool_result", "tool_use"]


class MessageParam(BaseModel):
    role: Literal["user", "assistant"]
    content: Text | Annotated[list[TextPart | MessagePart], Field(fail_fast=True)]

    @property
    def speaker(self) -> str:
        parts = () if isinstance(self.content, str) else self.content
        return "tool" if any(part.type == "tool_result" for part in parts) else self.role

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))


class MessagesRequest(BaseModel):
    """Parameters that are not listed here are refused when they ask for something; see `docs/api.md`."""

    model_config = ConfigDict(
        extra="allow",
        frozen=True,
        json_schema_extra={
            "examples": [
                {"model": "sixply", "max_tokens": 1024, "messages": [{"role": "user", "content": "When does it ship?"}]}
            ]
        },
    )

    model: Text
    messages: list[MessageParam] = Field(fail_fast=True, min_length=1)
    stream: bool = False
    metadata: ChatMetadata | None = None


class MessageContent(BaseModel):
    type: Literal["text"] = "text"
    text: str
    citations: list[dict[str, Any]] | None
    """A `char_location` for each source."""


class MessageUsage(BaseModel):
    """`null` where the provider did not say, which is not zero."""

    input_tokens: int | None
    output_tokens: int | None
    cache_read_input_tokens: int | None
    cache_creation_input_tokens: None = None


class MessageReply(BaseModel):
    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[MessageContent]
    stop_reason: Literal["end_turn"] = "end_turn"
    stop_sequence: None = None
    usage: MessageUsage
    sixply: dict[str, Any]
    """What Anthropic's shape has no place for: status, path, cost, trace id."""


@router.post(
    "/messages",
    **route_arguments(MessageReply, "anthropic", "The message, or with `stream` the events of its making."),
)
async def message(body: MessagesRequest, request: Request, caller: Asker, runtime: Running) -> Response:
    """Answer the last user message."""
    shaped = Shaped(
        lambda answer: _reply(answer, body),
        lambda answer: _begin(_reply(answer, body)),
        _words,
        lambda answer, _: _end(_reply(answer, body)),
        _error_event,
    )
    return await reply(_request_of(body), shaped, request, caller, runtime, stream=body.stream)


def _request_of(body: MessagesRequest) -> AnswerRequest:
    refuse_unsupported(body.model_extra or {}, tuning=TUNING, neutral=NEUTRAL)
    return request_from(body.model, body.messages, body.metadata.thread_id if body.metadata else None)


def _reply(answer: Answer, body: MessagesRequest) -> MessageReply:
    usage = answer.usage
    return MessageReply(
        id=f"msg_{answer.answer_id}",
        model=body.model,
        content=[MessageContent(text=with_footnotes(answer), citations=list(_citations(answer)) or None)],
        usage=MessageUsage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_input_tokens=usage.cached_input_tokens,
        ),
        sixply=extra_of(answer),
    )


def _citations(answer: Answer) -> Iterator[dict[str, Any]]:
    for cited in answer.citations:
        yield {
            "type": "char_location",
            "cited_text": cited.quote,
            "document_index": cited.marker - 1,
            "document_title": cited.title or cited.uri,
            "file_id": cited.document_id,
            "start_char_index": cited.start,
            "end_char_index": cited.end,
        }


def _begin(reply: MessageReply) -> Iterator[ServerSentEvent]:
    """The events of a message, in the order in which Anthropic sends them: those before its text."""
    whole = reply.model_dump(mode="json")
    (block,) = whole["content"]
    yield _sse("message_start", {"message": whole | {"content": [], "stop_reason": None}})
    yield _sse("content_block_start", {"index": 0, "content_block": block | {"text": "", "citations": None}})


def _words(text: str) -> Iterator[ServerSentEvent]:
    yield _sse("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": text}})


def _end(reply: MessageReply) -> Iterator[ServerSentEvent]:
    """The events behind its text."""
    whole = reply.model_dump(mode="json")
    (block,) = whole["content"]
    for citation in block["citations"] or ():
        yield _sse("content_block_delta", {"index": 0, "delta": {"type": "citations_delta", "citation": citation}})
    yield _sse("content_block_stop", {"index": 0})
    yield _sse(
        "message_delta",
        {"delta": {"stop_reason": whole["stop_reason"], "stop_sequence": None}, "usage": whole["usage"]},
    )
    yield _sse("message_stop", {})


def _error_event(error: SixplyError) -> ServerSentEvent:
    return sse("error", anthropic_problem(error))


def _sse(kind: str, content: dict[str, Any]) -> ServerSentEvent:
    return sse(kind, {"type": kind, **content})
