"""The tools of a played conversation: those of a world that is implemented here run, any other answers what was recorded."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, ToolException

from foundation.errors import InvalidRequest
from lab.replay import tau_world
from lab.replay.journal import Journal
from lab.replay.recording import NO_RESULT, Conversation, Recording
from orchestration.actions import ToolMetadata

READING = re.compile(
    r"(calc|check|count|describe|fetch|find|get|list|look|open|query|read|retrieve|search|show|think|view)",
    re.IGNORECASE,
)
"""How the names of tools begin that change nothing, where nobody says whether they do."""
AIRLINE_TABLES = ("flights", "reservations", "users")


class World(Protocol):
    """What tools act on. It lives in memory: what was done is done again from the journal where a process goes on."""

    names: Sequence[str]
    reads: Sequence[str]
    described: Mapping[str, ToolMetadata]
    """What each writing tool may do, and what its arguments are, for the policy."""

    def call(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Raises ToolException: it cannot be done, and nothing was changed."""

    def dump(self) -> str:
        """The whole state, for comparing."""

    def has_ended(self, conversation: Conversation) -> bool:
        """Whether the conversation came to an end at which it is judged."""


class AirlineWorld:
    """tau-bench's airline, by the rules of its first version."""

    reads: Sequence[str] = (*tau_world.READS, "transfer_to_human_agents")
    names: Sequence[str] = (*reads, *tau_world.ACTS)
    described: Mapping[str, ToolMetadata] = tau_world.DESCRIBED

    def __init__(self, tables: Sequence[str], now: datetime) -> None:
        self._airline = tau_world.Airline(*map(json.loads, tables), now=now, names_new_cabin=False)

    def call(self, tool: str, arguments: Mapping[str, Any]) -> str:
        return tau_world.result_text(getattr(self._airline, tool)(**arguments))

    def dump(self) -> str:
        return self._airline.dump()

    def has_ended(self, conversation: Conversation) -> bool:
        handed_over = any(call.name == "transfer_to_human_agents" for call in conversation.calls)
        return handed_over or "###STOP###" in conversation.closing


def find_world(recording: Recording, folder: Path | None) -> Path | None:
    """The folder with the tables that the recording's tools act on: named, the recording's own, or one beside it whose name its
    own begins with.
    """
    beside = [path for path in recording_neighbours(recording.folder) if (path / "db_flights.json").is_file()]
    if folder is not None and not (folder / "db_flights.json").is_file():
        raise InvalidRequest(f"{folder} has no db_flights.json. WORLD is the folder with the database of the airline.")
    return folder or next(iter(beside), None)


def recording_neighbours(folder: Path) -> list[Path]:
    whole = folder.resolve()
    return [whole, *(path for path in sorted(whole.parent.iterdir()) if whole.name.startswith(f"{path.name}-"))]


def open_worlds(recording: Recording, folder: Path | None) -> tuple[Callable[[], World] | None, list[str]]:
    """How to make a fresh world for each conversation, and what is to be known of it; `None` where none is implemented."""
    if folder is None:
        return None, []
    tables = [(folder / f"db_{table}.json").read_text(encoding="utf-8") for table in AIRLINE_TABLES]
    said = next((found for c in recording.conversations if (found := _NOW.search(c.system))), None)
    if said is None:
        raise InvalidRequest(f'No system prompt in {recording.folder} says "The current time is YYYY-MM-DD HH:MM:SS".')
    notes = []
    results = (
        call.result or "" for c in recording.conversations for call in c.calls if call.name == "get_user_details"
    )
    if any('"province": ' in result for result in results) and '"province":' not in tables[2]:
        tables[2] = tables[2].replace('"state":', '"province":')
        notes.append("db_users.json names `state` what the recorded results name `province`: played under that name")
    return (lambda: AirlineWorld(tables, datetime.fromisoformat(said[1]))), notes


