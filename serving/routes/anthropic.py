"""Anthropic's shape over our answers: its `messages`, so that its clients need another `base_url` and nothing else.

Only checked text is sent, so the events begin when the answer is ready. Citations are Anthropic's own, as characters of a
document.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.sse import ServerSentEvent

from orchestration.contract import Answer, AnswerRequest, Event
from serving.errors import anthropic_problem, responses, to_json
from serving.identity import Asker
from serving.routes.answers import begun, check_length
from serving.runtime import Running, Runtime, admitted
from serving.schemas import MessageContent, MessageReply, MessagesRequest, MessageUsage
from serving.shapes import asked, extra_of, refuse_unsupported, with_footnotes
from serving.streams import EventStream, collect, explained, follow

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


@router.post(
    "/messages",
    response_model=MessageReply,
    responses={
        200: {
            "description": "The message, or with `stream` the events of its making.",
            "content": {"text/event-stream": {"itemSchema": {"type": "object"}}},
        },
        **responses(404, 409, 504, shape="anthropic"),
    },
    dependencies=[admitted("answers")],
)
async def message(body: MessagesRequest, request: Request, caller: Asker, runtime: Running) -> Response:
    """Answer the last user message."""
    question = _asked(body)
    check_length(question.question, runtime.system.settings.orchestration.answers)
    at_work = await begun(runtime, question, caller, request)
    if body.stream:
        return EventStream(_events(runtime, body, at_work))
    answer = await collect(at_work, runtime.lifecycle, request)
    return Response(_reply(answer, body).model_dump_json(), media_type="application/json")


def _asked(body: MessagesRequest) -> AnswerRequest:
    refuse_unsupported(body.model_extra or {}, tuning=TUNING, neutral=NEUTRAL)
    return asked(body.model, body.messages, body.metadata.thread_id if body.metadata else None)


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


async def _events(
    runtime: Runtime, body: MessagesRequest, at_work: AsyncIterator[Event]
) -> AsyncGenerator[ServerSentEvent | None]:
    try:
        async with aclosing(follow(at_work, runtime.lifecycle)) as events:
            async for event in events:
                if event is None:
                    yield None
                elif event.answer is not None:
                    for kind, content in _told(_reply(event.answer, body)):
                        yield _sse(kind, {"type": kind, **content})
    except Exception as error:  # the response has begun: the stream itself must say how it ended
        yield _sse("error", anthropic_problem(explained(error)))


def _told(reply: MessageReply) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of a message, in the order in which Anthropic sends them."""
    whole = reply.model_dump(mode="json")
    (block,) = whole["content"]
    yield "message_start", {"message": whole | {"content": [], "stop_reason": None}}
    yield "content_block_start", {"index": 0, "content_block": block | {"text": "", "citations": None}}
    for line in block["text"].splitlines(keepends=True):
        yield "content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": line}}
    for citation in block["citations"] or ():
        yield "content_block_delta", {"index": 0, "delta": {"type": "citations_delta", "citation": citation}}
    yield "content_block_stop", {"index": 0}
    yield (
        "message_delta",
        {"delta": {"stop_reason": whole["stop_reason"], "stop_sequence": None}, "usage": whole["usage"]},
    )
    yield "message_stop", {}


def _sse(kind: str, content: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(raw_data=to_json(content).decode(), event=kind)
