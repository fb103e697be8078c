"""OpenAI's Responses API. `previous_response_id` continues a conversation, or a copy of it that ends with that response."""

import itertools
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from extensions.jobs.queue import Jobs
from extensions.jobs.store import Job, JobItem
from extensions.openai_api.approvals import answer_in, item_of, own_approval
from extensions.openai_api.branching import go_on_from
from extensions.openai_api.conversation import FunctionDefinition
from extensions.openai_api.errors import UnsupportedParameter, openai_problem
from extensions.openai_api.responses_input import ApprovalResponse, ResponsesRequest
from extensions.openai_api.streaming import (
    Shape,
    answer_yet_to_come,
    as_json,
    check_request,
    missing_json,
    reply,
    route_arguments,
    send,
    sse,
)
from extensions.openai_api.vendors import MODELS, extra_of, footnotes, request_of, with_footnotes
from foundation.errors import InvalidRequest, NotFound, SixplyError
from foundation.types import Principal
from orchestration.actions import Decision
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from serving.access.identity import Asker
from serving.api.conversations import require_conversations
from serving.api.schemas import Identifier
from serving.http.errors import responses
from serving.http.streams import text_for_clients
from serving.runtime import Running, Runtime, admit

router = APIRouter(prefix="/v1", tags=["openai"])

PREFIX = "resp_"
# Prefix of the id of a background response, before the id of its job
IN_BACKGROUND = "resp_job_"
ResponseId = Annotated[Identifier, Path(examples=["resp_job_job-3"])]

# OpenAI's defaults. The reply repeats what was sent.
REPEATED: dict[str, Any] = {
    "temperature": 1.0, "top_p": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "max_output_tokens": None,
    "reasoning": None, "user": None, "safety_identifier": None, "prompt_cache_key": None,
}  # fmt: skip
# features that are not supported here; strict clients want the fields all the same
CONSTANT: dict[str, Any] = {
    "object": "response", "error": None, "background": False, "truncation": "disabled",
    "service_tier": "default", "top_logprobs": 0, "max_tool_calls": None,
}  # fmt: skip


@router.post("/responses", **route_arguments("The response, or with `stream` the events of its making."))
async def respond(body: ResponsesRequest, request: Request, caller: Asker, runtime: Running) -> Response:
    """Answer the input: a text, or the last user message of a list."""
    if isinstance(decided := body.messages[-1], ApprovalResponse):
        at_work = runtime.system.agent.resume(await _decision_of(decided, caller, runtime), caller)
        return await send(body, at_work, ResponseShape(body, runtime), request, runtime)
    wanted = await _request_of(body, caller, runtime)
    if body.background:
        return as_json(await _begin(body, wanted, caller, runtime))
    return await reply(body, wanted, ResponseShape(body, runtime), request, caller, runtime=runtime)


@router.get("/responses/{response_id}", responses=responses(404, vendor=True), dependencies=[admit("reads")])
async def retrieve(response_id: ResponseId, caller: Asker, runtime: Running, *, stream: bool = False) -> dict[str, Any]:
    """Return a response as it is now: of one that waited for an approval, what came of it; of a `background` one, its status."""
    if stream:
        raise UnsupportedParameter(
            "A response is not streamed later. Ask for it again until it has ended.", param="stream"
        )
    if not response_id.startswith(IN_BACKGROUND):
        return await _stored(response_id, caller, runtime)
    return await _state_of(await _find_job(response_id, caller, runtime), runtime)


@router.post("/responses/{response_id}/cancel", responses=responses(404, vendor=True), dependencies=[admit("reads")])
async def cancel(response_id: ResponseId, caller: Asker, runtime: Running) -> dict[str, Any]:
    """Cancel a background response. One that has ended does not change."""
    job = await _find_job(response_id, caller, runtime)
    return await _state_of(await runtime.part(Jobs).cancel(job.job_id, caller), runtime)


async def _stored(response_id: str, caller: Principal, runtime: Runtime) -> dict[str, Any]:
    thread_id, _, answer_id = response_id.removeprefix(PREFIX).rpartition(".")
    answer = None
    with suppress(NotFound):
        turns = await require_conversations(runtime, caller).turns(thread_id, caller)
        answer = await answer_in(turns, answer_id, caller, runtime)
    if answer is None:
        raise _unknown(response_id)
    body = ResponsesRequest(model=next(iter(MODELS)), input=answer.question)
    return ResponseShape(body, runtime).whole(answer) | {"id": response_id}


