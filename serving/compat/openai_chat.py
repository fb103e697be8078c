"""OpenAI's Chat Completions API, for clients that can change their `base_url`.

`metadata={"thread_id": ...}` continues a conversation. serving/compat/shapes.py has the code that the APIs share.
Streamed text cannot be taken back in this API, so what the check of a streamed draft finds is appended as a note.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request, Response
from fastapi.sse import ServerSentEvent
from langchain_core.messages import AnyMessage, SystemMessage, ToolMessage
from pydantic import BaseModel, ConfigDict, Field

from foundation.types import Principal, Usage
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from serving.access.identity import Asker
from serving.api.schemas import Text
from serving.compat.conversation import (
    MOST_TOOLS,
    CallId,
    FunctionDefinition,
    ResponseFormat,
    calls_of,
    image_at,
    said_by_person,
)
from serving.compat.shapes import MODELS, ChatMetadata, TextPart, extra_of, request_of, unknown, with_footnotes
from serving.compat.streaming import Shaped, reply, route_arguments, sse
from serving.http.errors import openai_problem, responses
from serving.runtime import Running, Runtime, admit

router = APIRouter(prefix="/v1", tags=["openai"])

TUNING = frozenset({
    "frequency_penalty", "max_completion_tokens", "max_tokens", "presence_penalty", "reasoning_effort",
    "safety_identifier", "seed", "service_tier", "store", "temperature", "top_p", "user", "verbosity",
})  # fmt: skip
"""Parameters accepted without effect: clients send them by default, and the configuration decides them."""

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "stop": ([],),
}
"""Values that change nothing. Other values of these parameters, and unlisted parameters, are refused."""


class ImageAddress(BaseModel):
    url: Text


class ImagePart(BaseModel):
    type: Literal["image_url"]
    image_url: ImageAddress


class CalledFunction(BaseModel):
    name: str
    arguments: Text
    """JSON, as text."""


class ChatCall(BaseModel):
    """A call of one of the client's tools."""

    id: CallId
    type: Literal["function"] = "function"
    function: CalledFunction


ChatPart = Annotated[TextPart | ImagePart, Field(discriminator="type")]


class ChatMessage(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | Annotated[list[ChatPart], Field(fail_fast=True)] | None = None
    tool_calls: list[ChatCall] | None = None
    tool_call_id: CallId | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content or () if isinstance(part, TextPart))

    @property
    def as_message(self) -> AnyMessage:
        if self.role == "tool":
            return ToolMessage(self.text, tool_call_id=self.tool_call_id or "")
        if self.role == "assistant":
            return calls_of(
                self.text, [(call.id, call.function.name, call.function.arguments) for call in self.tool_calls or ()]
            )
        if self.role == "user":
            parts = () if isinstance(self.content, str) else self.content or ()
            images = [image_at(part.image_url.url) for part in parts if isinstance(part, ImagePart)]
            return said_by_person(self.text, images)
        return SystemMessage(self.text)


class ChatTool(BaseModel):
    type: Literal["function"]
    function: FunctionDefinition


class StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    """A request. Unlisted parameters are refused where they would change the answer; see `docs/api.md`."""

    model_config = ConfigDict(
        extra="allow",
        frozen=True,
        json_schema_extra={
            "examples": [{"model": "sixply", "messages": [{"role": "user", "content": "When does it ship?"}]}]
        },
    )

    model: Text
    messages: list[ChatMessage] = Field(fail_fast=True, min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    metadata: ChatMetadata | None = None
    tools: list[ChatTool] = Field(default=[], max_length=MOST_TOOLS)
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None


class ChatUsage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatReply(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: str | None = None
    tool_calls: list[ChatCall] | None = None
    """Calls that the client carries out. It sends their results in its next request."""


class ChatChoice(BaseModel):
    index: int = 0
    message: ChatReply
    finish_reason: Literal["stop", "tool_calls"] = "stop"


class ChatCompletion(BaseModel):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: ChatUsage | None = None
    """`null` where the provider reported no usage."""
    sixply: dict[str, Any]
    """Fields without a place in OpenAI's shape: citations, status, path, cost, trace id."""


class ModelCard(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "sixply"


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelCard]


@router.post(
    "/chat/completions",
    **route_arguments(ChatCompletion, "openai", "The completion, or with `stream` its chunks, ending with [DONE]."),
)
async def complete(body: ChatRequest, request: Request, caller: Asker, runtime: Running) -> Response:
    """Answer the last user message."""
    created = _now(runtime)
    chunks = Chunks(body, created)
    shaped = Shaped(
        lambda answer: _completion(answer, body, created=created),
        chunks.begin,
        chunks.words,
        chunks.end,
        lambda error: sse(None, openai_problem(error)),
    )
    return await reply(_request_of(body, caller, runtime), shaped, request, caller, runtime, stream=body.stream)


@router.get("/models", responses=responses(shape="openai"), dependencies=[admit("reads")])
async def models(_: Asker, runtime: Running) -> ModelList:
    """List the accepted names of `model`."""
    return ModelList(data=[ModelCard(id=name, created=_now(runtime)) for name in MODELS])


@router.get("/models/{model}", responses=responses(404, shape="openai"), dependencies=[admit("reads")])
async def model(model: Annotated[str, Path(examples=["sixply"])], _: Asker, runtime: Running) -> ModelCard:
    """Return one model."""
    if model not in MODELS:
        raise unknown(model)
    return ModelCard(id=model, created=_now(runtime))


def _request_of(body: ChatRequest, caller: Principal, runtime: Runtime) -> AnswerRequest:
    return request_of(
        body,
        [message.as_message for message in body.messages],
        caller,
        runtime,
        tools=[tool.function for tool in body.tools],
        response_format=body.response_format,
        format_name="response_format",
        tuning=TUNING,
        neutral=NEUTRAL,
        thread_id=body.metadata.thread_id if body.metadata else None,
        tool_choice=body.tool_choice,
        parallel=body.parallel_tool_calls is not False,
    )


def _completion(answer: Answer, body: ChatRequest, *, created: int) -> ChatCompletion:
    calls = _calls(answer)
    said = ChatReply(content=with_footnotes(answer) or (None if calls else ""), tool_calls=calls or None)
    return ChatCompletion(
        id=_id(answer),
        created=created,
        model=body.model,
        choices=[ChatChoice(message=said, finish_reason="tool_calls" if calls else "stop")],
        usage=_usage(answer.usage),
        sixply=extra_of(answer),
    )


def _calls(answer: Answer) -> list[ChatCall]:
    return [
        ChatCall(id=call.call_id, function=CalledFunction(name=call.tool, arguments=json.dumps(call.arguments)))
        for call in answer.calls
    ]


class Chunks:
    """Chunks of one completion, in OpenAI's order."""

    def __init__(self, body: ChatRequest, created: int) -> None:
        self._wants_usage = body.stream_options is not None and body.stream_options.include_usage
        self._common: dict[str, Any] = {"object": "chat.completion.chunk", "created": created, "model": body.model}
        if self._wants_usage:
            self._common |= {"usage": None}

    def begin(self, answer: Answer) -> Iterator[ServerSentEvent]:
        self._common = {"id": _id(answer), **self._common}
        content = None if answer.calls and not answer.text else ""
        yield self._chunk({"role": "assistant", "content": content})

    def words(self, text: str) -> Iterator[ServerSentEvent]:
        yield self._chunk({"content": text})

    def end(self, answer: Answer, text: str) -> Iterator[ServerSentEvent]:  # noqa: ARG002 - other shapes repeat the text
        calls = [{"index": index, **call.model_dump()} for index, call in enumerate(_calls(answer))]
        if calls:
            yield self._chunk({"tool_calls": calls})
        yield self._chunk({}, "tool_calls" if calls else "stop", sixply=extra_of(answer))
        if self._wants_usage:
            usage = _usage(answer.usage)
            yield sse(None, {**self._common, "choices": [], "usage": usage and usage.model_dump()})
        yield ServerSentEvent(raw_data="[DONE]")

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None, **extra: Any) -> ServerSentEvent:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
        return sse(None, {**self._common, "choices": choices, **extra})


def _usage(usage: Usage) -> ChatUsage | None:
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    total = usage.input_tokens + usage.output_tokens
    return ChatUsage(prompt_tokens=usage.input_tokens, completion_tokens=usage.output_tokens, total_tokens=total)


def _id(answer: Answer) -> str:
    return f"chatcmpl-{answer.answer_id}"


def _now(runtime: Runtime) -> int:
    return int(runtime.system.context.clock.now().timestamp())
