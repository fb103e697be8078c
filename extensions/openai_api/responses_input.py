"""Input of OpenAI's Responses API: conversation items, tools and a format."""

from typing import Annotated, Literal

from langchain_core.messages import AIMessage, AnyMessage, SystemMessage, ToolMessage
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

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
from extensions.openai_api.vendors import VendorRequest
from serving.api.schemas import Identifier, RequestBody, Text


class InputPart(BaseModel):
    type: Literal["input_text", "output_text"]
    text: Text


class InputImage(BaseModel):
    type: Literal["input_image"]
    image_url: Text


class InputMessage(BaseModel):
    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[InputPart | InputImage | RefusalPart], Field(fail_fast=True)]

    @property
    def as_message(self) -> AnyMessage:
        text = text_of(self.content)
        if self.role == "assistant":
            return AIMessage(text)
        if self.role == "user":
            parts = () if isinstance(self.content, str) else self.content
            return said_by_person(text, [image_at(part.image_url) for part in parts if isinstance(part, InputImage)])
        return SystemMessage(text)


class FunctionCall(BaseModel):
    """A call of one of the client's tools."""

    type: Literal["function_call"]
    call_id: CallId
    name: str
    arguments: Arguments

    @property
    def as_message(self) -> AnyMessage:
        return AIMessage("", tool_calls=[{"id": self.call_id, "name": self.name, "args": self.arguments}])


class FunctionCallOutput(BaseModel):
    """The result of such a call."""

    type: Literal["function_call_output"]
    call_id: CallId
    output: Text | Annotated[list[InputPart], Field(fail_fast=True)]

    @property
    def as_message(self) -> AnyMessage:
        return ToolMessage(text_of(self.output), tool_call_id=self.call_id)


class InputItem(BaseModel):
    """Items of earlier responses, sent back by clients and ignored."""

    type: Literal["item_reference", "mcp_approval_request", "reasoning"]

    @property
    def as_message(self) -> AnyMessage:
        return AIMessage("")


class ApprovalResponse(BaseModel):
    """The decision of whoever asked on what waits: to withdraw it or, where the policy lets one person do both, to approve it."""

    type: Literal["mcp_approval_response"]
    approval_request_id: Identifier
    approve: bool
    reason: Annotated[Text, StringConstraints(max_length=2000)] | None = None

    @property
    def as_message(self) -> AnyMessage:
        return AIMessage("")


Item = InputMessage | FunctionCall | FunctionCallOutput | ApprovalResponse | InputItem


class TextOptions(BaseModel):
    format: ResponseFormat | None = None


class ResponsesTool(FunctionDefinition):
    type: Literal["function"]


class ConversationName(RequestBody):
    id: Identifier


class ResponsesRequest(VendorRequest):
    """A request; `docs/api.md` lists what is supported."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"model": "sixply", "input": "When does it ship?"},
                {"model": "sixply", "input": "When does it ship?", "background": True},
            ]
        }
    )

    instructions: Text | None = None
    input: Text | Annotated[list[Item], Field(fail_fast=True, min_length=1)]
    background: bool | None = None
    previous_response_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:\-]{1,300}$")] | None = Field(
        default=None, description="Goes on from this response; in a copy of its conversation if that has gone on since."
    )
    conversation: Identifier | ConversationName | None = Field(
        default=None, description="Continues a conversation of yours."
    )
    tools: list[ResponsesTool] = Field(default=[], max_length=MOST_TOOLS)
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None

    @property
    def messages(self) -> list[Item]:
        if isinstance(self.input, str):
            return [InputMessage(role="user", content=self.input)]
        return self.input
