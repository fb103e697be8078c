"""Arguments of foreign tools may be named anything, and their schemas may refer to parts of themselves."""

from __future__ import annotations

import re
from typing import Any

import pytest
from langchain_core.tools import ToolException

from extensions.outside_tools.declared import ForeignOptions, foreign_tool
from extensions.outside_tools.schemas import demand_offerable
from extensions.planned_agent.stated_arguments import arguments_in
from foundation.errors import InvalidSetting
from orchestration.actions import Origin
from orchestration.calls import check_arguments, schema_of
from orchestration.effects.values import foreign_values


async def never(*_: Any) -> tuple[str, Any]:
    raise AssertionError("called")


def made(theirs: str, schema: dict[str, Any], **options: Any) -> Any:
    return foreign_tool(
        ForeignOptions(name="notes", **options), theirs, description="Reads notes.", schema=schema, call=never
    )


async def test_arguments_may_be_named_as_langchain_names_its_own() -> None:
    names = ("config", "self", "run_manager", "callbacks", "args", "kwargs", "cls", "tool_input", "class")

    async def echo(arguments: dict[str, Any], key: str | None, effect: bool, person: Any) -> tuple[str, Any]:
        return "set", [arguments, key, effect]

    tool = foreign_tool(
        ForeignOptions(name="notes"),
        "set",
        description="Sets.",
        schema={"properties": {name: {} for name in names}},
        call=echo,
    )
    arguments = {name: {"a": 1} for name in names}
    call = {"type": "tool_call", "id": "1", "name": tool.name, "args": arguments}
    message = await tool.ainvoke(call, {"configurable": {"idempotency_key": "k"}})
    assert (message.text, message.artifact) == ("set", [arguments, "k", True])


ANYTHING = {"properties": {"a": True, "b": {"default": 2}}, "required": ["a"]}


def test_arguments_that_a_schema_leaves_open_are_taken_and_one_that_is_missing_is_named() -> None:
    tool = made("read", ANYTHING)
    assert check_arguments(tool, {"a": [1]}) == {"a": [1], "b": 2}
    with pytest.raises(ToolException, match=r'"a" does not fit .it breaks the rule required'):
        check_arguments(tool, {})
    with pytest.raises(ToolException, match=r'"c" does not fit .it takes no such argument.'):
        check_arguments(tool, {"a": 1, "c": 3})
    assert arguments_in("Set it to 3.", tool) == {}
    origin = Origin(words="Set it to 3.")
    assert foreign_values(tool, {"a": 1, "b": 2}, origin, {tool.name: tool}) == ["a"]
    for more in (True, {}, {"type": "integer"}):
        assert check_arguments(made("read", ANYTHING | {"additionalProperties": more}), {"a": 1, "c": 3})["c"] == 3
    with pytest.raises(ToolException, match=r'"c" does not fit .it breaks the rule type = "integer".'):
        check_arguments(made("read", ANYTHING | {"additionalProperties": {"type": "integer"}}), {"a": 1, "c": "x"})


A_LINE = {"type": "object", "properties": {"sku": {"type": "string"}, "next": {"$ref": "#/$defs/Line"}}}


@pytest.mark.parametrize(
    "line",
    [
        {"$ref": "#/$defs/Line"},
        {"$ref": "#/definitions/Line"},
        {"$ref": "#/$defs/Other"},
        {"$ref": "#/properties/first"},
    ],
)
def test_a_property_that_refers_to_a_part_of_its_schema_is_checked_and_read_as_that_part(line: dict[str, str]) -> None:
    parts = {"Line": A_LINE, "Other": {"$ref": "#/$defs/Line"}}
    schema = {"properties": {"line": line, "first": A_LINE}, "$defs": parts, "definitions": parts}
    tool = made("order", schema)
    demand_offerable(tool)
    assert schema_of(tool)["properties"]["line"]["properties"]["sku"] == {"type": "string"}
    fitting = {"line": {"sku": "a", "next": {"sku": "b", "next": {"sku": "c"}}}}
    assert check_arguments(tool, fitting) == fitting
    with pytest.raises(ToolException, match=r'"line\.next\.next\.sku" does not fit'):
        check_arguments(tool, {"line": {"sku": "a", "next": {"sku": "b", "next": {"sku": 5}}}})


@pytest.mark.parametrize(
    "wrong",
    ["#/$defs/Line", "#/prefixItems/0", "#line", "line.json", "http://127.0.0.1:9/line.json", "file:///etc/hosts"],
)
def test_a_reference_to_elsewhere_is_an_error_that_names_the_tool_and_the_property(wrong: str) -> None:
    tool = made("order", {"properties": {"lines": {"type": "array", "items": {"$ref": wrong}}}})
    with pytest.raises(InvalidSetting, match=rf'property "lines" of tool "notes_order" .*{re.escape(wrong)}'):
        demand_offerable(tool)


@pytest.mark.parametrize("named", [{"type": "string"}, {"$ref": "#/$defs/Line"}, True])
def test_a_property_named_as_a_keyword_is_a_property_or_an_error_that_names_it(named: Any) -> None:
    inner = {"type": "object", "properties": {"default": {"type": "string", "default": "x"}}}
    tool = made("order", {"properties": {"default": {"type": "integer", "default": 3}, "line": inner}})
    assert check_arguments(tool, {"line": {"default": "y"}}) == {"default": 3, "line": {"default": "y"}}
    # LangChain looks a property of this name up in the schema
    for properties in ({"$ref": named}, {"line": {"type": "object", "properties": {"$ref": named}}}):
        tool = made("order", {"properties": properties, "$defs": {"Line": {"type": "string"}}})
        with pytest.raises(InvalidSetting, match=r'named "\$ref"'):
            demand_offerable(tool)


def test_references_that_stand_for_millions_are_refused_before_they_are_followed() -> None:
    both = {f"a{step}": {"properties": {key: {"$ref": f"#/$defs/a{step + 1}"} for key in "lr"}} for step in range(30)}
    tool = made(
        "order", {"properties": {"lines": {"$ref": "#/$defs/a0"}}, "$defs": {**both, "a30": {"type": "string"}}}
    )
    with pytest.raises(InvalidSetting, match=r'property "lines" of tool "notes_order" .* or to too much'):
        demand_offerable(tool)


def test_references_in_a_chain_that_is_too_long_are_refused_by_name() -> None:
    chain: dict[str, Any] = {f"a{step}": {"items": {"$ref": f"#/$defs/a{step + 1}"}} for step in range(1500)}
    parts = {**chain, "a1500": {"type": "string"}}
    tool = made("order", {"properties": {"lines": {"$ref": "#/$defs/a0"}}, "$defs": parts})
    with pytest.raises(InvalidSetting, match=r'property "lines" of tool "notes_order" .* or to too much'):
        demand_offerable(tool)