async def _decision_of(decided: ApprovalResponse, caller: Principal, runtime: Runtime) -> Decision:
    approval = await own_approval(decided.approval_request_id, caller, runtime)
    if approval is None:
        raise NotFound(f'Nothing that you asked for waits as "{decided.approval_request_id}".')
    return Decision(approval_id=approval.approval_id, approve=decided.approve, reason=decided.reason or "")


async def _begin(body: ResponsesRequest, wanted: AnswerRequest, caller: Principal, runtime: Runtime) -> dict[str, Any]:
    """Start a job for the response. It is on disk before it is acknowledged, and survives a restart."""
    if body.stream:
        raise UnsupportedParameter(
            '"stream" does not go with "background" here. Leave one of them out.', param="stream"
        )
    if body.store is False:
        raise UnsupportedParameter(
            'What is made in the "background" is kept for you. Leave "store" out.', param="store"
        )
    await check_request(wanted, runtime)
    await runtime.system.serving.quotas.demand_left(caller)
    kept = body.model_dump(mode="json", by_alias=True) | {"input": wanted.question}
    given = {"request": wanted.model_dump(mode="json"), "body": kept}
    return await _state_of(await runtime.part(Jobs).begin("responses", caller, [(wanted.question, given)]), runtime)


async def _find_job(response_id: str, caller: Principal, runtime: Runtime) -> Job:
    """Raises NotFound: the caller has no such background response."""
    if response_id.startswith(IN_BACKGROUND):
        with suppress(NotFound):
            job = await runtime.part(Jobs).store.get(response_id.removeprefix(IN_BACKGROUND), caller)
            if job.kind == "responses":
                return job
    raise _unknown(response_id)


def _unknown(response_id: str) -> NotFound:
    return NotFound(f'No response "{response_id}" of yours. Conversations are read at /v1/conversations/(thread_id).')


async def _state_of(job: Job, runtime: Runtime) -> dict[str, Any]:
    (item,) = await runtime.part(Jobs).store.items(job.job_id)
    body = ResponsesRequest.model_validate(item.given["body"])
    answer = Answer.model_validate(item.outcome) if item.status == "done" else None
    wanted = body.text and body.text.format and body.text.format.as_chat()
    shape = ResponseShape(body, runtime)
    whole = shape.whole(answer or answer_yet_to_come())
    missing = missing_json(answer, wanted) if answer and not shape.refuses(answer) else None
    status, error = _status_of(job, item, missing)
    nothing_yet: dict[str, Any] = {} if status == "completed" else {"output": [], "usage": None, "sixply": {}}
    return whole | {
        "id": f"{IN_BACKGROUND}{job.job_id}",
        "created_at": int(job.begun_at.timestamp()),
        "completed_at": None,
        "status": whole["status"] if status == "completed" else status,
        "error": error,
        "background": True,
        **nothing_yet,
    }


def _status_of(job: Job, item: JobItem, missing: SixplyError | None) -> tuple[str, dict[str, str] | None]:
    if missing:
        return "failed", {"code": missing.code, "message": missing.public}
    if item.status == "failed" and item.outcome:
        return "failed", {"code": item.outcome["code"], "message": item.outcome["detail"]}
    if item.status == "done":
        return "completed", None
    if job.status == "revoked":
        return "failed", {"code": "forbidden", "message": "The credential that began it is no longer valid."}
    if job.status == "cancelled":
        return "cancelled", None
    return ("in_progress" if item.attempts else "queued"), None


async def _request_of(body: ResponsesRequest, caller: Principal, runtime: Runtime) -> AnswerRequest:
    thread_id, answer_id = await _place_of(body.previous_response_id, caller, runtime)
    named = {
        "previous_response_id": thread_id,
        "conversation": body.conversation if isinstance(body.conversation, str | None) else body.conversation.id,
        "metadata.thread_id": body.metadata.thread_id if body.metadata else None,
    }
    threads = {name: thread for name, thread in named.items() if thread is not None}
    if len(set(threads.values())) > 1:
        raise InvalidRequest(f"{' and '.join(threads)} name different conversations. Send one of them.")
    wanted = await request_of(
        body,
        [item.as_message for item in body.messages],
        caller,
        runtime,
        tools=[FunctionDefinition(**tool.model_dump(exclude={"type"})) for tool in body.tools],
        response_format=body.text.format if body.text else None,
        format_name="text",
        thread_id=next(iter(threads.values()), None),
        instructions=body.instructions or "",
        tool_choice=body.tool_choice,
        parallel=body.parallel_tool_calls is not False,
    )
    # results belong to the run that asked for them, and whoever names the conversation means all of it
    if answer_id and len(threads) == 1 and not wanted.results:
        return await go_on_from(answer_id, wanted, caller, runtime)
    return wanted


