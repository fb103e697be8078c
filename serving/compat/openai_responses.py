"""OpenAI's Responses API. `previous_response_id` continues a conversation."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request, Response
from fastapi.sse import ServerSentEvent
from pydantic import BaseModel

from foundation.errors import InvalidRequest, NotFound, SixplyError
from foundation.output.rendering import markdown
from foundation.types import Principal
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from serving.access.identity import Asker
from serving.api.schemas import Identifier
from serving.compat.conversation import FunctionDefinition
from serving.compat.openai_chat import NEUTRAL, TUNING
from serving.compat.responses_input import FunctionCall, ResponsesRequest
from serving.compat.shapes import extra_of, footnotes, request_of, with_footnotes
from serving.compat.streaming import (
    Shaped,
    answer_yet_to_come,
    check_request,
    missing_json,
    reply,
    route_arguments,
    sse,
)
from serving.http.errors import UnsupportedParameter, openai_problem, responses
from serving.jobs.store import Job, JobItem
from serving.runtime import Running, Runtime, admit

router = APIRouter(prefix="/v1", tags=["openai"])

HERE = frozenset({"max_output_tokens", "prompt_cache_key", "reasoning"})
"""Parameters accepted without effect, besides those of chat completions."""
ASKS_NOTHING: dict[str, tuple[Any, ...]] = NEUTRAL | {
    "include": ([],),
    "truncation": ("disabled", "auto"),
}
PREFIX = "resp_"
IN_BACKGROUND = "resp_job_"
"""Prefix of the id of a background response, before the id of its job."""
ResponseId = Annotated[Identifier, Path(examples=["resp_job_job-3"])]
Status = Literal["queued", "in_progress", "completed", "failed", "cancelled"]


class ResponseContent(BaseModel):
    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[dict[str, Any]]
    """A `file_citation` for each marker in the text."""
    logprobs: list[Any] = []


class ResponseOutput(BaseModel):
    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    status: Literal["completed"] = "completed"
    content: list[ResponseContent]


class ResponseCall(FunctionCall):
    id: str
    status: Literal["completed"] = "completed"


class InputTokenDetails(BaseModel):
    cached_tokens: int
    cache_write_tokens: int = 0


class OutputTokenDetails(BaseModel):
    reasoning_tokens: int


class ResponseUsage(BaseModel):
    input_tokens: int
    input_tokens_details: InputTokenDetails
    output_tokens: int
    output_tokens_details: OutputTokenDetails
    total_tokens: int


class ResponseReply(BaseModel):
    """OpenAI's `response` object. Fields of features that are not supported have constant values."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: Status = "completed"
    model: str
    output: list[ResponseOutput | ResponseCall]
    usage: ResponseUsage | None
    """`null` where the provider reported no usage."""
    previous_response_id: str | None
    metadata: dict[str, Any]
    error: dict[str, str] | None = None
    incomplete_details: None = None
    instructions: str | None = None
    parallel_tool_calls: bool
    tool_choice: Any
    tools: list[Any]
    text: dict[str, Any]
    completed_at: int | None
    background: bool = False
    truncation: Literal["disabled"] = "disabled"
    store: Literal[True] = True
    service_tier: Literal["default"] = "default"
    temperature: float = 1.0
    """This and the next ones: the value that was sent, or OpenAI's default. The configuration decides them."""
    top_p: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    top_logprobs: Literal[0] = 0
    max_output_tokens: int | None = None
    max_tool_calls: None = None
    reasoning: dict[str, Any] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    sixply: dict[str, Any]
    """Fields without a place in OpenAI's shape: status, path, cost, trace id."""


@router.post(
    "/responses",
    **route_arguments(ResponseReply, "openai", "The response, or with `stream` the events of its making."),
)
async def respond(body: ResponsesRequest, request: Request, caller: Asker, runtime: Running) -> Response:
    """Answer the input: a text, or the last user message of a list."""

    def whole(answer: Answer) -> ResponseReply:
        return _reply(answer, body, runtime)

    numbered = Numbered(whole)
    shaped = Shaped(whole, numbered.begin, numbered.words, numbered.end, _error_event)
    wanted = await _request_of(body, caller, runtime)
    if body.background:
        return Response((await _begin(body, wanted, caller, runtime)).model_dump_json(), media_type="application/json")
    return await reply(wanted, shaped, request, caller, runtime, stream=body.stream)


