"""Arguments of tools: checked against the tool's schema and hashed in one canonical form."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from langchain_core.tools import BaseTool
from pydantic import ValidationError

from foundation.errors import InvalidRequest, InvalidSetting, did_you_mean
from orchestration.actions import ToolMetadata
from orchestration.answers.patterns import find_error

# Relative error that a float amount may have
_ROUNDING = Decimal("1e-12")


class UnfitArguments(ValueError):
    """Arguments do not fit the tool's schema. The text says which and why, and may be shown to people."""


def arguments_hash(tool: str, tenant: str, arguments: Mapping[str, Any]) -> str:
    """Return the SHA-256 of tool, tenant and arguments as canonical JSON; the order of keys does not matter.

    >>> arguments_hash("t", "a", {"x": 1, "y": 2}) == arguments_hash("t", "a", {"y": 2, "x": 1})
    True
    """
    canonical = json.dumps([tool, tenant, dict(arguments)], sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def hash_unchecked(tool: str, tenant: str, arguments: Mapping[str, Any]) -> str:
    """Return the hash of arguments as a model sent them; empty where they have no canonical form."""
    try:
        return arguments_hash(tool, tenant, arguments)
    except (TypeError, ValueError):
        return ""


def metadata_of(tool: BaseTool, name: str, default: Any) -> Any:
    """Return an entry of the tool's `ToolMetadata`."""
    return (tool.metadata or {}).get(name, default)


def demand_described(tool: BaseTool) -> None:
    """Raises InvalidSetting: the tool has no valid schema of its arguments, or its metadata has an unknown key or argument."""
    from jsonschema import Draft202012Validator, SchemaError

    schema: Any = tool.tool_call_schema
    if isinstance(schema, dict):
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            raise InvalidSetting(f'The schema of tool "{tool.name}" is not a JSON schema: {error.message}.') from error
        if schema.get("type") != "object":
            raise InvalidSetting(f'Tool "{tool.name}" has no schema of its arguments, so they cannot be checked.')
    _demand_metadata(tool)


def _demand_metadata(tool: BaseTool) -> None:
    declared = tool.metadata or {}
    for key in declared:
        if key not in ToolMetadata.__annotations__:
            hint = f"{did_you_mean(key, ToolMetadata.__annotations__)} What is for other programs goes into its `tags`."
            raise InvalidSetting(f'The metadata of tool "{tool.name}" has an unknown key "{key}". {hint}')
    properties: dict[str, Any] = schema_of(tool).get("properties") or {}
    for name, unit in declared.get("units", {}).items():
        if not re.fullmatch(r"\d+(\.\d+)?", unit) or not Decimal(unit):
            wrong = f'The unit "{unit}" of "{name}" of tool "{tool.name}" is no amount.'
            raise InvalidSetting(f'{wrong} Write it like "0.01".')
    described = [(key, name) for key in ("arguments", "said_as", "units") for name in declared.get(key, ())]
    for key, name in described if properties else ():
        if name not in properties:
            raise InvalidSetting(
                f'The metadata of tool "{tool.name}" say something of an argument "{name}" (`{key}`), which the tool '
                f"does not take. {did_you_mean(name, properties)}"
            )


def schema_of(tool: BaseTool) -> dict[str, Any]:
    """Return the JSON schema of a tool's arguments, given as a dict or as a pydantic model."""
    schema: Any = tool.tool_call_schema
    return dict(schema if isinstance(schema, dict) else schema.model_json_schema())


def check_arguments(tool: BaseTool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments as plain JSON, defaults filled in. Raises UnfitArguments: one is wrong, missing or unknown."""
    schema: Any = tool.tool_call_schema
    properties = schema_of(tool).get("properties", {})
    for name in arguments:
        if name not in properties:
            raise UnfitArguments(f'{tool.name} was not called: "{name}" does not fit (it takes no such argument).')
    if isinstance(schema, dict):
        fitting = _by_json_schema(tool, arguments)
    else:
        try:
            fitting = schema.model_validate(dict(arguments)).model_dump(mode="json")
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise _unfit(tool, first["loc"], first["msg"]) from error
    _demand_whole_units(tool, fitting)
    return fitting


def _demand_whole_units(tool: BaseTool, arguments: Mapping[str, Any]) -> None:
    """Raise where an amount is no whole number of its unit, up to the rounding error of a float sum."""
    for name, unit in (tool.metadata or {}).get("units", {}).items():
        if (value := arguments.get(name)) is None:
            continue
        try:
            amount = Decimal(str(value))
            rounded = (amount / Decimal(unit)).to_integral_value() * Decimal(unit)
            fits = rounded > 0 and abs(amount - rounded) <= amount * _ROUNDING
        except InvalidOperation:  # no number, or an endless one
            fits = False
        if not fits:
            raise _unfit(tool, (name,), f"it is no whole number of {unit}, or none at all")


def _by_json_schema(tool: BaseTool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    from referencing.exceptions import Unresolvable

    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(arguments), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise UnfitArguments(f"{tool.name} was not called: its arguments are not plain JSON values.") from error
    schema = schema_of(tool)
    properties = schema.get("properties", {}).items()
    fitting = {name: value["default"] for name, value in properties if "default" in value} | plain
    try:
        mistake = find_error(fitting, schema)
    except InvalidRequest as error:
        raise UnfitArguments(f"{tool.name} was not called: {error}") from error
    except Unresolvable as error:
        why = f"its schema refers to {error.ref}, which is not in it"
        raise UnfitArguments(f"{tool.name} was not called: {why}.") from error
    if mistake is not None:
        # jsonschema's text quotes the value, which a person may have written; the broken rule is enough
        rule = f"{mistake.validator} = {json.dumps(mistake.validator_value)[:200]}"
        raise _unfit(tool, tuple(mistake.absolute_path), f"it breaks the rule {rule}")
    return fitting


def _unfit(tool: BaseTool, where: tuple[Any, ...], why: str) -> UnfitArguments:
    return UnfitArguments(f'{tool.name} was not called: "{".".join(map(str, where))}" does not fit ({why}).')