async def _place_of(response_id: str | None, caller: Principal, runtime: Runtime) -> tuple[str | None, str]:
    """Return the response's conversation and answer. They are in its id, except for a background response."""
    if response_id is None:
        return None, ""
    if response_id.startswith(IN_BACKGROUND):
        job = await _find_job(response_id, caller, runtime)
        (item,) = await runtime.part(Jobs).store.items(job.job_id)
        if item.status != "done":
            raise InvalidRequest(f'The response "{response_id}" is not completed. Wait for it, and then go on from it.')
        outcome = item.outcome or {}
        return str(outcome["thread_id"]), str(outcome["answer_id"])
    thread_id, dot, answer_id = response_id.removeprefix(PREFIX).rpartition(".")
    if not (response_id.startswith(PREFIX) and dot and thread_id and answer_id):
        raise NotFound(f'No response "{response_id}". Send the id of one that this API gave.')
    return thread_id, answer_id


class ResponseShape(Shape):
    """A response, or its numbered events in OpenAI's order."""

    takes_refusals = True

    def __init__(self, body: ResponsesRequest, runtime: Runtime) -> None:
        super().__init__(body.text and body.text.format and body.text.format.as_chat())
        self._body, self._clock = body, runtime.system.context.clock
        self._number = itertools.count()
        self._place: dict[str, Any] = {}
        self._message: dict[str, Any] = {}
        """The message being written; empty before its first words."""

    def whole(self, answer: Answer) -> dict[str, Any]:
        body, text = self._body, with_footnotes(answer)
        now, sent = int(self._clock.now().timestamp()), body.model_extra or {}
        messages = []
        if text or not answer.calls:
            message = _message(answer, text, list(_annotations(answer, text_for_clients(answer))))
            messages.append(message | {"content": [_refusal(text)]} if self.refuses(answer) else message)
        wanted = (body.text and body.text.format and body.text.format.as_chat()) or {"type": "text"}
        return {
            **CONSTANT,
            **{name: default if sent.get(name) is None else sent[name] for name, default in REPEATED.items()},
            "id": f"{PREFIX}{answer.thread_id}.{answer.answer_id}",
            "created_at": now,
            "completed_at": now,
            "status": _status(answer),
            "incomplete_details": {"reason": "max_output_tokens"} if answer.stop_reason == "length" else None,
            "model": body.model,
            "store": body.store is not False,
            "output": [*messages, *_calls(answer), *item_of(answer)],
            "usage": _usage(answer),
            "instructions": body.instructions,
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": body.previous_response_id,
            "tool_choice": body.tool_choice or "auto",
            "tools": [tool.model_dump() for tool in body.tools],
            "text": {"format": {"type": wanted["type"], **wanted.get("json_schema", {})}},
            "metadata": body.metadata.model_dump(exclude_none=True) if body.metadata else {},
            "sixply": extra_of(answer),
        }

    def begin(self, answer: Answer) -> Iterator[bytes]:
        started = self.whole(answer) | {"status": "in_progress", "output": [], "usage": None, "completed_at": None}
        self._place = {"item_id": f"msg_{answer.answer_id}", "output_index": 0, "content_index": 0}
        yield self._sse("response.created", response=started)
        yield self._sse("response.in_progress", response=started)

    def words(self, text: str) -> Iterator[bytes]:
        yield from self._begin_message()
        yield self._sse("response.output_text.delta", **self._place, delta=text, logprobs=[])

    def refuse(self, text: str) -> Iterator[bytes]:
        yield from self._begin_message(_refusal(""))
        yield self._sse("response.refusal.delta", **self._place, delta=text)

    def _begin_message(self, *parts: dict[str, Any]) -> Iterator[bytes]:
        if not self._message:
            self._message = _message(answer_yet_to_come(), "", []) | {"id": self._place["item_id"]}
            self._message["content"] = [*parts] or self._message["content"]
            started = self._message | {"status": "in_progress", "content": []}
            yield self._sse("response.output_item.added", output_index=0, item=started)
            yield self._sse("response.content_part.added", **self._place, part=self._message["content"][0])

    def end(self, answer: Answer, text: str) -> Iterator[bytes]:
        if not self._message and not answer.calls:
            yield from self.words("")
        if self._message:
            yield from self._end_message(answer, text)
        messages, calls = [self._message] if self._message else [], list(_calls(answer))
        for index, call in enumerate(calls, start=len(messages)):
            yield from self._call(index, call)
        items = [*messages, *calls]
        for item in item_of(answer):
            yield self._sse("response.output_item.added", output_index=len(items), item=item)
            yield self._sse("response.output_item.done", output_index=len(items), item=item)
            items.append(item)
        yield self._sse(f"response.{_status(answer)}", response=self.whole(answer) | {"output": items})

    def error_event(self, error: SixplyError) -> bytes:
        problem = openai_problem(error)  # OpenAI's client raises because of the member "error"
        members = {name: problem["error"][name] for name in ("code", "message", "param")}
        return sse("error", {"type": "error", "sequence_number": 0, **members, **problem})

    def _end_message(self, answer: Answer, text: str) -> Iterator[bytes]:
        (part,) = self._message["content"]
        # in what was sent, not in the answer: a streamed draft can differ from the checked text
        self._message["status"] = _status(answer)
        if self.refuses(answer):
            part["refusal"] = text
            yield self._sse("response.refusal.done", **self._place, refusal=text)
        else:
            yield from self._end_text(part, answer, text)
        yield self._sse("response.content_part.done", **self._place, part=part)
        yield self._sse("response.output_item.done", output_index=0, item=self._message)

    def _end_text(self, part: dict[str, Any], answer: Answer, text: str) -> Iterator[bytes]:
        part |= {"text": text, "annotations": list(_annotations(answer, text.removesuffix(footnotes(answer))))}
        yield self._sse("response.output_text.done", **self._place, text=text, logprobs=[])
        for index, annotation in enumerate(part["annotations"]):
            added = {"annotation_index": index, "annotation": annotation}
            yield self._sse("response.output_text.annotation.added", **self._place, **added)

    def _call(self, index: int, call: dict[str, Any]) -> Iterator[bytes]:
        place, arguments = {"item_id": call["id"], "output_index": index}, call["arguments"]
        started = call | {"status": "in_progress", "arguments": ""}
        yield self._sse("response.output_item.added", output_index=index, item=started)
        yield self._sse("response.function_call_arguments.delta", **place, delta=arguments)
        yield self._sse("response.function_call_arguments.done", **place, name=call["name"], arguments=arguments)
        yield self._sse("response.output_item.done", output_index=index, item=call)

    def _sse(self, kind: str, **content: Any) -> bytes:
        return sse(kind, {"type": kind, "sequence_number": next(self._number), **content})