_NOW = re.compile(r"current time is (\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)")


class RecordedTool(BaseTool):
    """Takes arguments of any name, also those that LangChain uses itself (`config`, `self`)."""

    answer: Callable[[dict[str, Any], str], tuple[str, Any]]

    def _to_args_and_kwargs(self, tool_input: Any, tool_call_id: str | None) -> tuple[tuple[Any], dict[str, Any]]:  # noqa: ARG002
        return (tool_input,), {}

    def _run(self, arguments: dict[str, Any], config: RunnableConfig) -> tuple[str, Any]:
        return self.answer(arguments, config["configurable"].get("idempotency_key", ""))


class ConversationTools:
    """The tools of one conversation, over its world and its journal."""

    def __init__(
        self, recording: Recording, conversation: Conversation, journal: Journal, make_world: Callable[[], World] | None
    ) -> None:
        self._conversation, self._journal = conversation, journal
        self.world = make_world() if make_world else None
        self._answered: set[tuple[int, int]] = set()
        for done in journal.calls():
            if done.effect and self._runs(done.tool):
                assert self.world is not None
                self.world.call(done.tool, done.arguments)
        self.tools = [self._tool(schema) for schema in recording.tools]

    @property
    def writing(self) -> tuple[str, ...]:
        return tuple(tool.name for tool in self.tools if (tool.metadata or {}).get("effect", True))

    def _runs(self, name: str) -> bool:
        return self.world is not None and name in self.world.names

    def _acts(self, name: str) -> bool:
        if self.world is not None and name in self.world.names:
            return name not in self.world.reads
        return READING.match(name) is None

    def _tool(self, schema: Mapping[str, Any]) -> BaseTool:
        name = schema["name"]
        acts, described = self._acts(name), self.world.described.get(name, {}) if self.world else {}

        def answer(arguments: dict[str, Any], key: str) -> tuple[str, Any]:
            try:
                if acts:
                    result = self._journal.act_once(key, name, arguments, lambda: self._result(name, arguments))
                else:
                    result = self._result(name, arguments)
                    self._journal.record_call(name, arguments, result)
            except ToolException as error:
                self._journal.record_call(name, arguments, str(error))
                raise
            return result, _as_data(result)

        return RecordedTool(
            answer=answer,
            name=name,
            description=schema.get("description") or name,
            args_schema=_without_defaults({"type": "object", "properties": {}, **(schema.get("parameters") or {})}),
            response_format="content_and_artifact",
            metadata={"idempotent": True, **described} if acts else {"effect": False, "trusted": ("*",)},
        )

    def _result(self, name: str, arguments: dict[str, Any]) -> str:
        if self.world is not None and self._runs(name):
            return self.world.call(name, json.loads(json.dumps(arguments)))
        return self._recorded(name, arguments)

    def _recorded(self, name: str, arguments: dict[str, Any]) -> str:
        """What the recording has for this call among those that the model made last."""
        place = int(self._journal.marked("place") or 0)
        calls = list(enumerate(self._conversation.script[place].calls))
        fitting = [(number, call) for number, call in calls if (call.name, call.arguments) == (name, arguments)]
        named = [(number, call) for number, call in calls if call.name == name]
        for number, call in fitting or named:
            if (place, number) not in self._answered:
                self._answered.add((place, number))
                if call.is_failure:  # so that an effect may be tried again
                    raise ToolException(call.result_text)
                return call.result_text
        return NO_RESULT


def _without_defaults(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema by which no argument is filled in: the recorded call stands for itself."""
    properties = schema["properties"] or {}
    plain = {
        name: {key: part for key, part in value.items() if key != "default"} if isinstance(value, dict) else value
        for name, value in properties.items()
    }
    return {**schema, "properties": plain}


def _as_data(result: str) -> Any:
    try:
        data = json.loads(result)
    except ValueError:
        return None
    return data if isinstance(data, dict | list) else None