@router.get("/responses/{response_id}", responses=responses(404, shape="openai"), dependencies=[admit("reads")])
async def retrieve(response_id: ResponseId, caller: Asker, runtime: Running, *, stream: bool = False) -> ResponseReply:
    """Return the status of a `background` response, and its output once it is completed."""
    if stream:
        raise UnsupportedParameter(
            "A response is not streamed later. Ask for it again until it has ended.", param="stream"
        )
    return await _stand_of(await _find_job(response_id, caller, runtime), runtime)


@router.post("/responses/{response_id}/cancel", responses=responses(404, shape="openai"), dependencies=[admit("reads")])
async def cancel(response_id: ResponseId, caller: Asker, runtime: Running) -> ResponseReply:
    """Cancel a background response. One that has ended does not change."""
    job = await _find_job(response_id, caller, runtime)
    return await _stand_of(await runtime.jobs.cancel(job.job_id, caller), runtime)


async def _begin(body: ResponsesRequest, wanted: AnswerRequest, caller: Principal, runtime: Runtime) -> ResponseReply:
    """Start a job for the response. It is on disk before it is acknowledged, and survives a restart."""
    if body.stream:
        raise UnsupportedParameter(
            '"stream" does not go with "background" here. Leave one of them out.', param="stream"
        )
    if (body.model_extra or {}).get("store") is False:
        raise UnsupportedParameter(
            'What is made in the "background" is kept for you. Leave "store" out.', param="store"
        )
    await check_request(wanted, runtime)
    await runtime.demand_left(caller)
    kept = body.model_dump(mode="json", by_alias=True) | {"input": wanted.question}
    given = {"request": wanted.model_dump(mode="json"), "body": kept}
    return await _stand_of(await runtime.jobs.begin("responses", caller, [(wanted.question, given)]), runtime)


async def _find_job(response_id: str, caller: Principal, runtime: Runtime) -> Job:
    """Raises NotFound: the caller has no such background response."""
    if response_id.startswith(IN_BACKGROUND):
        with suppress(NotFound):
            job: Job = await runtime.jobs.store.get(response_id.removeprefix(IN_BACKGROUND), caller)
            if job.kind == "responses":
                return job
    raise NotFound(
        f'No response "{response_id}" of yours was begun with "background". Conversations are read at '
        "/v1/conversations/(thread_id)."
    )


async def _stand_of(job: Job, runtime: Runtime) -> ResponseReply:
    """Return the current state of a job as a response."""
    (item,) = await runtime.jobs.store.items(job.job_id)
    body = ResponsesRequest.model_validate(item.given["body"])
    answer = Answer.model_validate(item.outcome) if item.status == "done" else None
    wanted = body.text and body.text.format and body.text.format.as_chat()
    status, error = _status_of(job, item, missing_json(answer, wanted) if answer else None)
    nothing_yet: dict[str, Any] = {} if status == "completed" else {"output": [], "usage": None, "sixply": {}}
    return _reply(answer or answer_yet_to_come(), body, runtime).model_copy(
        update={
            "id": f"{IN_BACKGROUND}{job.job_id}",
            "created_at": int(job.begun_at.timestamp()),
            "completed_at": None,
            "status": status,
            "error": error,
            "background": True,
            **nothing_yet,
        }
    )


def _status_of(job: Job, item: JobItem, missing: SixplyError | None) -> tuple[Status, dict[str, str] | None]:
    if missing:
        return "failed", {"code": missing.code, "message": missing.public}
    if item.status == "failed" and item.outcome:
        return "failed", {"code": item.outcome["code"], "message": item.outcome["detail"]}
    if item.status == "done":
        return "completed", None
    if job.status == "revoked":
        return "failed", {"code": "forbidden", "message": "The credential that began it counts no more."}
    if job.status == "cancelled":
        return "cancelled", None
    return ("in_progress" if item.attempts else "queued"), None


