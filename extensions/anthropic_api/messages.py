"""Anthropic's Messages API, with its citations by character range of a document."""

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from extensions.anthropic_api.errors import anthropic_problem
from extensions.openai_api.conversation import (
    MOST_TOOLS,
    CallId,
    FunctionDefinition,
    JsonObject,
    ResponseFormat,
    ToolName,
    image_at,
    image_of,
    said_by_person,
    text_of,
)
from extensions.openai_api.streaming import Shape, reply, route_arguments, sse
from extensions.openai_api.vendors import TextPart, VendorRequest, extra_of, request_of, with_footnotes
from foundation.errors import SixplyError
from orchestration.events import Answer
from serving.access.identity import Asker
from serving.api.schemas import RequestBody, Text
from serving.runtime import Running

router = APIRouter(prefix="/v1", tags=["anthropic"])

PARALLEL = "disable_parallel_tool_use"
# How the header `anthropic-beta` of a client begins to say that it knows calls which a server makes
SERVER_CALLS = "mcp-client-"


class EarlierPart(BaseModel):
    """Thinking and waiting calls of earlier messages, sent back by clients and ignored; the text beside a call names its approval."""

    type: Literal["mcp_tool_use", "redacted_thinking", "thinking"]


class ImageSource(BaseModel):
    """An image, by its bytes or a data URL. No address is fetched."""

    type: Literal["base64", "url"]
    media_type: Text = ""
    data: Text = ""
    url: Text = ""

    @property
    def block(self) -> dict[str, Any]:
        return image_at(self.url) if self.type == "url" else image_of(self.media_type, self.data)


class ImagePart(BaseModel):
    type: Literal["image"]
    source: ImageSource


class ToolUse(BaseModel):
    """A call of one of the client's tools."""

    type: Literal["tool_use"]
    id: CallId
    name: str
    input: JsonObject


class ToolResult(BaseModel):
    """The result of such a call."""

    type: Literal["tool_result"]
    tool_use_id: CallId
    content: Text | Annotated[list[TextPart], Field(fail_fast=True)] = ""
    is_error: bool = False


Part = Annotated[TextPart | ImagePart | ToolUse | ToolResult | EarlierPart, Field(discriminator="type")]


class MessageParam(BaseModel):
    role: Literal["user", "assistant"]
    content: Text | Annotated[list[Part], Field(fail_fast=True)]

    @property
    def as_messages(self) -> Iterator[AnyMessage]:
        parts = [] if isinstance(self.content, str) else self.content
        text = text_of(self.content)
        if self.role == "assistant":
            uses = [part for part in parts if isinstance(part, ToolUse)]
            yield AIMessage(text, tool_calls=[{"id": use.id, "name": use.name, "args": use.input} for use in uses])
            return
        for part in parts:
            if isinstance(part, ToolResult):
                status: Literal["error", "success"] = "error" if part.is_error else "success"
                yield ToolMessage(text_of(part.content), tool_call_id=part.tool_use_id, status=status)
        yield said_by_person(text, [part.source.block for part in parts if isinstance(part, ImagePart)])


class OutputConfig(RequestBody):
    effort: str | None = None
    task_budget: dict[str, JsonValue] | None = None
    format: ResponseFormat | None = None


class MessagesTool(BaseModel):
    type: Literal["custom"] | None = None
    name: ToolName
    description: Text | None = None
    input_schema: JsonObject
    strict: bool | None = None


