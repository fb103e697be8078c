"""Responses of the vendor routes: an answer as their JSON, or as their events.

Tokens of an agent that streams are sent at once, and what the check finds is appended. Other agents send checked text
only, so their events begin when the answer is ready.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from fastapi.sse import ServerSentEvent
from pydantic import BaseModel

from foundation.errors import BudgetExceeded, Conflict, SixplyError
from foundation.machine.deadline import in_thread_within
from foundation.output.rendering import markdown
from foundation.types import Principal
from orchestration.answers.patterns import check_schema
from orchestration.answers.structured import VALIDATING_S
from orchestration.events import Answer, Event
from orchestration.middleware.client import schema_in
from orchestration.requests import AnswerRequest
from serving.api.answers import begin_answer, check_length
from serving.compat.shapes import footnotes, with_footnotes
from serving.http.errors import Shape, responses, to_json
from serving.http.streams import collect, stream_events
from serving.runtime import Runtime, admit


@dataclass(frozen=True)
class Shaped:
    """Converts an answer to a vendor's format: whole, or as events around its text."""

    whole: Callable[[Answer], BaseModel]
    begin: Callable[[Answer], Iterable[ServerSentEvent]]
    """Events before the text. The answer may have nothing but its ids yet."""
    words: Callable[[str], Iterable[ServerSentEvent]]
    end: Callable[[Answer, str], Iterable[ServerSentEvent]]
    """Events after the text, for the answer and all text that was sent."""
    failed: Callable[[SixplyError], ServerSentEvent]


class Told:
    """The text of one answer that was sent so far."""

    def __init__(self, shaped: Shaped) -> None:
        self._shaped = shaped
        self._text = self._draft = ""
        self._round: int | None = None

    def take(self, event: Event) -> Iterator[ServerSentEvent]:
        if event.answer is not None:
            yield from self._end(event.answer)
        elif event.token is not None and event.answer_id is not None:
            yield from self._words(event)

    def _words(self, event: Event) -> Iterator[ServerSentEvent]:
        if self._round is None:
            yield from self._shaped.begin(answer_yet_to_come(event.answer_id or "", event.thread_id or ""))
        elif event.round != self._round and self._draft:
            yield from self._say("\n\n")
            self._draft = ""
        self._round = event.round
        self._draft += event.token or ""
        yield from self._say(markdown(event.token or ""))

    def _end(self, answer: Answer) -> Iterator[ServerSentEvent]:
        if self._round is None:
            yield from self._shaped.begin(answer)
            remaining = with_footnotes(answer)
        else:
            remaining = self._rest(answer)
        for line in remaining.splitlines(keepends=True):
            yield from self._say(line)
        yield from self._shaped.end(answer, self._text)

    def _rest(self, answer: Answer) -> str:
        """Return the text still to send after a streamed draft."""
        draft, notes = self._draft.strip(), footnotes(answer)
        if answer.text.startswith(draft):
            remaining = markdown(answer.text[len(draft) :])
        else:  # the check has marked or changed something; the notes say what
            remaining = "" if answer.unsupported else f"\n\n{markdown(answer.text)}"
        return f"{remaining}\n\n{notes}" if notes else remaining

    def _say(self, text: str) -> Iterator[ServerSentEvent]:
        self._text += text
        yield from self._shaped.words(text)


def answer_yet_to_come(answer_id: str = "", thread_id: str = "") -> Answer:
    """Return an answer with nothing but its ids."""
    ids = {"answer_id": answer_id, "thread_id": thread_id}
    return Answer(**ids, question="", status="answered", stop_reason="complete", text="")


def route_arguments(kind: type[BaseModel], shape: Shape, described: str) -> dict[str, Any]:
    """Return the arguments of a route's decorator."""
    streamed = {"description": described, "content": {"text/event-stream": {"itemSchema": {"type": "object"}}}}
    return {
        "response_model": kind,
        "responses": {200: streamed, **responses(404, 409, 504, shape=shape)},
        "dependencies": [admit("answers")],
    }


async def check_request(wanted: AnswerRequest, runtime: Runtime) -> None:
    """Raises InvalidRequest: the question is too long, or its format is no JSON schema that can be enforced."""
    check_length(wanted.question, runtime.system.settings.orchestration.answers)
    if wanted.client.response_format and (schema := schema_in(wanted.client.response_format)):
        await in_thread_within(VALIDATING_S, check_schema, schema)


async def reply(
    wanted: AnswerRequest, shaped: Shaped, request: Request, caller: Principal, runtime: Runtime, *, stream: bool
) -> Response:
    """Answer in the vendor's format. Raises as `begin_answer` and `collect`."""
    await check_request(wanted, runtime)
    at_work = _demand_json(await begin_answer(runtime, wanted, caller, request), wanted)
    if stream:
        return stream_events(at_work, runtime.lifecycle, Told(shaped).take, shaped.failed)
    answer = await collect(at_work, runtime.lifecycle, request)
    return Response(shaped.whole(answer).model_dump_json(), media_type=JSONResponse.media_type)


async def _demand_json(events: AsyncIterator[Event], wanted: AnswerRequest) -> AsyncGenerator[Event]:
    """Yield the events. Raises the error of `missing_json`: JSON was requested and the answer is none."""
    async with aclosing(cast("AsyncGenerator[Event]", events)) as followed:
        async for event in followed:
            if event.answer and (error := missing_json(event.answer, wanted.client.response_format)):
                raise error
            yield event


def missing_json(answer: Answer, response_format: Any) -> SixplyError | None:
    """Return the error for an answer without the requested JSON: an action waits for approval, or the budget was too
    small. `None` where nothing is missing."""
    if not response_format or answer.is_json or answer.calls:
        return None
    text = f"There is no JSON to give: {answer.text}"
    return Conflict(text) if answer.status == "waiting" else BudgetExceeded(text, limit="request")


def sse(kind: str | None, content: dict[str, Any]) -> ServerSentEvent:
    """Return an event with the name `kind`, or without a name."""
    return ServerSentEvent(raw_data=to_json(content).decode(), event=kind)