def _status(answer: Answer) -> str:
    return "incomplete" if answer.stop_reason == "length" else "completed"


def _refusal(text: str) -> dict[str, Any]:
    return {"type": "refusal", "refusal": text}


def _message(answer: Answer, text: str, annotations: list[dict[str, Any]]) -> dict[str, Any]:
    content = {"type": "output_text", "text": text, "annotations": annotations, "logprobs": []}
    whose = {"id": f"msg_{answer.answer_id}", "type": "message", "role": "assistant", "status": _status(answer)}
    return {**whose, "content": [content]}


def _calls(answer: Answer) -> Iterator[dict[str, Any]]:
    for call in answer.calls:
        ids = {"id": f"fc_{call.call_id}", "type": "function_call", "call_id": call.call_id, "status": "completed"}
        yield {**ids, "name": call.tool, "arguments": json.dumps(call.arguments)}


def _annotations(answer: Answer, text: str) -> Iterator[dict[str, Any]]:
    """Yield a file citation for each marker in the text, with the marker's offset."""
    for cited in answer.citations:
        marker, at = f"[{cited.marker}]", -1
        while (at := text.find(marker, at + 1)) >= 0:
            yield {"type": "file_citation", "file_id": cited.document_id, "filename": cited.uri, "index": at}


def _usage(answer: Answer) -> dict[str, Any] | None:
    usage = answer.usage
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_input_tokens or 0, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
