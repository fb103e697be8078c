"""A folder of recorded conversations: what the person said, what the model replied, what each tool gave.

conversations.jsonl   a conversation a line: `id`, `messages` in the shape of Chat Completions; where there are any `system`,
                      `reward`, `expected_actions` (name, kwargs), `expected_outputs`
system.md             the system prompt of all that have none of their own
tools.json            schemas in the shape of Chat Completions
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from foundation.errors import InvalidRequest

Messages = list[Mapping[str, Any]]


@dataclass(frozen=True)
class RecordedCall:
    call_id: str
    name: str
    arguments: dict[str, Any] | str
    """A string where it is no JSON object."""
    result: str | None
    """`None` where the recording ends before it."""


@dataclass(frozen=True)
class Line:
    """One message of the script that is played: the person's, the model's, or a tool's result."""

    speaker: Literal["person", "model", "tool"]
    text: str
    calls: tuple[RecordedCall, ...] = ()
    call_id: str = ""
    instructions: str = ""
    """System messages that came in the middle of the conversation, up to here."""


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


def read_recording(folder: Path, *, tools_from: Path | None = None) -> Recording:
    """Read the folder; `tools_from` has the schemas where the folder has none.

    Raises:
        InvalidRequest: there is no `conversations.jsonl`, or a line of it is no conversation.
    """
    path = folder / "conversations.jsonl"
    if not path.is_file():
        raise InvalidRequest(f"There is no {path.name} in {folder}. Give the folder of recorded conversations.")
    prompt = folder / "system.md"
    system = prompt.read_text(encoding="utf-8") if prompt.is_file() else ""
    conversations = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            try:
                conversations.append(_as_conversation(json.loads(line), system))
            except (ValueError, KeyError, TypeError, IndexError) as error:
                raise InvalidRequest(
                    f"Line {number} of {path} is no conversation: {type(error).__name__}: {error}. Each line is a JSON object with "
                    "`id` and `messages` in the shape of Chat Completions."
                ) from error
    schemas = next((path for where in (folder, tools_from) if where and (path := where / "tools.json").is_file()), None)
    declared = [tool.get("function", tool) for tool in json.loads(schemas.read_text("utf-8"))] if schemas else []
    return Recording(folder, tuple(conversations), tuple(_with_those_called(declared, conversations)))


def _as_conversation(record: Mapping[str, Any], system: str) -> Conversation:
    messages: Messages = list(record["messages"])
    own: list[str] = []
    while messages and messages[0]["role"] in {"system", "developer", "assistant"}:  # a greeting answers nobody
        first = messages.pop(0)
        own = [*own, _text_of(first)] if first["role"] != "assistant" else own
    script = _script_of(messages)
    closing = script.pop().text if script and script[-1].speaker == "person" else ""
    return Conversation(
        conversation_id=str(record["id"]),
        system="\n\n".join(filter(None, [str(record.get("system") or ""), *own])) or system,
        script=tuple(script),
        closing=closing,
        reward=record.get("reward"),
        expected_actions=tuple(record.get("expected_actions") or ()),
        expected_outputs=tuple(str(output) for output in record.get("expected_outputs") or ()),
    )


def _script_of(messages: Messages) -> list[Line]:
    """The messages in the order in which they are played: messages of one speaker in a row are one, results stand in the order of
    their calls.
    """
    script: list[Line] = []
    instructions = ""
    place = 0
    while place < len(messages):
        role = messages[place]["role"]
        row = [messages[place]]
        while role != "tool" and place + len(row) < len(messages) and messages[place + len(row)]["role"] == role:
            row.append(messages[place + len(row)])
        place += len(row)
        text = "\n\n".join(filter(None, map(_text_of, row)))
        if role == "user":
            script.append(Line("person", text.strip(), instructions=instructions))
        elif role in {"system", "developer"}:
            instructions = "\n\n".join(filter(None, [instructions, text]))
        elif role == "assistant":
            wanted = [call for message in row for call in message.get("tool_calls") or ()]
            results = []
            while place < len(messages) and messages[place]["role"] == "tool":
                results.append(messages[place])
                place += 1
            calls = tuple(_as_call(call, results) for call in wanted)
            script.append(Line("model", text, calls))
            script += [Line("tool", call.result, call_id=call.call_id) for call in calls if call.result is not None]
        else:
            raise ValueError(f"a message of role {role} stands where none can")
    return script


def _as_call(call: Mapping[str, Any], results: Messages) -> RecordedCall:
    function = call["function"]
    try:
        arguments = json.loads(function["arguments"] or "{}")
    except ValueError:
        arguments = function["arguments"]
    result = next((_text_of(message) for message in results if message["tool_call_id"] == call["id"]), None)
    whole = arguments if isinstance(arguments, dict) else str(function["arguments"])
    return RecordedCall(call["id"], function["name"], whole, result)


def _text_of(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content)


def _with_those_called(declared: Sequence[Any], conversations: Sequence[Conversation]) -> list[Mapping[str, Any]]:
    """The schemas, or, where there are none, schemas that take what the recorded calls give."""
    if declared:
        return list(declared)
    properties: dict[str, dict[str, Any]] = {}
    for conversation in conversations:
        for call in conversation.calls:
            taken = properties.setdefault(call.name, {})
            taken.update({name: {} for name in call.arguments} if isinstance(call.arguments, dict) else {})
    return [
        {"name": name, "description": name, "parameters": {"type": "object", "properties": taken}}
        for name, taken in properties.items()
    ]
