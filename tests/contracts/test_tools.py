"""The promises of a tool, on every one of orchestration/tools and of stack.toml, and on broken ones: that the executor can govern it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool, ToolException
from pydantic import BaseModel

from foundation.components import Context, load
from foundation.types import Principal
from serving.settings import load as read
from tests import services
from tests.conftest import MADE
from tests.contracts import under_test
from tests.contracts.broken import tools as broken

ROOT = Path(__file__).parents[2]
SECTION = "orchestration.tools"
FOREIGN = {"mcp", "openapi"}
"""They make tools of what somebody else serves: tests/integration/test_foreign_tools.py plays those others."""
OWN = [part.use for part in read(ROOT / "stack.toml").settings.orchestration.tools if ":" in part.use]
PARTS = sorted({*under_test.adapters(SECTION, *OWN)} - FOREIGN)

ARGUMENTS: dict[str, dict[str, Any]] = {
    "find_order": {"order_id": "QM-10042"},
    "list_tickets": {},
    "open_ticket": {"subject": "The cradle does not charge", "order_id": "QM-10037"},
    "remember": {"fact": "Our printers are all QL-20W"},
    "forget": {"fact": "Our printers are all QL-20W"},
    "recall_facts": {},
    "refund": {"order_id": "QM-10017", "reason": "arrived broken"},
}
"""One valid call for each tool, by the customer below. Of a tool of your own none is known, and it is not called."""

CUSTOMER = Principal(subject="ilka", tenant="alder-clinics", roles=frozenset({"agent"}))
STRANGER = Principal(subject="tove", tenant="bexley-schools", roles=frozenset({"agent"}))

Check = Callable[[BaseTool, Mapping[str, Any]], None]


def call(tool: BaseTool, arguments: Mapping[str, Any], principal: Principal | None = CUSTOMER, key: str = "k-1") -> Any:
    request = {"type": "tool_call", "id": key, "name": tool.name, "args": dict(arguments)}
    known = {"principal": principal, "idempotency_key": key, "approved_by": "rufus"} if principal else {}
    return asyncio.run(tool.ainvoke(request, {"configurable": known}))


def its_arguments_can_be_checked(tool: BaseTool, arguments: Mapping[str, Any]) -> None:
    schema = tool.tool_call_schema
    assert isinstance(schema, type)
    assert issubclass(schema, BaseModel)
    if tool.name in ARGUMENTS:
        schema.model_validate(dict(arguments))


def no_argument_names_a_tenant_or_a_person(tool: BaseTool, arguments: Mapping[str, Any]) -> None:
    """Who acts comes from the credential, never from the conversation."""
    del arguments
    assert not set(tool.args) & {"tenant", "principal", "user", "customer_id", "approved_by"}


def it_says_whether_it_is_an_effect(tool: BaseTool, arguments: Mapping[str, Any]) -> None:
    del arguments
    assert isinstance((tool.metadata or {}).get("effect"), bool)


def it_can_be_found_by_what_people_say(tool: BaseTool, arguments: Mapping[str, Any]) -> None:
    del arguments
    assert len(tool.description) > 10
    assert len((tool.metadata or {}).get("examples", ())) >= 3


def it_answers_in_a_sentence_and_in_data(tool: BaseTool, arguments: Mapping[str, Any]) -> None:
    message = call(tool, arguments)
    assert message.text.rstrip()
    assert isinstance(message.artifact, dict)


def nobody_is_nobody(tool: BaseTool, arguments: Mapping[str, Any]) -> None:
    with pytest.raises(ToolException):
        call(tool, arguments, principal=None)


def another_tenant_sees_nothing_of_it(tool: BaseTool, arguments: Mapping[str, Any]) -> None:
    if "order_id" not in arguments:
        ours, theirs = call(tool, arguments).text, call(tool, arguments, STRANGER, "k-2").text
        assert not set(ours.splitlines()[1:]) & set(theirs.splitlines()[1:])
        return
    with pytest.raises(ToolException) as refused:
        call(tool, arguments, STRANGER)
    with pytest.raises(ToolException) as unknown:
        call(tool, {**arguments, "order_id": "QM-99999"})
    assert str(refused.value).replace(arguments["order_id"], "") == str(unknown.value).replace("QM-99999", "")


def the_same_key_acts_once(tool: BaseTool, arguments: Mapping[str, Any]) -> None:
    """What `idempotent` promises: the executor may call again when it does not know how the first call ended."""
    if not (tool.metadata or {}).get("idempotent") or not (tool.metadata or {}).get("effect"):
        return
    first, second = call(tool, arguments), call(tool, arguments)
    assert (first.text, first.artifact) == (second.text, second.artifact)


CHECKS: list[Check] = [
    its_arguments_can_be_checked,
    no_argument_names_a_tenant_or_a_person,
    it_says_whether_it_is_an_effect,
    it_can_be_found_by_what_people_say,
    it_answers_in_a_sentence_and_in_data,
    nobody_is_nobody,
    another_tenant_sees_nothing_of_it,
    the_same_key_acts_once,
]


UNCALLED = [
    its_arguments_can_be_checked,
    no_argument_names_a_tenant_or_a_person,
    it_can_be_found_by_what_people_say,
]


def tools_of(part: str, folder: Path) -> dict[str, BaseTool]:
    built: list[BaseTool] = load(SECTION, under_test.part(SECTION, part), Context(data_dir=folder))
    return {tool.name: tool for tool in built}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("part", PARTS)
def test_every_tool_keeps(part: str, check: Check, watched: under_test.Watch, data_dir: Path) -> None:
    tools = [name for name in tools_of(part, data_dir) if name in ARGUMENTS or check in UNCALLED]
    uncalled = ", ".join(tools_of(part, data_dir).keys() - tools)
    assert MADE or under_test.NAMED or not uncalled, f"add a valid call of {uncalled} to ARGUMENTS above"
    for name in tools:
        tool = tools_of(part, data_dir / name)[name]
        check(watched(SECTION, tool), ARGUMENTS.get(name, {}))
    # only in a made project or under `make contracts NAME=`, as the assertion above demands: nobody but the owner of a tool knows a valid
    # call of it, and the tools that have one were tried before this line
    if uncalled:
        pytest.skip(f"not claimed: no valid call of {uncalled} is known here, {services.YOURS}")


@pytest.mark.parametrize(
    ("fault", "caught_by"), broken.BROKEN.items(), ids=lambda value: getattr(value, "__name__", "")
)
def test_a_broken_tool_is_caught(fault: Callable[[Path], BaseTool], caught_by: str, data_dir: Path) -> None:
    check = next(check for check in CHECKS if check.__name__ == caught_by)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(fault(data_dir), {"order_id": "QM-10042"})
