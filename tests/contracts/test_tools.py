"""The promises of a tool, on every one of orchestration/tools and of stack.toml, and on broken ones: that the executor can govern it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from pydantic import BaseModel

from foundation.components import Context, load
from foundation.types import EVERY_TENANT, Principal
from serving.settings import load as read
from tests import services
from tests.conftest import MADE
from tests.contracts import under_test
from tests.contracts.broken import tools as broken

ROOT = Path(__file__).parents[2]
SECTION = "orchestration.tools"
FOREIGN = {"mcp", "openapi", "tables"}
"""They make tools of what somebody else serves, or of documents that were added: their own tests in tests/extensions play those."""
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
"""One valid call for each tool, by the customer below. A tool of your own names one in its metadata, `sample`; else it is not called."""

CUSTOMER = Principal(subject="ilka", tenant="alder-clinics", roles=frozenset({"agent"}))
STRANGER = Principal(subject="tove", tenant="bexley-schools", roles=frozenset({"agent"}))

Check = Callable[[BaseTool, Mapping[str, Any]], None]


def sample_of(tool: BaseTool) -> Mapping[str, Any] | None:
    known = {"tenant": CUSTOMER.tenant, "arguments": ARGUMENTS[tool.name]} if tool.name in ARGUMENTS else None
    sample: Mapping[str, Any] | None = (tool.metadata or {}).get("sample", known)
    return sample


def caller_of(tool: BaseTool) -> Principal:
    return replace(CUSTOMER, tenant=(sample_of(tool) or {}).get("tenant", CUSTOMER.tenant))


def tells_all_the_same(tool: BaseTool) -> bool:
    return caller_of(tool).tenant == EVERY_TENANT


def call(tool: BaseTool, arguments: Mapping[str, Any], principal: Principal | None, key: str = "k-1") -> Any:
    request = {"type": "tool_call", "id": key, "name": tool.name, "args": dict(arguments)}
    known = {"principal": principal, "idempotency_key": key, "approved_by": "rufus"} if principal else {}
    return asyncio.run(tool.ainvoke(request, {"configurable": known}))


def its_arguments_can_be_checked(tool: BaseTool, arguments: Mapping[str, Any]) -> None:
    schema = tool.tool_call_schema
    assert isinstance(schema, type)
    assert issubclass(schema, BaseModel)
    if sample_of(tool):
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
    message = call(tool, arguments, caller_of(tool))
    assert message.text.rstrip()
    assert isinstance(message.artifact, dict)


def nobody_is_nobody(tool: BaseTool, arguments: Mapping[str, Any]) -> None:
    if tells_all_the_same(tool):
        return
    with pytest.raises(ToolException):
        call(tool, arguments, principal=None)


def another_tenant_sees_nothing_of_it(tool: BaseTool, arguments: Mapping[str, Any]) -> None:
    if tells_all_the_same(tool):
        return
    if "order_id" not in arguments:
        ours = call(tool, arguments, caller_of(tool)).text
        try:
            theirs = call(tool, arguments, STRANGER, "k-2").text
        except ToolException:
            return
        assert not set(ours.splitlines()[1:]) & set(theirs.splitlines()[1:])
        return
    with pytest.raises(ToolException) as refused:
        call(tool, arguments, STRANGER)
    with pytest.raises(ToolException) as unknown:
        call(tool, {**arguments, "order_id": "QM-99999"}, caller_of(tool))
    assert str(refused.value).replace(arguments["order_id"], "") == str(unknown.value).replace("QM-99999", "")


def the_same_key_acts_once(tool: BaseTool, arguments: Mapping[str, Any]) -> None:
    """What `idempotent` promises: the executor may call again when it does not know how the first call ended."""
    if not (tool.metadata or {}).get("idempotent") or not (tool.metadata or {}).get("effect"):
        return
    first, second = (call(tool, arguments, caller_of(tool)) for _ in range(2))
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
    folder.mkdir(parents=True, exist_ok=True)  # as the system has made its own before it builds a tool
    built: list[BaseTool] = load(SECTION, under_test.part(SECTION, part), Context(data_dir=folder))
    return {tool.name: tool for tool in built}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("part", PARTS)
def test_every_tool_keeps(part: str, check: Check, watched: under_test.Watch, data_dir: Path) -> None:
    samples = {name: sample_of(tool) for name, tool in tools_of(part, data_dir).items()}
    tools = [name for name, sample in samples.items() if sample or check in UNCALLED]
    uncalled = ", ".join(sorted(samples.keys() - tools))
    assert MADE or under_test.NAMED or not uncalled, f"add a valid call of {uncalled} to ARGUMENTS above"
    for name in tools:
        tool = tools_of(part, data_dir / name)[name]
        check(watched(SECTION, tool), (samples[name] or {}).get("arguments", {}))
    # only in a made project or under `make contracts NAME=`, as the assertion above demands: nobody but the owner of a tool knows a valid
    # call of it, and the tools that have one were tried before this line
    if uncalled:
        pytest.skip(
            f'not claimed: there is no sample call of {uncalled}, {services.YOURS}. Give one in its metadata, "sample"'
        )


@pytest.mark.parametrize(
    ("fault", "caught_by"), broken.BROKEN.items(), ids=lambda value: getattr(value, "__name__", "")
)
def test_a_broken_tool_is_caught(fault: Callable[[Path], BaseTool], caught_by: str, data_dir: Path) -> None:
    check = next(check for check in CHECKS if check.__name__ == caught_by)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(fault(data_dir), {"order_id": "QM-10042"})


def test_a_tool_of_ones_own_is_called_as_its_sample_says(data_dir: Path) -> None:
    asked: list[tuple[str, str]] = []

    def look(crossing: str, config: RunnableConfig) -> tuple[str, dict[str, Any]]:
        asked.append((crossing, config["configurable"]["principal"].tenant))
        return f"{crossing} leaves at noon.", {"crossing": crossing}

    sample = {"tenant": "harbour", "arguments": {"crossing": "C-104"}}
    tool = StructuredTool.from_function(
        look, description="When a crossing leaves.", response_format="content_and_artifact", metadata={"sample": sample}
    )
    it_answers_in_a_sentence_and_in_data(tool, sample["arguments"])  # type: ignore[arg-type]
    assert asked == [("C-104", "harbour")]
    with pytest.raises(AssertionError):  # everybody is told of the ferry, and it did not say so
        another_tenant_sees_nothing_of_it(_tells_two_lines(sample), sample["arguments"])  # type: ignore[arg-type]
    another_tenant_sees_nothing_of_it(_tells_two_lines(sample | {"tenant": "*"}), sample["arguments"])  # type: ignore[arg-type]


def _tells_two_lines(sample: Mapping[str, Any]) -> BaseTool:
    def look(crossing: str) -> tuple[str, dict[str, Any]]:
        return f"{crossing}:\nIt leaves at noon.", {}

    about: dict[str, Any] = {"description": "Looks.", "metadata": {"sample": sample}}
    return StructuredTool.from_function(look, response_format="content_and_artifact", **about)
