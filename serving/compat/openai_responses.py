"""OpenAI's newer shape, `responses`, over our answers. Conversations go on by `previous_response_id`, as its clients do it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.sse import ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from foundation.errors import InvalidRequest, NotFound, SixplyError
from foundation.output.rendering import markdown
from orchestration.contract import Answer, AnswerRequest
from serving.access.identity import Asker
from serving.api.schemas import Identifier, RequestBody, Text
from serving.compat.openai_chat import NEUTRAL, TUNING
from serving.compat.shapes import ChatMetadata, extra_of, footnotes, refuse_unsupported, request_from, with_footnotes
from serving.compat.streaming import Shaped, reply, route_arguments, sse
from serving.http.errors import openai_problem
from serving.runtime import Running, Runtime

router = APIRouter(prefix="/v1", tags=["openai"])

HERE = frozenset({"instructions", "max_output_tokens", "prompt_cache_key", "reasoning"})
"""Accepted without effect, beside what chat completions accept."""
ASKS_NOTHING: dict[str, tuple[Any, ...]] = NEUTRAL | {
    "background": (False,),
    "include": ([],),
    "text": ({"format": {"type": "text"}},),
    "truncation": ("disabled", "auto"),
}
PREFIX = "resp_"


class InputPart(BaseModel):
    type: Literal["input_text", "output_text"]
    text: Text


class InputMessage(BaseModel):
    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[InputPart], Field(fail_fast=True)]

    @property
    def speaker(self) -> str:
        return self.role

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)


class InputItem(BaseModel):
    """What clients send back of earlier responses; it is not read."""

    type: Literal["function_call", "function_call_output", "item_reference", "reasoning"]

    @property
    def speaker(self) -> str:
        return "tool" if self.type == "function_call_output" else "assistant"

    @property
    def text(self) -> str:
        return ""


class ConversationName(RequestBody):
    id: Identifier


class ResponsesRequest(BaseModel):
    """Parameters that are not listed here are refused when they ask for something; see `docs/api.md`."""

    model_config = ConfigDict(
        extra="allow",
        frozen=True,
        json_schema_extra={"examples": [{"model": "sixply", "input": "When does it ship?"}]},
    )

    model: Text
    input: Text | Annotated[list[InputMessage | InputItem], Field(fail_fast=True, min_length=1)]
    stream: bool = False
    previous_response_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:\-]{1,300}$")] | None = Field(
        default=None, description="Continues the conversation that this response belongs to."
    )
    conversation: Identifier | ConversationName | None = Field(
        default=None, description="Continues a conversation of yours."
    )
    metadata: ChatMetadata | None = None

    @property
    def messages(self) -> list[InputMessage | InputItem]:
        if isinstance(self.input, str):
            return [InputMessage(role="user", content=self.input)]
        return self.input


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
    """OpenAI's `response` object. Members for what is not done here say so."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: Literal["completed"] = "completed"
    model: str
    output: list[ResponseOutput]
    usage: ResponseUsage | None
    """`null` where the provider did not say, which is not zero."""
    previous_response_id: str | None
    metadata: dict[str, Any]
    error: None = None
    incomplete_details: None = None
    instructions: None = None
    parallel_tool_calls: Literal[False] = False
    temperature: None = None
    tool_choice: Literal["none"] = "none"
    tools: list[Any] = []
    top_p: None = None
    sixply: dict[str, Any]
    """What OpenAI's shape has no place for: status, path, cost, trace id."""


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
    return await reply(_request_of(body), shaped, request, caller, runtime, stream=body.stream)


def _request_of(body: ResponsesRequest) -> AnswerRequest:
    refuse_unsupported(body.model_extra or {}, tuning=TUNING | HERE, neutral=ASKS_NOTHING)
    named = {
        "previous_response_id": _thread_of(body.previous_response_id),
        "conversation": body.conversation if isinstance(body.conversation, str | None) else body.conversation.id,
        "metadata.thread_id": body.metadata.thread_id if body.metadata else None,
    }
    threads = {name: thread for name, thread in named.items() if thread is not None}
    if len(set(threads.values())) > 1:
        raise InvalidRequest(f"{' and '.join(threads)} name different conversations. Send one of them.")
    return request_from(body.model, body.messages, next(iter(threads.values()), None))


