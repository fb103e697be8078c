"""The route that answers questions."""

from collections.abc import AsyncIterator
from datetime import date
from typing import Any, Literal, Protocol

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from fastapi.sse import format_sse_event
from pydantic import ConfigDict, Field

from foundation.types import Principal
from models.settings import ModelName
from orchestration.events import Answer, Event
from orchestration.requests import AnswerRequest
from orchestration.run.answering import error_event
from orchestration.settings import AnswerSettings
from serving.access.identity import Asker
from serving.api.schemas import Identifier, Question, RequestBody
from serving.http.errors import QuestionTooLong, responses
from serving.http.streams import collect, stream_events
from serving.runtime import Running, Runtime, admit

router = APIRouter(prefix="/v1", tags=["answers"])


class AskRequest(RequestBody):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"question": "How long is the warranty of the QP-5?"},
                {"question": "When does it ship?", "compose": "extractive", "max_usd": 0.01},
                {"question": "How long did the warranty last?", "as_of": "2025-01-31"},
            ]
        }
    )

    question: Question
    thread_id: Identifier | None = Field(default=None, description="Continues a conversation of yours.")
    compose: Literal["auto", "extractive", "generative"] | None = None
    model: ModelName | Literal[""] = Field(
        default="", description="One of `[models.choices]`; the usual one if absent."
    )
    max_usd: float | None = Field(default=None, ge=0, description="Stop before this answer costs more.")
    as_of: date | None = Field(default=None, description="From the versions in force on that day; today if absent.")


def _stream_response() -> dict[str, Any]:
    """Return OpenAPI 3.2's description of the stream. The parts of an event are the answer's own schemas."""
    schema = Event.model_json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    schema.pop("$defs")
    return {
        "content": {"text/event-stream": {"itemSchema": schema}},
        "description": "The answer, or its making as a stream.",
    }


@router.post(
    "/answers",
    response_model=Answer,
    responses={200: _stream_response(), **responses(404, 409, 504)},
    dependencies=[admit("answers")],
)
async def ask(body: AskRequest, request: Request, caller: Asker, runtime: Running) -> Response:
    """Answer a question: as JSON, or with `Accept: text/event-stream` as events.

    Events are `step`, `token`, from agents with tools also `tool`, `approval`, `citation` and `check`, then `answer`
    (the whole answer) or `error`. Tokens are a draft; answers are checked. Disconnecting cancels the work.
    """
    check_length(body.question, runtime.system.settings.orchestration.answers)
    streamed = "text/event-stream" in request.headers.get("accept", "")
    wanted = AnswerRequest(**body.model_dump(), watched=streamed)
    at_work = await begin_answer(runtime, wanted, caller, request)
    if streamed:
        return stream_events(
            at_work, runtime.lifecycle, lambda event: [_sse(event)], lambda error: _sse(error_event(error))
        )
    return as_json(await collect(at_work, runtime.lifecycle, request))


class Attempt(Protocol):
    """What middleware leaves at `request.state.attempt`: a request that may have been at work before."""

    def resume(self, wanted: AnswerRequest, /) -> AnswerRequest:
        """Return the request as it goes on from there."""
        ...

    def follow(self, events: AsyncIterator[Event], /) -> AsyncIterator[Event]:
        """Yield the events of its answer."""
        ...


async def begin_answer(
    runtime: Runtime, wanted: AnswerRequest, caller: Principal, request: Request
) -> AsyncIterator[Event]:
    """Start the agent, from where an earlier attempt stopped if there was one. Raises QuotaExceeded: no quota is left; the
    agent would raise it too, but after a stream has begun.
    """
    await runtime.system.serving.quotas.demand_left(caller)
    attempt: Attempt | None = getattr(request.state, "attempt", None)
    events = runtime.system.agent.stream(attempt.resume(wanted) if attempt else wanted, caller)
    followed: AsyncIterator[Event] = attempt.follow(events) if attempt else events
    return followed


def check_length(question: str, settings: AnswerSettings) -> None:
    """Raises QuestionTooLong: the question is longer than the configured maximum."""
    limit = settings.max_question_characters
    if len(question) > limit:
        raise QuestionTooLong(
            f"The question has {len(question):,} characters; at most {limit:,} are taken. Shorten it."
        )


def as_json(answer: Answer) -> Response:
    return Response(answer.model_dump_json(), media_type=JSONResponse.media_type)


def _sse(event: Event) -> bytes:
    return format_sse_event(data_str=event.model_dump_json(exclude_none=True), event=event.kind)