class MessagesRequest(VendorRequest):
    """A request; `docs/api.md` lists what is supported."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"model": "sixply", "max_tokens": 1024, "messages": [{"role": "user", "content": "When does it ship?"}]}
            ]
        }
    )

    system: Text | Annotated[list[TextPart], Field(fail_fast=True)] = ""
    messages: list[MessageParam] = Field(fail_fast=True, min_length=1)
    tools: list[MessagesTool] = Field(default=[], max_length=MOST_TOOLS)
    tool_choice: dict[str, JsonValue] | None = None
    output_config: OutputConfig | None = None


@router.post("/messages", **route_arguments("The message, or with `stream` the events of its making."))
async def message(body: MessagesRequest, request: Request, caller: Asker, runtime: Running) -> Response:
    """Answer the last user message."""
    choice = body.tool_choice or {}
    wanted = await request_of(
        body,
        [message for turn in body.messages for message in turn.as_messages],
        caller,
        runtime,
        tools=[
            FunctionDefinition(**tool.model_dump(exclude={"type", "input_schema"}), parameters=tool.input_schema)
            for tool in body.tools
        ],
        response_format=body.output_config.format if body.output_config else None,
        format_name="output_config",
        instructions=text_of(body.system),
        effort=body.output_config.effort if body.output_config else None,
        tool_choice={key: value for key, value in choice.items() if key != PARALLEL} or None,
        parallel=choice.get(PARALLEL) is not True,
    )
    shape = MessageShape(body.model, takes_calls=SERVER_CALLS in request.headers.get("anthropic-beta", ""))
    return await reply(body, wanted, shape, request, caller, runtime=runtime)


class MessageShape(Shape):
    """A message, or its events in Anthropic's order."""

    def __init__(self, model: str, *, takes_calls: bool) -> None:
        super().__init__()
        self._model = model
        self._takes_calls = takes_calls
        self._writing = False

    def whole(self, answer: Answer) -> dict[str, Any]:
        usage, text = answer.usage, with_footnotes(answer)
        part: dict[str, Any] = {"type": "text", "text": text}
        if citations := list(_citations(answer)):  # strict clients refuse a null, as in the counts below
            part["citations"] = citations
        uses = [
            {"type": "tool_use", "id": call.call_id, "name": call.tool, "input": dict(call.arguments)}
            for call in answer.calls
        ]
        waiting = answer.approval if self._takes_calls and answer.status == "waiting" else None
        if waiting:
            called = {"id": waiting.approval_id, "name": waiting.tool, "input": dict(waiting.arguments)}
            uses.append({"type": "mcp_tool_use", "server_name": "sixply", **called})
        reasons: dict[str, str] = {"tool_calls": "tool_use", "length": "max_tokens"}
        return {
            "id": f"msg_{answer.answer_id}",
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [*([part] if text or not uses else []), *uses],
            "stop_reason": reasons.get(answer.stop_reason, "end_turn"),
            "stop_sequence": None,
            "usage": {
                "input_tokens": usage.input_tokens or 0,
                "output_tokens": usage.output_tokens or 0,
                "cache_read_input_tokens": usage.cached_input_tokens,
                "cache_creation_input_tokens": None,
            },
            "sixply": extra_of(answer),
        }

    def begin(self, answer: Answer) -> Iterator[bytes]:
        yield _sse("message_start", message=self.whole(answer) | {"content": [], "stop_reason": None})

    def words(self, text: str) -> Iterator[bytes]:
        if not self._writing:
            self._writing = True
            yield _sse("content_block_start", index=0, content_block={"type": "text", "text": ""})
        yield _sse("content_block_delta", index=0, delta={"type": "text_delta", "text": text})

    def end(self, answer: Answer, text: str) -> Iterator[bytes]:  # noqa: ARG002 - other shapes repeat the text
        if not self._writing and not answer.calls:
            yield from self.words("")
        if self._writing:
            for citation in _citations(answer):
                yield _sse("content_block_delta", index=0, delta={"type": "citations_delta", "citation": citation})
            yield _sse("content_block_stop", index=0)
        whole = self.whole(answer)
        uses = [block for block in whole["content"] if block["type"] != "text"]
        for index, use in enumerate(uses, start=1 if self._writing else 0):
            yield _sse("content_block_start", index=index, content_block=use | {"input": {}})
            delta = {"type": "input_json_delta", "partial_json": json.dumps(use["input"])}
            yield _sse("content_block_delta", index=index, delta=delta)
            yield _sse("content_block_stop", index=index)
        ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
        yield _sse("message_delta", delta=ended, usage=whole["usage"])
        yield _sse("message_stop")

    def error_event(self, error: SixplyError) -> bytes:
        return sse("error", anthropic_problem(error))


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


def _sse(kind: str, **content: Any) -> bytes:
    return sse(kind, {"type": kind, **content})
