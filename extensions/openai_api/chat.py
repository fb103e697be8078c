"""OpenAI's Chat Completions API. `metadata={"thread_id": ...}` continues a conversation."""

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request, Response
from fastapi.sse import format_sse_event
from langchain_core.messages import AIMessage, AnyMessage, SystemMessage, ToolMessage
from pydantic import BaseModel, ConfigDict, Field

from extensions.openai_api.conversation import (
    MOST_TOOLS,
    Arguments,
    CallId,
    FunctionDefinition,
    RefusalPart,
    ResponseFormat,
    image_at,
    said_by_person,
    text_of,
)
from extensions.openai_api.errors import openai_problem
from extensions.openai_api.streaming import Shape, reply, route_arguments, sse
from extensions.openai_api.vendors import (
    TextPart,
    VendorRequest,
    extra_of,
    list_models,
    request_of,
    unknown,
    with_footnotes,
)
from foundation.errors import SixplyError
from foundation.types import Usage
from orchestration.events import Answer
from serving.access.identity import Asker
from serving.api.schemas import Text
from serving.http.errors import responses
from serving.runtime import Running, Runtime, admit

router = APIRouter(prefix="/v1", tags=["openai"])


class ImageAddress(BaseModel):
    url: Text


class ImagePart(BaseModel):
    type: Literal["image_url"]
    image_url: ImageAddress


class CalledFunction(BaseModel):
    name: str
    arguments: Arguments


class ChatCall(BaseModel):
    """A call of one of the client's tools."""

    id: CallId
    type: Literal["function"] = "function"
    function: CalledFunction


ChatPart = Annotated[TextPart | ImagePart | RefusalPart, Field(discriminator="type")]


