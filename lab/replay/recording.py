"""A folder of recorded conversations: what the person said, what the model replied, what each tool gave.

conversations.jsonl   a conversation a line: `id`, `messages` in the shape of Chat Completions; where there are any `system`,
                      `reward`, `expected_actions` (name, kwargs), `expected_outputs`
system.md             the system prompt of all that have none of their own
tools.json            schemas in the shape of Chat Completions
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from foundation.errors import InvalidRequest
from foundation.text.json_values import read_object

NO_RESULT = "[The recording has no result of this call.]"
Part = Mapping[str, Any]
Images = tuple[dict[str, Any], ...]


class RecordedFunction(BaseModel):
    name: str = Field(min_length=1)
    arguments: str | None = None


class CallInMessage(BaseModel):
    id: str = Field(min_length=1)
    function: RecordedFunction


class Message(BaseModel):
    """A message in the shape of Chat Completions. Fields that change nothing of what is played, such as `name`, are not read."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    refusal: str | None = None
    tool_calls: list[CallInMessage] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(str(part.get("text") or part.get("refusal") or "") for part in self.content)
        return self.content or self.refusal or ""

    @property
    def images(self) -> Images:
        parts = self.content if isinstance(self.content, list) else []
        return tuple(_image_of(part) for part in parts if part.get("type") == "image_url")


class Action(TypedDict):
    name: str
    kwargs: NotRequired[dict[str, Any]]


class Record(BaseModel):
    """A line of `conversations.jsonl`. `None` counts as left out."""

    id: Annotated[str, BeforeValidator(str), Field(min_length=1, max_length=200)]
    messages: list[Message] = Field(min_length=1)
    system: str | None = None
    reward: float | None = None
    expected_actions: list[Action] | None = None
    expected_outputs: list[Annotated[str, BeforeValidator(str)]] | None = None