async def _request_of(body: ResponsesRequest, caller: Principal, runtime: Runtime) -> AnswerRequest:
    named = {
        "previous_response_id": await _thread_of(body.previous_response_id, caller, runtime),
        "conversation": body.conversation if isinstance(body.conversation, str | None) else body.conversation.id,
        "metadata.thread_id": body.metadata.thread_id if body.metadata else None,
    }
    threads = {name: thread for name, thread in named.items() if thread is not None}
    if len(set(threads.values())) > 1:
        raise InvalidRequest(f"{' and '.join(threads)} name different conversations. Send one of them.")
    return request_of(
        body,
        [item.as_message for item in body.messages],
        caller,
        runtime,
        tools=[FunctionDefinition(**tool.model_dump(exclude={"type"})) for tool in body.tools],
        response_format=body.text.format if body.text else None,
        format_name="text",
        tuning=TUNING | HERE,
        neutral=ASKS_NOTHING,
        thread_id=next(iter(threads.values()), None),
        instructions=body.instructions or "",
        tool_choice=body.tool_choice,
        parallel=body.parallel_tool_calls is not False,
    )


async def _thread_of(response_id: str | None, caller: Principal, runtime: Runtime) -> str | None:
    """Return the response's conversation. It is part of the id, except for a background response."""
    if response_id is None:
        return None
    if response_id.startswith(IN_BACKGROUND):
        job = await _find_job(response_id, caller, runtime)
        (item,) = await runtime.jobs.store.items(job.job_id)
        if item.status != "done":
            raise InvalidRequest(f'The response "{response_id}" is not completed. Wait for it, and then go on from it.')
        return str((item.outcome or {})["thread_id"])
    thread_id, dot, answer_id = response_id.removeprefix(PREFIX).rpartition(".")
    if not (response_id.startswith(PREFIX) and dot and thread_id and answer_id):
        raise NotFound(f'No response "{response_id}". Send the id of one that this API gave.')
    return thread_id


REPEATED = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "max_output_tokens", "reasoning", "user",
            "safety_identifier", "prompt_cache_key")  # fmt: skip
"""Parameters without effect that the reply repeats."""


def _reply(answer: Answer, body: ResponsesRequest, runtime: Runtime) -> ResponseReply:
    now, sent = int(runtime.system.context.clock.now().timestamp()), body.model_extra or {}
    repeated = {name: sent[name] for name in REPEATED if sent.get(name) is not None}
    return ResponseReply(
        id=f"{PREFIX}{answer.thread_id}.{answer.answer_id}",
        created_at=now,
        completed_at=now,
        model=body.model,
        output=[*_messages(answer), *_calls(answer)],
        usage=_usage(answer),
        instructions=body.instructions,
        parallel_tool_calls=body.parallel_tool_calls is not False,
        previous_response_id=body.previous_response_id,
        tool_choice=body.tool_choice or "auto",
        tools=[tool.model_dump() for tool in body.tools],
        text={"format": _format_of(body)},
        metadata=body.metadata.model_dump(exclude_none=True) if body.metadata else {},
        sixply=extra_of(answer),
        **repeated,
    )


def _format_of(body: ResponsesRequest) -> dict[str, Any]:
    wanted = body.text.format.as_chat() if body.text and body.text.format else None
    return {"type": (wanted or {}).get("type", "text"), **(wanted or {}).get("json_schema", {})}


def _messages(answer: Answer) -> Iterator[ResponseOutput]:
    text = with_footnotes(answer)
    if text or not answer.calls:
        content = ResponseContent(text=text, annotations=list(_annotations(answer, markdown(answer.text))))
        yield ResponseOutput(id=f"msg_{answer.answer_id}", content=[content])


def _calls(answer: Answer) -> Iterator[ResponseCall]:
    for call in answer.calls:
        yield ResponseCall(
            id=f"fc_{call.call_id}", call_id=call.call_id, name=call.tool, arguments=json.dumps(call.arguments)
        )


def _annotations(answer: Answer, text: str) -> Iterator[dict[str, Any]]:
    """Yield a file citation for each marker in the text, with the marker's offset."""
    for cited in answer.citations:
        marker, at = f"[{cited.marker}]", -1
        while (at := text.find(marker, at + 1)) >= 0:
            yield {"type": "file_citation", "file_id": cited.document_id, "filename": cited.uri, "index": at}


