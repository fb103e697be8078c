"""The messages and tools of a vendor API's client, converted to LangChain's."""

import json
from binascii import a2b_base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, cast

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from extensions.openai_api.errors import UnsupportedParameter
from foundation.errors import InvalidRequest
from foundation.text.json_values import read_object
from orchestration.requests import ClientOptions
from serving.api.schemas import Text

# Maximum tools of one request, and maximum characters of all their schemas
MOST_TOOLS, SCHEMA_CHARACTERS = 128, 100_000
IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
JsonObject = Annotated[dict[str, JsonValue], BeforeValidator(lambda value: read_object(json.dumps(value)))]
ToolName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
CallId = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


class FunctionDefinition(BaseModel):
    """A function that the client carries out."""

    model_config = ConfigDict(frozen=True)

    name: ToolName
    description: Text | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None


class RefusalPart(BaseModel):
    """What the assistant said in place of JSON."""

    type: Literal["refusal"]
    refusal: Text

    @property
    def text(self) -> str:
        return self.refusal


def image_of(media_type: str, data: str) -> dict[str, Any]:
    """Return an image as LangChain's content block. Raises InvalidRequest: unsupported type, or data not in base64."""
    if media_type not in IMAGES:
        raise InvalidRequest(f"An image is one of {', '.join(IMAGES)}; this is {media_type[:50]}.")
    try:
        a2b_base64(data, strict_mode=True)
    except ValueError as error:
        raise InvalidRequest(f"The data of an image are not in base64: {error}.") from error
    return {"type": "image", "base64": data, "mime_type": media_type}


def image_at(url: str) -> dict[str, Any]:
    """Return the image in a data URL. Raises InvalidRequest: as `image_of`, or `url` is an address."""
    # fetching an address would let a client reach this machine's network
    head, comma, data = url.partition(";base64,")
    if not (comma and head.startswith("data:")):
        raise InvalidRequest(
            "An image is sent as a data URL, data:image/png;base64,...; nothing is fetched from an address. Send its bytes."
        )
    return image_of(head.removeprefix("data:"), data)


def said_by_person(text: str, images: Sequence[dict[str, Any]]) -> HumanMessage:
    content: list[str | dict[str, Any]] = [*([{"type": "text", "text": text}] if text else []), *images]
    return HumanMessage(content=content) if images else HumanMessage(text)


def text_of(content: str | Sequence[Any] | None) -> str:
    """Return the text of a message, its parts of text on lines of their own."""
    return content if isinstance(content, str) else "\n".join(it.text for it in content or () if hasattr(it, "text"))


def images_in(message: AnyMessage) -> list[dict[str, Any]]:
    parts = message.content if isinstance(message.content, list) else []
    return [part for part in parts if isinstance(part, dict) and part["type"] == "image"]


class NamedSchema(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True)

    name: ToolName = "answer"
    description: Text | None = None
    shape: JsonObject = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(BaseModel):
    """Format of the answer: its schema inside `json_schema` (Chat Completions), or at this level (other APIs)."""

    model_config = ConfigDict(frozen=True)

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None

    @model_validator(mode="before")
    @classmethod
    def _nest(cls, content: Any) -> Any:
        if isinstance(content, dict) and "schema" in content and "json_schema" not in content:
            return {"type": content.get("type"), "json_schema": {**content}}
        return content

    def as_chat(self) -> dict[str, Any] | None:
        if self.type == "text":
            return None
        if self.type == "json_object":
            return {"type": "json_object"}
        if self.json_schema is None:
            raise InvalidRequest('A format of the type "json_schema" needs a "schema".')
        return {"type": "json_schema", "json_schema": self.json_schema.model_dump(by_alias=True, exclude_none=True)}


# Arguments of a call, which OpenAI's clients send as a text of JSON
Arguments = Annotated[
    dict[str, Any], BeforeValidator(lambda text: read_object(str(text or "{}")), json_schema_input_type=Text)
]


def join_replies(messages: Iterable[AnyMessage]) -> list[AnyMessage]:
    """Merge consecutive messages of the assistant into one, as providers require, and drop empty messages."""
    joined: list[AnyMessage] = []
    for message in messages:
        last = joined[-1] if joined else None
        if isinstance(message, AIMessage) and isinstance(last, AIMessage):
            text = "\n\n".join(filter(None, [last.text, message.text]))
            joined[-1] = AIMessage(text, tool_calls=[*last.tool_calls, *message.tool_calls])
        elif (
            isinstance(message, ToolMessage)
            or message.text.strip()
            or images_in(message)
            or (isinstance(message, AIMessage) and message.tool_calls)
        ):
            joined.append(message)
    return joined


