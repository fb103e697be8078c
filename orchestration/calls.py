"""One call of a tool: its arguments checked and hashed in one canonical form, and its outcomes that need no store."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import unicodedata
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, TypeVar

import regex
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, ToolException
from langchain_core.utils.json_schema import dereference_refs
from pydantic import ValidationError

from foundation.errors import BudgetExceeded, InvalidRequest, InvalidSetting, SixplyError, did_you_mean
from foundation.machine.deadline import in_thread_within
from foundation.output.rendering import encodable, one_line
from foundation.text.patterns import find_error, has_key_patterns
from foundation.types import Principal
from orchestration.actions import Approval, Origin, Role, ToolMetadata, ToolOutcome

T = TypeVar("T")
# Calls a tool with the call and the configuration that a tool gets
Invoke = Callable[[BaseTool, dict[str, Any], dict[str, Any]], Awaitable[ToolMessage]]
# Key beside a result in the effect log: the id of the model's call that did it
CALL_ID = "call_id"
# Most seconds of checking the arguments of one call by a schema
CHECKING_S = 2.0

Denial = Literal[
    "role", "tenant", "limit", "stopped", "approval", "mismatch", "rejected", "expired", "own", "forbidden", "repeated"
]
# The policy setting behind each denial. For "role" and "tenant" the ruling names it, for "forbidden" the tool
RULES: Mapping[Denial, str] = {
    "limit": "calls_per_run",
    "stopped": "stops",
    "approval": "effects_without_approval",
    "mismatch": "effects_without_approval",
    "rejected": "approvers",
    "expired": "approval_expires_h",
    "own": "four_eyes",
    "repeated": "effects_without_approval",
}
# Relative error that a float amount may have
_ROUNDING = Decimal("1e-12")


def arguments_hash(tool: str, tenant: str, arguments: Mapping[str, Any]) -> str:
    """Return the SHA-256 of tool, tenant and arguments as canonical JSON; the order of keys does not matter.

    >>> arguments_hash("t", "a", {"x": 1, "y": 2}) == arguments_hash("t", "a", {"y": 2, "x": 1})
    True
    """
    canonical = json.dumps([tool, tenant, dict(arguments)], sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def metadata_of(tool: BaseTool, name: str, default: Any) -> Any:
    return (tool.metadata or {}).get(name, default)


def roles_of(tool: BaseTool) -> dict[str, Role]:
    """Return what each argument is for, as the tool says; one with a unit is an amount."""
    return {**metadata_of(tool, "arguments", {}), **dict.fromkeys(metadata_of(tool, "units", {}), "amount")}


def amount_names(tool: BaseTool) -> list[str]:
    return [name for name, role in roles_of(tool).items() if role == "amount"]


def amount_of(tool: BaseTool, arguments: Mapping[str, Any]) -> Decimal | None:
    """Return the sum of the arguments that are amounts; `None` where there is none, or one is no number."""
    stated = [arguments[name] for name in amount_names(tool) if arguments.get(name) is not None]
    try:
        amounts = [Decimal(str(value)) for value in stated]
    except InvalidOperation:
        return None
    return sum(amounts, Decimal(0)) if amounts and all(amount.is_finite() for amount in amounts) else None


def demand_described(tool: BaseTool) -> None:
    """Raises InvalidSetting: the tool has no valid schema of its arguments, or its metadata has an unknown key or argument."""
    if isinstance(tool.tool_call_schema, dict):
        demand_schema(tool, tool.tool_call_schema)
    declared = tool.metadata or {}
    for key in declared:
        if key not in ToolMetadata.__annotations__:
            hint = f"{did_you_mean(key, ToolMetadata.__annotations__)} What is for other programs goes into its `tags`."
            raise InvalidSetting(f'The metadata of tool "{tool.name}" has an unknown key "{key}". {hint}')
    try:
        properties = schema_of(tool)["properties"]
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise InvalidSetting(
            f'The schema of tool "{tool.name}" refers to what is not in it: {error!r:.200}.'
        ) from error
    for name, unit in declared.get("units", {}).items():
        if not re.fullmatch(r"\d+(\.\d+)?", unit) or not Decimal(unit):
            wrong = f'The unit "{unit}" of "{name}" of tool "{tool.name}" is no amount.'
            raise InvalidSetting(f'{wrong} Write it like "0.01".')
    described = [(key, name) for key in ("arguments", "choice_phrases", "units") for name in declared.get(key, ())]
    for key, name in described if properties else ():
        if name not in properties:
            raise InvalidSetting(
                f'The metadata of tool "{tool.name}" say something of an argument "{name}" (`{key}`), which the tool '
                f"does not take. {did_you_mean(name, properties)}"
            )


def demand_schema(tool: BaseTool, schema: dict[str, Any]) -> None:
    """Raises InvalidSetting: it is no JSON schema of an object whose patterns can be read."""
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(schema)
        for pattern in _patterns_in(schema):
            regex.compile(pattern)
    except (SchemaError, regex.error, RecursionError, OverflowError) as error:
        why = error.message if isinstance(error, SchemaError) else f"a pattern of it cannot be read ({error})"
        raise InvalidSetting(f'The schema of tool "{tool.name}" is not a JSON schema: {why}.') from error
    if has_key_patterns(schema):
        raise InvalidSetting(
            f'The schema of tool "{tool.name}" has patternProperties, which are not looked for. Leave the tool out.'
        )
    if schema.get("type") != "object":
        raise InvalidSetting(f'Tool "{tool.name}" has no schema of its arguments, so they cannot be checked.')


def _patterns_in(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and isinstance(pattern := value.get("pattern"), str):
        yield pattern
    for item in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _patterns_in(item)


def schema_of(tool: BaseTool) -> dict[str, Any]:
    """Return the JSON schema of a tool's arguments, given as a dict or as a pydantic model, its boolean parts resolved and its
    references followed, but for what contains itself. Raises LookupError: a reference leads nowhere.
    """
    given: Any = tool.tool_call_schema
    schema: dict[str, Any] = given if isinstance(given, dict) else given.model_json_schema()
    properties = {name: item for name, item in (schema.get("properties") or {}).items() if item is not False}
    for name, item in properties.items():
        if "'$ref'" in repr({name: item}):  # to LangChain it is a reference also as a property's name
            properties[name] = dereference_refs({name: item}, full_schema=schema)[name]
    properties = {name: {} if item is True else item for name, item in properties.items()}
    return {name: item for name, item in schema.items() if name not in {"$defs", "definitions"}} | {
        "properties": properties
    }


def check_arguments(tool: BaseTool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments as plain JSON, defaults filled in. Raises ToolException: one is wrong, missing or unknown."""
    schema: Any = tool.tool_call_schema
    described = schema_of(tool)
    closed = described.get("additionalProperties", False) is False  # others only where the schema says so
    for name in arguments:
        if closed and name not in described["properties"]:
            raise ToolException(f'{tool.name} was not called: "{name}" does not fit (it takes no such argument).')
    for name in amount_names(tool):
        if _has_boolean(arguments.get(name)):  # pydantic and Python read `true` as 1
            raise unfit_error(tool, (name,), "it is true or false, and an amount is a number")
    if isinstance(schema, dict):
        fitting = _fit_to_schema(tool, schema, described["properties"], arguments)
    else:
        try:
            fitting = schema.model_validate(dict(arguments)).model_dump(mode="json")
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise unfit_error(tool, first["loc"], first["msg"]) from error
    _demand_whole_units(tool, fitting)
    return fitting


