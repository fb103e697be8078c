"""What the routes in the shapes of other vendors have in common: an answer as their JSON, or as their events.

Only checked text is sent, so the events begin when the answer is ready.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from fastapi.sse import ServerSentEvent
from pydantic import BaseModel

from foundation.errors import SixplyError
from foundation.types import Principal
from orchestration.contract import Answer, AnswerRequest, Event
from serving.api.answers import begin_answer, check_length
from serving.http.errors import Shape, responses, to_json
from serving.http.streams import EventStream, collect, explain, follow
from serving.runtime import Runtime, admitted


@dataclass(frozen=True)
class Shaped:
    """An answer in another vendor's words."""

    whole: Callable[[Answer], BaseModel]
    events: Callable[[Answer], Iterable[ServerSentEvent]]
    failed: Callable[[SixplyError], ServerSentEvent]


def route_arguments(kind: type[BaseModel], shape: Shape, described: str) -> dict[str, Any]:
    """The arguments of a route's decorator."""
    streamed = {"description": described, "content": {"text/event-stream": {"itemSchema": {"type": "object"}}}}
    return {
        "response_model": kind,
        "responses": {200: streamed, **responses(404, 409, 504, shape=shape)},
        "dependencies": [admitted("answers")],
    }


async def reply(
    wanted: AnswerRequest, shaped: Shaped, request: Request, caller: Principal, runtime: Runtime, *, stream: bool
) -> Response:
    """Answer, and say it in that shape. Raises as `begin_answer` and `collect` do."""
    check_length(wanted.question, runtime.system.settings.orchestration.answers)
    at_work = await begin_answer(runtime, wanted, caller, request)
    if stream:
        return EventStream(_events(runtime, shaped, at_work))
    answer = await collect(at_work, runtime.lifecycle, request)
    return Response(shaped.whole(answer).model_dump_json(), media_type=JSONResponse.media_type)


def sse(kind: str | None, content: dict[str, Any]) -> ServerSentEvent:
    """An event of that name, or without one."""
    return ServerSentEvent(raw_data=to_json(content).decode(), event=kind)


async def _events(
    runtime: Runtime, shaped: Shaped, at_work: AsyncIterator[Event]
) -> AsyncGenerator[ServerSentEvent | None]:
    try:
        async with aclosing(follow(at_work, runtime.lifecycle)) as events:
            async for event in events:
                if event is None:
                    yield None
                elif event.answer is not None:
                    for sent in shaped.events(event.answer):
                        yield sent
    except Exception as error:  # the response has begun: the stream itself must say how it ended
        yield shaped.failed(explain(error))
