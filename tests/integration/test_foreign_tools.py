"""Tools of others through the executor: a real MCP server as a process, and a real HTTP API described by OpenAPI."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from foundation.components import Context, load
from foundation.errors import InvalidSetting, MissingCredential, SixplyError
from foundation.settings import Part, PolicySettings
from orchestration.contract import Decision, ToolOutcome
from orchestration.executor import Executor
from tests.doubles.orchestration import LEAD, NORTH, World

SECTION = "orchestration.tools"
READS = {"read_note": {"effect": False}, "count_notes": {"effect": False}}


def notes(folder: Path, **options: Any) -> Any:
    command = [sys.executable, "-m", "tests.doubles.mcp_notes", str(folder / "notes.txt")]
    part = Part(use="mcp", **{"name": "notes", "command": command, "tools": READS, **options})
    return load(SECTION, part, Context(data_dir=folder))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notes")


@pytest.fixture(scope="module")
def tools(folder: Path) -> Iterator[Any]:
    made = notes(folder)
    yield made
    made.close()


def world_of(folder: Path, tools: Any) -> World:
    return World(folder, tools=tools, policy=PolicySettings(roles={"clerk": tuple(tool.name for tool in tools)}))


@pytest.fixture
def world(data_dir: Path, tools: Any) -> Iterator[World]:
    made = world_of(data_dir, tools)
    yield made
    made.close()


async def call(executor: Executor, tool: str, arguments: dict[str, Any], **more: Any) -> ToolOutcome:
    given = {"principal": NORTH, "run_id": "run-1", "thread_id": "t-1", "step": 1, **more}
    return await executor.call(tool, arguments, **given)


async def approved(world: World, executor: Executor, tool: str, arguments: dict[str, Any], **more: Any) -> ToolOutcome:
    waiting = await call(executor, tool, arguments, **more)
    assert waiting.approval is not None, waiting
    await executor.decide(Decision(approval_id=waiting.approval.approval_id, approve=True), LEAD)
    return await call(executor, tool, arguments, approval=waiting.approval, **more)


def test_tools_have_the_servers_name_before_theirs_and_are_effects_unless_declared(tools: Any) -> None:
    assert {tool.name: tool.metadata["effect"] for tool in tools} == {
        "notes_read_note": False,
        "notes_count_notes": False,
        "notes_write_note": True,
    }


def test_a_description_that_gives_orders_is_left_out(tools: Any) -> None:
    descriptions = {tool.name: tool.description for tool in tools}
    assert descriptions["notes_read_note"] == "Read one of the notes."
    assert descriptions["notes_count_notes"] == "count_notes"


async def test_an_effect_waits_happens_once_and_can_be_read_afterwards(world: World, folder: Path) -> None:
    executor = world.executor()
    first = await approved(world, executor, "notes_write_note", {"text": "buy lamps"})
    again = await call(executor, "notes_write_note", {"text": "buy lamps"}, approval=first.approval)
    assert (first.status, first.content) == (again.status, again.content) == ("done", "Noted: buy lamps")
    kept = (folder / "notes.txt").read_text().splitlines()
    assert len([line for line in kept if line.startswith("buy lamps")]) == 1
    assert "no key" not in kept[-1]

    assert (await call(executor, "notes_read_note", {"number": 0})).content.startswith(kept[0])
    counted = await call(executor, "notes_count_notes", {})
    assert counted.artifact == {"notes": len(kept)}


async def test_arguments_are_checked_before_the_server_is_asked(world: World) -> None:
    executor = world.executor()
    for arguments in ({"number": "one"}, {}, {"number": 0, "tenant": "south"}):
        assert (await call(executor, "notes_read_note", arguments)).reason == "arguments"
    missing = await call(executor, "notes_read_note", {"number": 99})
    assert (missing.status, missing.reason, "no note 99" in missing.content) == ("failed", "tool", True)


async def test_an_effect_that_its_server_says_has_failed_is_of_unknown_fate(world: World) -> None:
    executor = world.executor()
    outcome = await approved(world, executor, "notes_write_note", {"text": "fail"})
    assert (outcome.status, outcome.reason) == ("failed", "unknown")
    assert "a person must look" in outcome.content


async def test_a_server_that_dies_is_started_again_and_the_lost_effect_is_not_repeated(data_dir: Path) -> None:
    made = await asyncio.to_thread(notes, data_dir)
    world = world_of(data_dir, made)
    executor = world.executor()
    lost = await approved(world, executor, "notes_write_note", {"text": "die"})
    assert (lost.status, lost.reason) == ("failed", "unknown")
    assert (await call(executor, "notes_count_notes", {}, run_id="run-2")).artifact == {"notes": 0}

    await approved(world, executor, "notes_write_note", {"text": "die"}, run_id="run-3")
    (data_dir / "notes.changed").touch()  # the server comes back and describes more than it did
    refused = await call(executor, "notes_count_notes", {}, run_id="run-4")
    assert (refused.status, refused.reason) == ("failed", "tool")
    assert "Nothing was done" in refused.content
    await asyncio.to_thread(made.close)
    world.close()


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"command": []}, InvalidSetting, "needs either command"),
        ({"command": [sys.executable, "-c", "pass"]}, InvalidSetting, "cannot be used"),
        ({"command": ["no-such-program"]}, InvalidSetting, "cannot be used"),
        ({"only": ["read_notes"], "tools": {}}, InvalidSetting, 'Did you mean "read_note"'),
        ({"tools": {"wipe": {"effect": False}}}, InvalidSetting, 'no tool "wipe"'),
        ({"env_from": {"KEY": "NO_SUCH_VARIABLE"}}, MissingCredential, "NO_SUCH_VARIABLE"),
    ],
)
def test_a_server_that_cannot_be_used_is_told_at_the_start(
    data_dir: Path, options: dict[str, Any], error: type[SixplyError], told: str
) -> None:
    with pytest.raises(error, match=told):
        notes(data_dir, connect_timeout_s=10, **options)
