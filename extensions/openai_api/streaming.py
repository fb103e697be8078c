"""Replies of the vendor routes: an answer as the vendor's JSON, or as the vendor's events."""

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing
from typing import Any, cast

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from fastapi.sse import format_sse_event

import serving.http.errors as problems
from extensions.openai_api.approvals import WAITING
from extensions.openai_api.client import schema_in
from extensions.openai_api.vendors import VendorRequest, footnotes, with_footnotes
from extensions.structured.generating import VALIDATING_S
from foundation.errors import BudgetExceeded, Conflict, SixplyError
from foundation.machine.deadline import in_thread_within
from foundation.text.patterns import check_schema
from foundation.types import Principal
from orchestration.events import Answer, Event
from orchestration.language.guard import REMOVED
from orchestration.requests import AnswerRequest
from serving.api.answers import begin_answer, check_length
from serving.http.streams import collect, stream_events, text_for_clients
from serving.runtime import Runtime, admit

# A word without its address, of which a stream may have shown the beginning
_MARKED = re.compile(rf"(?:(?<!\S)|(?<={re.escape(REMOVED)}))\S*?{re.escape(REMOVED)}")


class Shape(ABC):
    """One answer in a vendor's format: whole, or as events around its text."""

    takes_refusals = False
    """Whether the format has a place for a text where JSON was requested and there is none yet."""

    def __init__(self, response_format: Any = None) -> None:
        self._text = self._draft = ""
        self._round: int | None = None
        self._response_format = response_format

    @abstractmethod
    def whole(self, answer: Answer) -> dict[str, Any]:
        """Return the reply."""

    @abstractmethod
    def begin(self, answer: Answer) -> Iterable[bytes]:
        """Yield the events before the text. The answer may have nothing but its ids yet."""

    @abstractmethod
    def words(self, text: str) -> Iterable[bytes]:
        """Yield the events of a piece of the text."""

    def refuse(self, text: str) -> Iterable[bytes]:
        """Yield the events of a piece of a text that stands for JSON."""
        return self.words(text)

    @abstractmethod
    def end(self, answer: Answer, text: str) -> Iterable[bytes]:
        """Yield the events after the text, for the answer and all text that was sent."""

    @abstractmethod
    def error_event(self, error: SixplyError) -> bytes:
        """Return the last event of a stream that failed."""

    def events_of(self, event: Event) -> Iterator[bytes]:
        """Yield the vendor's events for one of ours."""
        if event.answer is not None:
            yield from self._finish(event.answer)
        elif event.token is not None and event.answer_id is not None:
            if self._round is None:
                yield from self.begin(answer_yet_to_come(event.answer_id, event.thread_id or ""))
            elif event.round != self._round and self._draft:
                yield from self._send("\n\n")
                self._draft = ""
            self._round = event.round
            self._draft += event.token
            yield from self._send(event.token)

    def refuses(self, answer: Answer) -> bool:
        """Whether an action waits, so that there is no JSON yet, and the format can say so."""
        is_missing = bool(self._response_format) and not (answer.is_json or answer.calls)
        return self.takes_refusals and is_missing and answer.status == "waiting"

    def _finish(self, answer: Answer) -> Iterator[bytes]:
        if self._round is None:  # an agent that sends checked text only
            yield from self.begin(answer)
            remaining = with_footnotes(answer)
        else:
            remaining = self._remaining(answer)
        for line in remaining.splitlines(keepends=True):
            yield from self._send(line, self.refuse if self.refuses(answer) else self.words)
        yield from self.end(answer, self._text)

    def _remaining(self, answer: Answer) -> str:
        text, draft, notes = text_for_clients(answer), self._draft.strip(), footnotes(answer)
        if REMOVED in draft:
            text, draft = (_MARKED.sub(REMOVED, it) for it in (text, draft))
        # streamed text cannot be taken back: the notes say what the check has marked
        new = "" if answer.unsupported else f"\n\n{text}"
        remaining = text[len(draft) :] if text.startswith(draft) else new
        return f"{remaining}\n\n{notes}" if notes else remaining

    def _send(self, text: str, say: Callable[[str], Iterable[bytes]] | None = None) -> Iterator[bytes]:
        self._text += text
        yield from (say or self.words)(text)


def answer_yet_to_come(answer_id: str = "", thread_id: str = "") -> Answer:
    """Return an answer with nothing but its ids."""
    ids = {"answer_id": answer_id, "thread_id": thread_id}
    return Answer(**ids, question="", status="answered", stop_reason="complete", text="")


def route_arguments(described: str) -> dict[str, Any]:
    """Return the arguments of a route's decorator. The reply's fields are the vendor's, and documented there."""
    streamed = {"description": described, "content": {"text/event-stream": {"itemSchema": {"type": "object"}}}}
    return {
        "response_model": dict[str, Any],
        "responses": {200: streamed, **problems.responses(404, 409, 504, vendor=True)},
        "dependencies": [admit("answers")],
    }


async def check_request(wanted: AnswerRequest, runtime: Runtime) -> None:
    """Raises InvalidRequest: the question is too long, or its format is no JSON schema that can be enforced."""
    check_length(wanted.question, runtime.system.settings.orchestration.answers)
    if wanted.client.response_format and (schema := schema_in(wanted.client.response_format)):
        await in_thread_within(VALIDATING_S, check_schema, schema)


async def reply(
    body: VendorRequest, wanted: AnswerRequest, shape: Shape, request: Request, caller: Principal, *, runtime: Runtime
) -> Response:
    """Answer in the vendor's format. Raises as `begin_answer` and `collect`."""
    await check_request(wanted, runtime)
    wanted = wanted.model_copy(update={"forget": body.store is False, "watched": body.stream})
    at_work = _demand_json(await begin_answer(runtime, wanted, caller, request), wanted, shape)
    return await send(body, at_work, shape, request, runtime)


async def send(
    body: VendorRequest, at_work: AsyncIterator[Event], shape: Shape, request: Request, runtime: Runtime
) -> Response:
    """Return the answer of these events in the vendor's format. Raises as `collect`."""
    if body.stream:
        return stream_events(at_work, runtime.lifecycle, shape.events_of, shape.error_event)
    return as_json(shape.whole(await collect(at_work, runtime.lifecycle, request)))


def as_json(content: dict[str, Any]) -> Response:
    return Response(problems.to_json(content), media_type=JSONResponse.media_type)


async def _demand_json(events: AsyncIterator[Event], wanted: AnswerRequest, shape: Shape) -> AsyncGenerator[Event]:
    """Yield the events. Raises the error of `missing_json`: JSON was requested, and the answer is neither that nor refuses it."""
    async with aclosing(cast("AsyncGenerator[Event]", events)) as followed:
        async for event in followed:
            answer = event.answer if event.answer and not shape.refuses(event.answer) else None
            if answer and (error := missing_json(answer, wanted.client.response_format)):
                raise error
            yield event


def missing_json(answer: Answer, response_format: Any) -> SixplyError | None:
    """Return the error for an answer without the requested JSON, `None` where nothing is missing."""
    if not response_format or answer.is_json or answer.calls:
        return None
    # an action waits for approval, or the budget was too small
    text = f"There is no JSON to give: {answer.text}"
    if answer.approval and answer.status == "waiting":
        return Conflict(f"{text} {WAITING.format(answer.approval.approval_id)}")
    return BudgetExceeded(text, limit="request")


def sse(kind: str | None, content: dict[str, Any]) -> bytes:
    """Return an event with the name `kind`, or without a name."""
    return format_sse_event(data_str=problems.to_json(content).decode(), event=kind)
