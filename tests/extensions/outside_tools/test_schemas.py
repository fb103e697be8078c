"""Schemas of strangers, a tool's or a caller's: none keeps the process busy, and none keeps it from starting."""

from __future__ import annotations

import json
import logging
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import ToolException

from extensions.outside_tools.declared import ForeignOptions, foreign_tool
from extensions.outside_tools.schemas import demand_offerable
from extensions.planned_agent import stated_arguments
from extensions.planned_agent.stated_arguments import arguments_in, identifiers, mask_identifiers
from foundation.components import Context, load
from foundation.errors import InvalidRequest, InvalidSetting
from foundation.machine import deadline
from foundation.settings import Part
from foundation.text import patterns
from foundation.text.patterns import check_schema, find_mistake
from orchestration.calls import check_in_time
from orchestration.settings import PolicySettings
from tests.doubles.orchestration import NORTH, World

DRAFT_7 = "http://json-schema.org/draft-07/schema#"
# On `re` each of these takes longer than the universe is old
NESTED = {"type": "string", "pattern": "^(a|a)+$"}
LONG = "a" * 60 + "!"
DOUBLING: dict[str, Any] = {
    "d0": {"type": "string"},
    **{f"d{step}": {"anyOf": [{"$ref": f"#/$defs/d{step - 1}"}] * 2} for step in range(1, 40)},
}
TOP = {"$ref": "#/$defs/d39"}


async def never(*_: Any) -> tuple[str, Any]:
    raise AssertionError("called")


def made(schema: dict[str, Any]) -> Any:
    return foreign_tool(ForeignOptions(name="notes"), "read", description="Reads.", schema=schema, call=never)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"properties": {"x": {"$schema": DRAFT_7, **NESTED}}}, {"x": LONG}),
        ({"$schema": DRAFT_7, "properties": {"x": NESTED, "next": {"$ref": "#"}}}, {"next": {"x": LONG}}),
        ({"properties": {"x": {"$ref": "#/$defs/p"}}, "$defs": {"p": {"$schema": DRAFT_7, **NESTED}}}, {"x": LONG}),
        ({"propertyNames": NESTED}, {LONG: 1}),
        (
            {"unevaluatedProperties": False, "anyOf": [{"properties": {"x": {"$schema": DRAFT_7, **NESTED}}}]},
            {"x": LONG},
        ),
    ],
)
def test_a_part_that_names_another_draft_is_searched_within_the_limit_too(
    schema: dict[str, Any], value: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patterns, "PATTERN_S", 0.05)
    try:
        assert find_mistake(value, {"type": "object", **schema})
    except InvalidRequest as error:
        assert "takes longer than" in str(error)  # noqa: PT017 - `regex` sees through some of these at once


@pytest.mark.parametrize(
    "schema",
    [
        {"patternProperties": {"^(a|a)+$": {}}},
        {"patternProperties": {"^(a|a)+$": {}}, "additionalProperties": False},
        {"unevaluatedProperties": False, "allOf": [{"patternProperties": {"^(a|a)+$": {}}}]},
    ],
)
def test_patterns_of_keys_are_refused_before_a_key_is_looked_at(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="patternProperties"):
        check_schema({"type": "object", **schema})
    with pytest.raises(InvalidRequest, match="patternProperties"):
        find_mistake({LONG: 1}, {"type": "object", **schema})
    with pytest.raises(InvalidSetting, match=r"notes_read.*patternProperties"):
        demand_offerable(made(schema))
    said = {"type": "object", "properties": {"x": {"description": 'no "patternProperties": {} here'}}}
    assert not find_mistake({}, said)


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"additionalProperties": TOP, "$defs": DOUBLING}, 'keyword "additionalProperties"'),
        ({"allOf": [{"not": TOP}], "$defs": DOUBLING}, 'keyword "allOf"'),
        ({"$ref": "#/$defs/d39", "$defs": DOUBLING}, r'keyword "\$ref"'),
        ({"definitions": {"e": TOP}, "$defs": DOUBLING}, 'keyword "definitions"'),
        ({"properties": {"q": {"items": TOP}}, "$defs": DOUBLING}, 'property "q"'),
        ({"additionalProperties": {"$ref": "http://127.0.0.1:9/x"}}, 'keyword "additionalProperties"'),
        (
            {
                "properties": {f"p{n}": {"$ref": "#/$defs/long"} for n in range(200)},
                "$defs": {"long": {"enum": ["x" * 999]}},
            },
            "property",
        ),
    ],
)
def test_what_references_stand_for_is_counted_in_every_keyword(schema: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidSetting, match=rf'{place}.* of tool "notes_read" .* or to too much'):
        demand_offerable(made(schema))


@pytest.mark.parametrize("pattern", ["[", "(?:" * 3000 + "a" + ")" * 3000, "(?P<a>.)(?P=b)", r"(?<=a+)b"])
def test_a_pattern_that_cannot_be_read_is_refused_at_the_start(pattern: str) -> None:
    with pytest.raises(InvalidSetting, match=r"notes_read.* is not a JSON schema"):
        demand_offerable(made({"properties": {"x": {"type": "string", "pattern": pattern}}}))