def _has_boolean(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_boolean, value.values()))
    return any(map(_has_boolean, value)) if isinstance(value, list | tuple) else isinstance(value, bool)


def _fit_to_schema(
    tool: BaseTool, schema: dict[str, Any], properties: Mapping[str, Any], arguments: Mapping[str, Any]
) -> dict[str, Any]:
    from referencing.exceptions import Unresolvable

    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(arguments), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ToolException(f"{tool.name} was not called: its arguments are not plain JSON values.") from error
    fitting = {name: value["default"] for name, value in properties.items() if "default" in value} | plain
    try:
        mistake = find_error(fitting, schema)
    except InvalidRequest as error:
        raise ToolException(f"{tool.name} was not called: {error}") from error
    except Unresolvable as error:
        why = f"its schema refers to {error.ref}, which is not in it"
        raise ToolException(f"{tool.name} was not called: {why}.") from error
    if mistake is not None:
        # jsonschema's text quotes the value, which a person may have written; the broken rule is enough
        rule, value = mistake.validator, mistake.validator_value
        missing = [name for name in value if name not in mistake.instance] if rule == "required" else []
        where = (*mistake.absolute_path, *missing[:1])
        raise unfit_error(tool, where, f"it breaks the rule {rule} = {json.dumps(value)[:200]}")
    return fitting