def _usage(answer: Answer) -> ResponseUsage | None:
    usage = answer.usage
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    return ResponseUsage(
        input_tokens=usage.input_tokens,
        input_tokens_details=InputTokenDetails(cached_tokens=usage.cached_input_tokens or 0),
        output_tokens=usage.output_tokens,
        output_tokens_details=OutputTokenDetails(reasoning_tokens=usage.reasoning_tokens or 0),
        total_tokens=usage.input_tokens + usage.output_tokens,
    )


def _error_event(error: SixplyError) -> ServerSentEvent:
    problem = openai_problem(error)  # OpenAI's client raises because of the member "error"
    members = {name: problem["error"][name] for name in ("code", "message", "param")}
    return sse("error", {"type": "error", "sequence_number": 0, **members, **problem})


class Numbered:
    """Numbered events of a response, in OpenAI's order."""

    def __init__(self, whole: Callable[[Answer], ResponseReply]) -> None:
        self._whole, self._number = whole, itertools.count()
        self._place: dict[str, Any] = {}
        self._message: dict[str, Any] = {}
        """The message being written; empty before its first words."""

    def begin(self, answer: Answer) -> Iterator[ServerSentEvent]:
        whole = self._whole(answer).model_dump(mode="json")
        started = whole | {"status": "in_progress", "output": [], "usage": None, "completed_at": None}
        self._place = {"item_id": f"msg_{answer.answer_id}", "output_index": 0, "content_index": 0}
        yield self._sse("response.created", response=started)
        yield self._sse("response.in_progress", response=started)

    def words(self, text: str) -> Iterator[ServerSentEvent]:
        if not self._message:
            empty = ResponseContent(text="", annotations=[])
            self._message = ResponseOutput(id=self._place["item_id"], content=[empty]).model_dump(mode="json")
            begun = self._message | {"status": "in_progress", "content": []}
            yield self._sse("response.output_item.added", output_index=0, item=begun)
            yield self._sse("response.content_part.added", **self._place, part=self._message["content"][0])
        yield self._sse("response.output_text.delta", **self._place, delta=text, logprobs=[])

    def end(self, answer: Answer, text: str) -> Iterator[ServerSentEvent]:
        whole = self._whole(answer).model_dump(mode="json")
        if not self._message and not answer.calls:
            yield from self.words("")
        if self._message:
            yield from self._end_message(answer, text)
        calls = [call.model_dump(mode="json") for call in _calls(answer)]
        for index, call in enumerate(calls, start=1 if self._message else 0):
            yield from self._call(index, call)
        whole["output"] = [*([self._message] if self._message else []), *calls]
        yield self._sse("response.completed", response=whole)

    def _end_message(self, answer: Answer, text: str) -> Iterator[ServerSentEvent]:
        (part,) = self._message["content"]
        part |= {"text": text, "annotations": list(_annotations(answer, text.removesuffix(footnotes(answer))))}
        yield self._sse("response.output_text.done", **self._place, text=text, logprobs=[])
        for index, annotation in enumerate(part["annotations"]):
            added = {"annotation_index": index, "annotation": annotation}
            yield self._sse("response.output_text.annotation.added", **self._place, **added)
        yield self._sse("response.content_part.done", **self._place, part=part)
        yield self._sse("response.output_item.done", output_index=0, item=self._message)

    def _call(self, index: int, call: dict[str, Any]) -> Iterator[ServerSentEvent]:
        place, arguments = {"item_id": call["id"], "output_index": index}, call["arguments"]
        begun = call | {"status": "in_progress", "arguments": ""}
        yield self._sse("response.output_item.added", output_index=index, item=begun)
        yield self._sse("response.function_call_arguments.delta", **place, delta=arguments)
        yield self._sse("response.function_call_arguments.done", **place, name=call["name"], arguments=arguments)
        yield self._sse("response.output_item.done", output_index=index, item=call)

    def _sse(self, kind: str, **content: Any) -> ServerSentEvent:
        return sse(kind, {"type": kind, "sequence_number": next(self._number), **content})