class ChatMessage(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | Annotated[list[ChatPart], Field(fail_fast=True)] | None = None
    refusal: Text | None = None
    # older forms and recordings, of which nothing would reach the model
    function_call: None = None
    audio: None = None
    tool_calls: list[ChatCall] | None = None
    tool_call_id: CallId | None = None

    @property
    def as_message(self) -> AnyMessage:
        parts = self.content if isinstance(self.content, list) else []
        text = text_of(self.content) or self.refusal or ""
        if self.role == "tool":
            return ToolMessage(text, tool_call_id=self.tool_call_id or "")
        if self.role == "assistant":
            calls = [
                {"id": call.id, "name": call.function.name, "args": call.function.arguments}
                for call in self.tool_calls or ()
            ]
            return AIMessage(text, tool_calls=calls)
        if self.role == "user":
            return said_by_person(text, [image_at(part.image_url.url) for part in parts if isinstance(part, ImagePart)])
        return SystemMessage(text)


class ChatTool(BaseModel):
    type: Literal["function"]
    function: FunctionDefinition


class StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(VendorRequest):
    """A request; `docs/api.md` lists what is supported."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"model": "sixply", "messages": [{"role": "user", "content": "When does it ship?"}]}]
        }
    )

    messages: list[ChatMessage] = Field(fail_fast=True, min_length=1)
    stream_options: StreamOptions | None = None
    tools: list[ChatTool] = Field(default=[], max_length=MOST_TOOLS)
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None


@router.post("/chat/completions", **route_arguments("The completion, or with `stream` its chunks, ending with [DONE]."))
async def complete(body: ChatRequest, request: Request, caller: Asker, runtime: Running) -> Response:
    """Answer the last user message."""
    wanted = await request_of(
        body,
        [message.as_message for message in body.messages],
        caller,
        runtime,
        tools=[tool.function for tool in body.tools],
        response_format=body.response_format,
        format_name="response_format",
        tool_choice=body.tool_choice,
        parallel=body.parallel_tool_calls is not False,
    )
    return await reply(body, wanted, ChatShape(body, runtime), request, caller, runtime=runtime)


@router.get("/models", responses=responses(vendor=True), dependencies=[admit("reads")])
async def models(caller: Asker, runtime: Running) -> dict[str, Any]:
    """List the accepted names of `model`."""
    return {"object": "list", "data": [_card(name, runtime) for name in list_models(runtime, caller)]}


@router.get("/models/{model}", responses=responses(404, vendor=True), dependencies=[admit("reads")])
async def model(model: Annotated[str, Path(examples=["sixply"])], caller: Asker, runtime: Running) -> dict[str, Any]:
    """Return one model."""
    if model not in (names := list_models(runtime, caller)):
        raise unknown(model, names)
    return _card(model, runtime)


def _card(name: str, runtime: Runtime) -> dict[str, Any]:
    created = int(runtime.system.context.clock.now().timestamp())
    return {"id": name, "object": "model", "created": created, "owned_by": "sixply"}


class ChatShape(Shape):
    """A completion, or its chunks in OpenAI's order."""

    takes_refusals = True

    def __init__(self, body: ChatRequest, runtime: Runtime) -> None:
        super().__init__(body.response_format and body.response_format.as_chat())
        created = int(runtime.system.context.clock.now().timestamp())
        self._wants_usage = body.stream_options is not None and body.stream_options.include_usage
        self._common: dict[str, Any] = {"object": "chat.completion.chunk", "created": created, "model": body.model}

    def whole(self, answer: Answer) -> dict[str, Any]:
        calls = _calls(answer)
        content, refusal = with_footnotes(answer) or (None if calls else ""), None
        if self.refuses(answer):
            content, refusal = None, content
        message = {"role": "assistant", "content": content, "refusal": refusal, "tool_calls": calls or None}
        choice = {"index": 0, "message": message, "finish_reason": _finish_reason(answer)}
        return self._common | {
            "id": f"chatcmpl-{answer.answer_id}",
            "object": "chat.completion",
            "choices": [choice],
            "usage": _usage(answer.usage),
            "sixply": extra_of(answer),
        }

    def begin(self, answer: Answer) -> Iterator[bytes]:
        self._common |= {"id": f"chatcmpl-{answer.answer_id}"} | ({"usage": None} if self._wants_usage else {})
        is_empty = self.refuses(answer) or (answer.calls and not answer.text)
        yield self._chunk({"role": "assistant", "content": None if is_empty else ""})

    def words(self, text: str) -> Iterator[bytes]:
        yield self._chunk({"content": text})

    def refuse(self, text: str) -> Iterator[bytes]:
        yield self._chunk({"refusal": text})

    def end(self, answer: Answer, text: str) -> Iterator[bytes]:  # noqa: ARG002 - other shapes repeat the text
        calls = [{"index": index, **call} for index, call in enumerate(_calls(answer))]
        if calls:
            yield self._chunk({"tool_calls": calls})
        yield self._chunk({}, _finish_reason(answer), sixply=extra_of(answer))
        if self._wants_usage:
            yield sse(None, {**self._common, "choices": [], "usage": _usage(answer.usage)})
        yield format_sse_event(data_str="[DONE]")

    def error_event(self, error: SixplyError) -> bytes:
        return sse(None, openai_problem(error))

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None, **extra: Any) -> bytes:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
        return sse(None, {**self._common, "choices": choices, **extra})


def _finish_reason(answer: Answer) -> str:
    return "tool_calls" if answer.calls else "length" if answer.stop_reason == "length" else "stop"


def _calls(answer: Answer) -> list[dict[str, Any]]:
    return [
        {"id": it.call_id, "type": "function", "function": {"name": it.tool, "arguments": json.dumps(it.arguments)}}
        for it in answer.calls
    ]


def _usage(usage: Usage) -> dict[str, int] | None:
    """Return the tokens; `None` where the provider reported none, because 0 would be a claim."""
    sent, made = usage.input_tokens, usage.output_tokens
    if sent is None or made is None:
        return None
    return {"prompt_tokens": sent, "completion_tokens": made, "total_tokens": sent + made}