class Tool(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: str = "function"
    name: str = Field(min_length=1)
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


def _function_of(tool: Any) -> Any:
    return tool.get("function", tool) if isinstance(tool, dict) else tool


ToolFile = TypeAdapter(list[Annotated[Tool, BeforeValidator(_function_of)]])


@dataclass(frozen=True)
class RecordedCall:
    call_id: str
    name: str
    arguments: dict[str, Any] | str
    """A string where it is no JSON object."""
    result: str | None
    """`None` where the recording has none."""

    @property
    def result_text(self) -> str:
        return NO_RESULT if self.result is None else self.result

    @property
    def is_json(self) -> bool:
        return isinstance(self.arguments, dict)

    @property
    def is_failure(self) -> bool:
        """Whether the recorded result says that nothing was done: "Error: ...", or an object with an `error`."""
        with suppress(ValueError):
            return bool(read_object(self.result_text).get("error"))
        return self.result_text.lstrip().casefold().startswith("error")

    @property
    def can_be_judged(self) -> bool:
        return self.result is not None and self.is_json


@dataclass(frozen=True)
class Line:
    """One message of the script that is played: the person's, the model's, or a tool's result."""

    speaker: Literal["person", "model", "tool"]
    text: str
    calls: tuple[RecordedCall, ...] = ()
    call_id: str = ""
    instructions: str = ""
    """System messages that came in the middle of the conversation, up to here."""
    images: Images = ()
    judged: bool = True
    """Whether a result is compared: not where the recording has none, nor where the agent itself says that the arguments are no JSON."""


@dataclass(frozen=True)
class Conversation:
    conversation_id: str
    system: str
    script: tuple[Line, ...]
    """From the person's first message to the last one of the model or a tool."""
    closing: str
    """What the person said last, where nothing was replied to it."""
    reward: float | None
    expected_actions: tuple[Mapping[str, Any], ...]
    expected_outputs: tuple[str, ...]

    @property
    def requests(self) -> list[Line]:
        return [line for line in self.script if line.speaker == "person"]

    @property
    def calls(self) -> list[RecordedCall]:
        return [call for line in self.script for call in line.calls]

    @property
    def replies(self) -> list[str | None]:
        """The model's last text for each request; `None` where the recording ends with a call of a tool."""
        replies: list[str | None] = []
        for line in self.script:
            if line.speaker == "person":
                replies.append(None)
            elif line.speaker == "model" and not line.calls:
                replies[-1] = line.text
        return replies


@dataclass(frozen=True)
class Recording:
    folder: Path
    conversations: tuple[Conversation, ...]
    tools: tuple[Mapping[str, Any], ...]
    """name, description, parameters of each."""
    notes: tuple[str, ...] = ()
    """What is to be known of it before its figures are read."""


def read_recording(folder: Path, *, tools_from: Path | None = None) -> Recording:
    """Read the folder; `tools_from` has the schemas where the folder has none.

    Raises:
        InvalidRequest: there is no `conversations.jsonl`, a line of it is no conversation, or `tools.json` has no schemas.
    """
    path = folder / "conversations.jsonl"
    if not path.is_file():
        raise InvalidRequest(f"There is no {path.name} in {folder}. Give the folder of recorded conversations.")
    prompt = folder / "system.md"
    system = _read_text(prompt) if prompt.is_file() else ""
    lines: dict[str, int] = {}
    conversations = []
    # not `splitlines`: JSON may have a line separator of Unicode inside a string
    for number, line in enumerate(_read_text(path).split("\n"), 1):
        if line.strip():
            conversation = _read_line(line, f"Line {number} of {path}", system)
            first = lines.setdefault(conversation.conversation_id, number)
            if first != number:
                what = (
                    f"its id {conversation.conversation_id!r} is that of line {first}. Give each conversation its own."
                )
                raise InvalidRequest(f"Line {number} of {path} cannot be played: {what}")
            conversations.append(conversation)
    if not conversations:
        raise InvalidRequest(f"{path} has no conversations. Write one a line: an object with `id` and `messages`.")
    schemas = next((path for where in (folder, tools_from) if where and (path := where / "tools.json").is_file()), None)
    declared = _read_tools(schemas) if schemas else []
    tools = [*declared, *_tools_called(conversations, {tool["name"] for tool in declared})]
    return Recording(folder, tuple(conversations), tuple(tools), tuple(_notes_on(conversations, tools, declared)))


def _notes_on(
    conversations: Sequence[Conversation], tools: Sequence[Mapping[str, Any]], declared: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    added = [tool["name"] for tool in tools[len(declared) :]]
    if declared and added:
        yield f"called and not in tools.json, so made from their calls: {', '.join(added)}"
    broken = [f"{it.conversation_id} {call.call_id}" for it in conversations for call in it.calls if not call.is_json]
    if broken:
        yield f"calls whose arguments are no JSON object, of which the agent says so itself: {', '.join(broken)}"


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{path} is not in UTF-8: {error}. Save it in UTF-8.") from error


def _read_line(line: str, where: str, system: str) -> Conversation:
    try:
        return _as_conversation(Record.model_validate(json.loads(line)), system)
    except json.JSONDecodeError as error:
        advice = "Each line is one JSON object; where the last one breaks off, copy the file again."
        raise InvalidRequest(f"{where} is no JSON: {error.msg} at character {error.pos + 1}. {advice}") from error
    except (ValueError, RecursionError) as error:
        advice = "Each line is a JSON object with `id` and `messages` in the shape of Chat Completions."
        raise InvalidRequest(f"{where} is no conversation: {_fault_of(error)}. {advice}") from error


def _read_tools(path: Path) -> list[Mapping[str, Any]]:
    try:
        return [tool.model_dump() for tool in ToolFile.validate_python(json.loads(_read_text(path)))]
    except (ValueError, RecursionError) as error:
        advice = "It is a list of tools in the shape of Chat Completions."
        raise InvalidRequest(f"{path} has no schemas of tools: {_fault_of(error)}. {advice}") from error


def _fault_of(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error).rstrip(".")
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"])) or "the line"
    found = "" if first["type"] == "missing" else f" (found: {repr(first['input'])[:80]})"
    return f"{place}: {first['msg']}{found}"


def _as_conversation(record: Record, system: str) -> Conversation:
    messages = list(enumerate(record.messages))
    own: list[str] = []
    while messages and messages[0][1].role in {"system", "developer", "assistant"}:  # a greeting answers nobody
        _, first = messages.pop(0)
        own = [*own, first.text] if first.role != "assistant" else own
        if first.tool_calls:
            raise ValueError("messages.0: it begins with a call of a tool, before the person said anything")
    script = _script_of(messages)
    closing = script.pop().text if script and script[-1].speaker == "person" else ""
    if not script:
        raise ValueError("messages: the assistant says nothing in answer to a person")
    return Conversation(
        conversation_id=record.id,
        system="\n\n".join(filter(None, [record.system or "", *own])) or system,
        script=tuple(script),
        closing=closing,
        reward=record.reward,
        expected_actions=tuple({"kwargs": {}, **action} for action in record.expected_actions or ()),
        expected_outputs=tuple(record.expected_outputs or ()),
    )


def _script_of(messages: Sequence[tuple[int, Message]]) -> list[Line]:
    """The messages in the order in which they are played: messages of one speaker in a row are one, results stand in the order of
    their calls.
    """
    script: list[Line] = []
    orders = [(number, message.text) for number, message in messages if message.role in {"system", "developer"}]
    for (_, one), (number, other) in pairwise(messages):
        if one.role in {"system", "developer"} and other.role == "tool":
            raise ValueError(f"messages.{number}: a result of a tool that stands behind no call")
    messages = [(number, message) for number, message in messages if message.role not in {"system", "developer"}]
    place = 0
    while place < len(messages):
        number, first = messages[place]
        row = [first]
        while (
            first.role != "tool"
            and place + len(row) < len(messages)
            and messages[place + len(row)][1].role == first.role
        ):
            row.append(messages[place + len(row)][1])
        place += len(row)
        text = "\n\n".join(filter(None, (message.text for message in row)))
        if first.role == "user":
            images = tuple(image for message in row for image in message.images)
            reply = messages[place][0] if place < len(messages) else number
            instructions = "\n\n".join(filter(None, (order for at, order in orders if at < reply)))
            script.append(Line("person", text.strip(), instructions=instructions, images=images))
        elif first.role == "assistant":
            results = []
            while place < len(messages) and messages[place][1].role == "tool":
                results.append(messages[place])
                place += 1
            calls = _calls_of([call for message in row for call in message.tool_calls or ()], results, number)
            script.append(Line("model", text, calls))
            script += [
                Line("tool", call.result_text, call_id=call.call_id, judged=call.can_be_judged)
                for call in sorted(calls, key=lambda it: it.is_json)
            ]
        else:
            raise ValueError(f"messages.{number}: a result of a tool that stands behind no call")
    return script


def _calls_of(
    calls: Sequence[CallInMessage], results: Sequence[tuple[int, Message]], place: int
) -> tuple[RecordedCall, ...]:
    ids = [call.id for call in calls]
    if doubled := next((call_id for call_id in ids if ids.count(call_id) > 1), None):
        raise ValueError(f"messages.{place}: two calls of one message have the id {doubled!r}")
    texts: dict[str, str] = {}
    for number, message in results:
        if message.tool_call_id not in ids or message.tool_call_id in texts:
            raise ValueError(
                f"messages.{number}: a result of the call {message.tool_call_id!r}, which no call before it waits for"
            )
        texts[message.tool_call_id] = message.text
    made = [
        RecordedCall(call.id, call.function.name, _arguments_of(call.function.arguments), texts.get(call.id))
        for call in calls
    ]
    return tuple(sorted(made, key=lambda call: not call.is_json))  # as the agent has them


def _arguments_of(text: str | None) -> dict[str, Any] | str:
    try:
        return read_object(text or "{}")
    except ValueError:
        return text or ""


def _image_of(part: Part) -> dict[str, Any]:
    """The image as LangChain's content block."""
    address = part.get("image_url")
    url = str(address.get("url", "") if isinstance(address, dict) else address)
    head, comma, data = url.partition(";base64,")
    if comma and head.startswith("data:"):
        return {"type": "image", "base64": data, "mime_type": head.removeprefix("data:")}
    return {"type": "image", "url": url}


def _tools_called(conversations: Sequence[Conversation], names: Collection[str]) -> list[Mapping[str, Any]]:
    """A tool for each name that was called and is not among `names`; it takes what the recorded calls give."""
    properties: dict[str, dict[str, Any]] = {}
    for call in (call for conversation in conversations for call in conversation.calls if call.name not in names):
        taken = properties.setdefault(call.name, {})
        taken.update({name: {} for name in call.arguments} if isinstance(call.arguments, dict) else {})
    return [
        {"name": name, "description": name, "parameters": {"type": "object", "properties": taken}}
        for name, taken in properties.items()
    ]