async def check_in_time(tool: BaseTool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `check_arguments` does. A schema of strangers is followed off the event loop and for `CHECKING_S` at most."""
    if not isinstance(tool.tool_call_schema, dict):
        return check_arguments(tool, arguments)
    try:
        return await in_thread_within(CHECKING_S, check_arguments, tool, arguments)
    except BudgetExceeded as error:
        why = f"checking its arguments by its own schema takes longer than {CHECKING_S:g} s"
        raise ToolException(f"{tool.name} was not called: {why}.") from error


async def ask_tool(tells: Callable[..., T], arguments: Mapping[str, Any], principal: Principal) -> T:
    """Return what a tool's own `preview` or `complete_arguments` says. Raises ToolException, also where its code fails."""
    try:
        return await asyncio.to_thread(tells, arguments, principal)
    except (ToolException, SixplyError):
        raise
    except Exception as error:  # foreign code, like the tool: what nobody can be shown, nobody is asked
        raise ToolException(f"What would be done could not be told: it failed with {type(error).__name__}.") from error


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
            raise unfit_error(tool, (name,), f"it is no whole number of {unit}, or none at all")


def unfit_error(tool: BaseTool, where: tuple[Any, ...], why: str) -> ToolException:
    return ToolException(f'{tool.name} was not called: "{".".join(map(str, where))}" does not fit ({why}).')


@dataclass(frozen=True, kw_only=True)
class Call:
    """One checked call, bound to its place in one run."""

    tool: BaseTool
    arguments: dict[str, Any]
    principal: Principal
    run_id: str
    thread_id: str
    step: int
    origin: Origin
    call_id: str
    through: Invoke | None = None

    async def invoke(self, extra: Mapping[str, Any]) -> ToolMessage:
        """Call the tool. An effect is called by nobody else, who might try it again."""
        request = {"type": "tool_call", "id": self.key, "name": self.tool.name, "args": self.arguments}
        config = {"configurable": {"principal": self.principal, **extra}}
        if self.through and not metadata_of(self.tool, "effect", True):
            return await self.through(self.tool, request, config)
        message: ToolMessage = await self.tool.ainvoke(request, config)  # type: ignore[arg-type]
        return message

    @property
    def hash(self) -> str:
        return arguments_hash(self.tool.name, self.principal.tenant, self.arguments)

    @property
    def key(self) -> str:
        return hashlib.sha256(f"{self.run_id}\n{self.step}\n{self.hash}".encode()).hexdigest()

    @property
    def request_hash(self) -> str:
        """The same for the same effect in another run that begins with the same words, as when a client sends a request twice."""
        roles = metadata_of(self.tool, "arguments", {})
        steering = {name: value for name, value in self.arguments.items() if roles.get(name) != "content"}
        asked = {"words": self.origin.words, "asked": self.origin.asked, "by": self.principal.subject}
        return (
            arguments_hash(self.tool.name, self.principal.tenant, steering | {"request": asked})
            if asked["asked"]
            else ""
        )

    @property
    def approval_id(self) -> str:
        """The id of its approval, derived from the key, so that it is requested once and serves no other call."""
        return f"ap-{self.key[:32]}"


def keep_plain(artifact: Any) -> Any:
    """Return the artifact where it is plain JSON, else `None`: what is stored must be readable after a restart."""
    try:
        return json.loads(encodable(json.dumps(artifact, ensure_ascii=False)))
    except (TypeError, ValueError):
        return None


def as_done_before(call: Call, stored: Mapping[str, Any]) -> ToolOutcome:
    """Return the stored result. Where another call of the same answer did it, its text says that it was not done again."""
    result = dict(stored)
    first = result.pop(CALL_ID, "")
    outcome = ToolOutcome(**result)
    if first in ("", call.call_id):
        return outcome
    again = "Already done by an equal call, so it was not done again. The result was:"
    return outcome.model_copy(update={"content": f"{again} {outcome.content}", "reason": "repeated"})


def as_asked_before(call: Call, earlier: Approval, within: timedelta) -> ToolOutcome:
    """Return the outcome of a request that the same person sent before, as a client does that lost the reply."""
    asked = f"You sent the same request at {earlier.requested_at:%H:%M:%S} UTC"
    if earlier.status == "pending":
        content = f"{earlier.reason} {asked}, and it still waits for the approval of a colleague; nothing is asked or done twice."
        again: dict[str, Any] = {"approval": earlier, "reason": "repeated", "rule": RULES["repeated"]}
        return ToolOutcome(tool=call.tool.name, status="waiting", content=content, **again)
    text = f"{asked}, and {earlier.decided_by} approved it; it is not done twice. To have it again, say so in other words, or after"
    return deny(call, "repeated", f"{text} {earlier.requested_at + within:%H:%M} UTC.")


def fill_open_arguments(call: Call, settled: Mapping[str, Any]) -> Call:
    """Return the call with its open arguments (`None`) taken from `settled`."""
    arguments = {name: settled.get(name) if value is None else value for name, value in call.arguments.items()}
    return replace(call, arguments=arguments)


def find_mismatch(call: Call, stored: Approval) -> ToolOutcome | None:
    """Return a denial where the stored approval does not permit this call; `None` where it does."""
    bound = (stored.approval_id, stored.tool, stored.arguments_hash, stored.tenant)
    if bound != (call.approval_id, call.tool.name, call.hash, call.principal.tenant):
        return deny(call, "mismatch", "The approval was given for something else.")
    if stored.status == "rejected":
        reason = f": {stored.decision_reason}" if stored.decision_reason else "."
        own = stored.decided_by == stored.requested_by
        return deny(call, "rejected", f"{stored.decided_by} {'withdrew it' if own else 'did not approve it'}{reason}")
    if stored.status == "expired":
        return deny(call, "expired", "The approval has expired. Ask for it again.")
    return None if stored.status == "approved" else deny(call, "approval", "It has not been approved yet.")


def deny(call: Call, reason: Denial, text: str, *, rule: str | None = None) -> ToolOutcome:
    """Return a refusal. `rule` is the setting that demands it, where that is none of `RULES`."""
    rule = RULES.get(reason, "") if rule is None else rule
    content = f"Nothing was done. {text}"
    return ToolOutcome(tool=call.tool.name, status="denied", content=content, reason=reason, rule=rule)


def fail(call: Call, reason: Literal["tool", "timeout", "unknown"], text: str) -> ToolOutcome:
    return ToolOutcome(tool=call.tool.name, status="failed", content=encodable(text), reason=reason)


def advise_after_failure(call: Call) -> str:
    effect = metadata_of(call.tool, "effect", True)
    return "Whether it happened is unknown; it is not tried again, a person must look." if effect else "Try again."


def has_hidden_characters(value: Any) -> bool:
    """Whether the value has characters that an approver cannot see."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return any(unicodedata.category(character) in ("Cf", "Cc") and character not in "\n\t\r" for character in text)


def describe_call(call: Call) -> str:
    stated = ", ".join(f"{name} = {one_line(value)}" for name, value in call.arguments.items() if value is not None)
    return f"{call.tool.name} with {stated or 'no arguments'}."