async def test_arguments_that_take_long_to_check_are_unfit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration.calls.CHECKING_S", 0.05)
    tool = made({"properties": {"q": {"anyOf": [{"allOf": [{"type": "integer"}] * 300 + [False]}] * 300}}})
    with pytest.raises(ToolException, match=r"takes longer than 0\.05 s"):
        await check_in_time(tool, {"q": 1})


def test_a_tools_slow_pattern_is_set_aside_and_questions_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(patterns, "PATTERN_S", 0.01)
    monkeypatch.setattr(stated_arguments, "_SET_ASIDE", set())
    slow = "(?:x|a?)" * 60 + "b"
    tool = made({"properties": {"code": {"type": "string", "pattern": slow}}})
    question = "a" * 2000
    assert arguments_in(question, tool) == {}
    assert identifiers(question, tool) == ()
    assert mask_identifiers(question, [tool]) == question
    assert [record.message for record in caplog.records if "set aside" in record.message][1:] == []


# -- a server that wants harm ------------------------------------------------------------------------------------------


def hostile(folder: Path, tools: list[dict[str, Any]], result: dict[str, Any]) -> Any:
    told = folder / "told.json"
    told.write_text(json.dumps({"tools": tools, "result": result}))
    command = [sys.executable, "-m", "tests.doubles.mcp_hostile", str(told)]
    declared = {tool["name"]: {"effect": False} for tool in tools}
    part = Part(use="mcp", name="notes", command=command, tools=declared, connect_timeout_s=60)
    return load("orchestration.tools", part, Context(data_dir=folder))


def described(name: str, schema: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "description": "Reads.", "inputSchema": {"type": "object", **(schema or {})}, **more}


@pytest.mark.parametrize(
    ("schema", "content"),
    [
        ({"properties": {"x": {"type": "string", "pattern": "^(a+)+$"}}}, {"x": "a" * 45 + "!"}),
        ({"properties": {"x": TOP}, "$defs": DOUBLING}, {"x": 1}),
        ({"properties": {"x": {"$ref": "#/nowhere"}}}, {"x": 1}),
    ],
)
async def test_the_schema_of_a_result_is_read_by_nobody(
    tmp_path: Path, data_dir: Path, schema: dict[str, Any], content: dict[str, Any]
) -> None:
    tool = described("read", outputSchema={"type": "object", **schema})
    tools = hostile(tmp_path, [tool], {"content": [], "structuredContent": content})
    world = World(data_dir, tools=tools, policy=PolicySettings(roles={"clerk": ("notes_read",)}))
    given = {"principal": NORTH, "run_id": "r", "thread_id": "t", "step": 1}
    outcome = await world.executor().call("notes_read", {}, **given)  # type: ignore[arg-type]
    assert (outcome.status, outcome.artifact) == ("done", content)
    world.close()
    tools.close()


def test_tools_that_cannot_be_offered_are_left_out_by_name_and_the_others_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = {
        "deep": {"additionalProperties": TOP, "$defs": DOUBLING},
        "lost": {"additionalProperties": {"$ref": "http://127.0.0.1:9/x"}},
        "keys": {"patternProperties": {"a": {}}},
        "odd": {"properties": {"x": {"pattern": "["}}},
    }
    with caplog.at_level(logging.ERROR):
        tools = hostile(
            tmp_path,
            [*(described(name, schema) for name, schema in wrong.items()), described("read/it"), described("read_it")],
            {},
        )
    assert [tool.name for tool in tools] == ["notes_read_it"]
    told = "\n".join(caplog.messages)
    assert all(f"The MCP server \"notes\": its tool '{name}' is left out." in told for name in (*wrong, "read_it"))
    tools.close()


@pytest.mark.parametrize("listed", [[described("read", {"title": "x" * 3_000_000})], [{"name": 5}], ["no tool"]])
def test_a_server_that_cannot_be_used_keeps_nothing_from_starting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, listed: list[Any]
) -> None:
    told = tmp_path / "told.json"
    told.write_text(json.dumps({"tools": listed, "result": {}}))
    command = [sys.executable, "-m", "tests.doubles.mcp_hostile", str(told)]
    tools = load("orchestration.tools", Part(use="mcp", name="notes", command=command), Context(data_dir=tmp_path))
    assert list(tools) == []
    assert 'The MCP server "notes": its tools are missing until the next start.' in caplog.text
    tools.close()


# -- what a person wrote ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("free", [(), ("send_parcel",)])
async def test_values_are_traced_off_the_event_loop_and_a_person_decides_where_that_takes_long(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, free: tuple[str, ...]
) -> None:
    threads = []

    def trace(*_: Any) -> list[str]:
        threads.append(threading.get_ident())
        deadline.check()
        return []

    monkeypatch.setattr("orchestration.effects.executor.list_reasons_to_ask", trace)
    monkeypatch.setattr("orchestration.effects.executor.TRACING_S", -1.0)
    world = World(data_dir, policy=PolicySettings(roles={"clerk": ("send_parcel",)}, effects_without_approval=free))
    given = {"principal": NORTH, "run_id": "r", "thread_id": "t", "step": 1}
    outcome = await world.executor().call("send_parcel", {"parcel_id": "P-123", "reason": "asked"}, **given)  # type: ignore[arg-type]
    assert threading.get_ident() not in threads
    assert outcome.status == "waiting"
    assert "what the person said takes longer than" in outcome.content
    world.close()