def check_pairs(messages: Sequence[AnyMessage]) -> None:
    """Raises InvalidRequest: a result has no call right before it, a call has no result, or two calls share an id."""
    # the provider would refuse these too, but without the place
    waiting: set[str] = set()
    for message in [*messages, HumanMessage("the end")]:
        if isinstance(message, ToolMessage):
            if message.tool_call_id not in waiting:
                raise InvalidRequest(
                    f"There is a result of the call {message.tool_call_id}, and no call of this id right before it. Send the "
                    "assistant's message that made the call, too, and each result once."
                )
            waiting.discard(message.tool_call_id)
        elif waiting:
            raise InvalidRequest(
                f"The call {min(waiting)} has no result. Send one for each call, right behind the calls."
            )
        elif isinstance(message, AIMessage):
            waiting = {cast("str", call["id"]) for call in message.tool_calls}
            if len(waiting) < len(message.tool_calls):
                raise InvalidRequest("Two calls of one message have the same id. Send each with its own.")


def options_of(
    messages: Iterable[AnyMessage],
    *,
    instructions: str = "",
    tools: Sequence[FunctionDefinition] = (),
    tool_choice: Any = None,
    parallel: bool = True,
    settings: Mapping[str, Any] | None = None,
    response_format: ResponseFormat | None = None,
) -> ClientOptions:
    """Return the client's options: its tools, and its system messages after `instructions`. Raises as `_choice_of`."""
    tool_choice, tools = _allowed_of(tool_choice, tools)
    system = [message.text.strip() for message in messages if isinstance(message, SystemMessage)]
    return ClientOptions(
        instructions="\n\n".join(filter(None, [instructions.strip(), *system])),
        tools=tuple(_as_openai(tool) for tool in tools),
        tool_choice=_choice_of(tool_choice, {tool.name for tool in tools}),
        parallel_tool_calls=parallel,
        settings=dict(settings or {}),
        response_format=response_format.as_chat() if response_format else None,
    )


def check_tools(tools: Sequence[dict[str, Any]], own: frozenset[str]) -> None:
    """Raises UnsupportedParameter: two tools of a client share a name, one has a name in `own` (the server's tools),
    or their schemas are too long.
    """
    named = [tool["function"]["name"] for tool in tools]
    if taken := sorted(own & set(named)):
        raise UnsupportedParameter(
            f'A tool of the server is named "{taken[0]}", and so is one in "tools". Rename yours.', param="tools"
        )
    if len(set(named)) < len(named):
        doubled = next(name for name in named if named.count(name) > 1)
        raise UnsupportedParameter(f'Two of "tools" are named "{doubled}". Rename one of them.', param="tools")
    characters = len(json.dumps(tools))
    if characters > SCHEMA_CHARACTERS:
        raise UnsupportedParameter(
            f'"tools" has {characters:,} characters; at most {SCHEMA_CHARACTERS:,} are taken. Describe less.',
            param="tools",
        )


def _as_openai(tool: FunctionDefinition) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {}, **(tool.parameters or {})}
    if parameters["type"] != "object" or not isinstance(parameters["properties"], dict):
        raise UnsupportedParameter(
            f'The parameters of the tool "{tool.name}" are no JSON schema of an object. Give it "type": "object" and '
            '"properties".',
            param="tools",
        )
    function = {**tool.model_dump(exclude_none=True), "parameters": parameters}
    return {"type": "function", "function": function}


def _allowed_of(choice: Any, tools: Sequence[FunctionDefinition]) -> tuple[Any, Sequence[FunctionDefinition]]:
    """Return the mode and the tools of OpenAI's `allowed_tools`; another choice as it is, with all tools."""
    allowed = choice.get("allowed_tools", choice) if isinstance(choice, dict) else None
    match allowed:
        case {"mode": "auto" | "required" as mode, "tools": [*named]} if choice.get("type") == "allowed_tools":
            names = set(map(_name_in, named))
            if names and names <= {tool.name for tool in tools}:
                return mode, [tool for tool in tools if tool.name in names]
    return choice, tools


def _name_in(tool: Any) -> str:
    match tool:
        case {"function": {"name": str(name)}} | {"name": str(name)}:
            return name
    return ""


def _choice_of(choice: Any, names: set[str]) -> str:
    """Convert a vendor's `tool_choice` to one word: auto, none, any, or the name of a tool."""
    match choice:
        case None | "auto" | {"type": "auto"}:
            return "auto"
        case "none" | {"type": "none"}:
            return "none"
        case "required" | {"type": "any"} if names:
            return "any"
        case {"type": "function" | "tool"} if _name_in(choice) in names:
            return _name_in(choice)
    raise UnsupportedParameter(
        f'"tool_choice" is {json.dumps(choice)[:100]}; it can be "auto", "none", "required" with "tools", or name one of them, or some as "allowed_tools".',
        param="tool_choice",
    )