def _thread_of(response_id: str | None) -> str | None:
    """The conversation that a response belongs to: its id carries it, so nothing has to be looked up."""
    if response_id is None:
        return None
    thread_id, dot, answer_id = response_id.removeprefix(PREFIX).rpartition(".")
    if not (response_id.startswith(PREFIX) and dot and thread_id and answer_id):
        raise NotFound(f'No response "{response_id}". Send the id of one that this API gave.')
    return thread_id


def _reply(answer: Answer, body: ResponsesRequest, runtime: Runtime) -> ResponseReply:
    text = with_footnotes(answer)
    return ResponseReply(
        id=f"{PREFIX}{answer.thread_id}.{answer.answer_id}",
        created_at=int(runtime.system.context.clock.now().timestamp()),
        model=body.model,
        output=[
            ResponseOutput(
                id=f"msg_{answer.answer_id}",
                content=[ResponseContent(text=text, annotations=list(_annotations(answer, markdown(answer.text))))],
            )
        ],
        usage=_usage(answer),
        previous_response_id=body.previous_response_id,
        metadata=body.metadata.model_dump(exclude_none=True) if body.metadata else {},
        sixply=extra_of(answer),
    )


def _annotations(answer: Answer, text: str) -> Iterator[dict[str, Any]]:
    """A file citation for each marker in the text, at the place of the marker."""
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
    problem = openai_problem(error)  # its member "error" is what makes OpenAI's client raise
    members = {name: problem["error"][name] for name in ("code", "message", "param")}
    return sse("error", {"type": "error", "sequence_number": 0, **members, **problem})


class Numbered:
    """The events of a response, numbered, in the order in which OpenAI sends them."""

    def __init__(self, whole: Callable[[Answer], ResponseReply]) -> None:
        self._whole, self._number = whole, itertools.count()
        self._place: dict[str, Any] = {}

    def begin(self, answer: Answer) -> Iterator[ServerSentEvent]:
        whole = self._whole(answer).model_dump(mode="json")
        (item,) = whole["output"]
        (part,) = item["content"]
        started = whole | {"status": "in_progress", "output": [], "usage": None}
        self._place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
        yield self._sse("response.created", response=started)
        yield self._sse("response.in_progress", response=started)
        begun = item | {"status": "in_progress", "content": []}
        yield self._sse("response.output_item.added", output_index=0, item=begun)
        yield self._sse("response.content_part.added", **self._place, part=part | {"text": "", "annotations": []})

    def words(self, text: str) -> Iterator[ServerSentEvent]:
        yield self._sse("response.output_text.delta", **self._place, delta=text, logprobs=[])

    def end(self, answer: Answer, text: str) -> Iterator[ServerSentEvent]:
        whole = self._whole(answer).model_dump(mode="json")
        (item,) = whole["output"]
        (part,) = item["content"]
        part |= {"text": text, "annotations": list(_annotations(answer, text.removesuffix(footnotes(answer))))}
        yield self._sse("response.output_text.done", **self._place, text=text, logprobs=[])
        for index, annotation in enumerate(part["annotations"]):
            added = {"annotation_index": index, "annotation": annotation}
            yield self._sse("response.output_text.annotation.added", **self._place, **added)
        yield self._sse("response.content_part.done", **self._place, part=part)
        yield self._sse("response.output_item.done", output_index=0, item=item)
        yield self._sse("response.completed", response=whole)

    def _sse(self, kind: str, **content: Any) -> ServerSentEvent:
        return sse(kind, {"type": kind, "sequence_number": next(self._number), **content})
