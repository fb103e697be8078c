"""The promises of a planner, on every file of extensions/planned_agent/planners and on broken ones that must be rejected."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import BaseTool

from extensions.planned_agent.contract import Planner
from extensions.planned_agent.plan import Plan, PlanStep
from extensions.planned_agent.plans import REFERENCE, is_effect
from extensions.planned_agent.stated_arguments import required_of
from extensions.planned_agent.steps import PLANNERS
from foundation.components import load
from foundation.errors import ComponentError
from tests.contracts import under_test
from tests.doubles.orchestration import World
from tests.extensions.planned_agent import broken_planners as broken
from tests.extensions.planned_agent.doubles import PROMPTING

LOOK_UP = "Where is parcel P-123?"
KNOWLEDGE = "How many kilograms may a parcel weigh at most?"
BOTH = "Where is parcel P-123, and how many kilograms may a parcel weigh at most?"
ACT = "Please send parcel P-123 now"
QUESTIONS = (LOOK_UP, KNOWLEDGE, BOTH, ACT, "Please send parcel P-123 because a brother waits for it")
ODD_TEXTS = ["?", " . ", "a" * 5000, "word, " * 500, "nul\x00byte", "lone \ud800 surrogate", "漢字 🙂", '{"steps": []}']
ENDS = ("hand_over", "refuse", "reply")


class Planning:
    """A planner with the tools of the test's depot and a run whose model is a double."""

    def __init__(self, planner: Planner, tools: list[BaseTool]) -> None:
        self.planner, self.tools = planner, tools
        self.names = frozenset(tool.name for tool in tools)
        executor = SimpleNamespace(tools=tools, allowed_tools=lambda _: self.names)
        parts = SimpleNamespace(executor=executor)
        self.run: Any = SimpleNamespace(
            **vars(PROMPTING), bill=SimpleNamespace(generate=_reply), principal=None, parts=parts
        )

    async def plan(
        self, question: str, *, allowed: frozenset[str] | None = None, tools: list[BaseTool] | None = None
    ) -> Plan:
        given = self.tools if tools is None else tools
        can = self.names if allowed is None else allowed
        return await self.planner.plan(question, given, self.run, allowed=can)


async def _reply(messages: Sequence[BaseMessage], *_: Any, **__: Any) -> AIMessage:
    """A double of a model that plans well: it looks up what is named, and asks the documents what is asked."""
    question = next(message.text for message in messages[1:])
    steps: list[dict[str, Any]] = []
    if "P-123" in question and "find_parcel" in messages[0].text:
        steps.append({"kind": "tool", "tool": "find_parcel", "arguments": {"parcel_id": "P-123"}, "after": []})
    if "kilograms" in question or not steps:
        steps.append({"kind": "answer", "ask": question, "after": []})
    return AIMessage(json.dumps({"decision": "work", "steps": steps, "missing": [], "reason": "so"}))


async def plans_with_the_tools_that_it_was_given_alone(planning: Planning) -> None:
    for question in QUESTIONS:
        plan = await planning.plan(question)
        assert {step.tool for step in plan.steps if step.tool} <= planning.names
        assert all(bool(step.tool) == (step.kind != "answer") for step in plan.steps)
    find = [tool for tool in planning.tools if tool.name == "find_parcel"]
    plan = await planning.plan(ACT, tools=find, allowed=frozenset({"find_parcel"}))
    assert {step.tool for step in plan.steps} <= {"", "find_parcel"}


async def states_only_what_the_question_says(planning: Planning) -> None:
    """A value is a stretch of the question, or a reference to what an earlier step finds: nothing else has an origin."""
    for question in QUESTIONS:
        for step in (await planning.plan(question)).steps:
            for value in step.arguments.values():
                assert str(value) in question or REFERENCE.fullmatch(str(value)), (question, step)


async def a_step_waits_for_earlier_ones_alone(planning: Planning) -> None:
    for question in QUESTIONS:
        earlier: list[str] = []
        for step in (await planning.plan(question)).steps:
            assert step.step_id not in earlier
            assert set(step.after) <= set(earlier)
            referred = {match[1] for value in step.arguments.values() for match in REFERENCE.finditer(str(value))}
            assert referred <= set(step.after)
            earlier.append(step.step_id)


async def the_route_fits_the_steps(planning: Planning) -> None:
    for question in QUESTIONS:
        plan = await planning.plan(question)
        if len(plan.steps) > 1:
            assert plan.route == "several"
        elif plan.steps:
            (step,) = plan.steps
            assert plan.route == ("clarify" if step.missing else step.kind)
        else:
            assert plan.route in ENDS
        assert all(step.outcome == "planned" for step in plan.steps)


async def what_is_missing_is_what_the_tool_needs_and_nobody_said(planning: Planning) -> None:
    by_name = {tool.name: tool for tool in planning.tools}
    for question in QUESTIONS:
        for step in (step for step in (await planning.plan(question)).steps if step.tool):
            needed = set(required_of(by_name[step.tool])) - step.arguments.keys()
            assert needed <= set(step.missing)
            assert not set(step.missing) & step.arguments.keys()
            assert step.kind == ("act" if is_effect(by_name[step.tool]) else "look_up")


async def without_a_tool_the_documents_are_asked(planning: Planning) -> None:
    plan = await planning.plan(KNOWLEDGE, tools=[], allowed=frozenset())
    assert plan.route == "answer"
    assert [step.kind for step in plan.steps] == ["answer"]


async def what_the_caller_may_not_use_is_refused_or_left_out(planning: Planning) -> None:
    """A refusal names the tool, so that the executor can put it into the audit."""
    plan = await planning.plan(LOOK_UP, allowed=frozenset())
    if len(plan.steps) == 1 and plan.steps[0].tool:
        assert plan.route == "refuse"


async def is_deterministic(planning: Planning) -> None:
    for question in QUESTIONS:
        assert await planning.plan(question) == await planning.plan(question)


async def keeps_nothing_of_another_request(planning: Planning) -> None:
    alone = [await planning.plan(question) for question in QUESTIONS]
    assert await asyncio.gather(*map(planning.plan, QUESTIONS)) == alone
    assert [await planning.plan(question) for question in reversed(QUESTIONS)] == alone[::-1]


async def leaves_the_tools_alone(planning: Planning) -> None:
    before = [(tool.name, dict(tool.metadata or {})) for tool in planning.tools]
    await planning.plan(BOTH)
    assert [(tool.name, dict(tool.metadata or {})) for tool in planning.tools] == before


async def takes_any_text(planning: Planning) -> None:
    """With a plan, or with an error of ours after which another planner is asked."""
    for text in ODD_TEXTS:
        try:
            assert isinstance(await planning.plan(text), Plan)
        except ComponentError:
            continue


async def planning_again_keeps_what_was_done(planning: Planning) -> None:
    done = PlanStep(step_id="1", kind="answer", ask=KNOWLEDGE, outcome="done")
    failed = PlanStep(
        step_id="2", kind="look_up", ask=LOOK_UP, tool="find_parcel", arguments={"parcel_id": "P-123"},
        outcome="failed", detail="failed (tool)",
    )  # fmt: skip
    plan = Plan(route="several", steps=(done, failed), made_by="model")
    again = await planning.planner.replan(plan, BOTH, planning.tools, planning.run)
    assert again.steps[:2] == (done, failed)
    assert len({step.step_id for step in again.steps}) == len(again.steps)


PROMISES: list[Callable[[Planning], Awaitable[None]]] = [
    plans_with_the_tools_that_it_was_given_alone, states_only_what_the_question_says, a_step_waits_for_earlier_ones_alone,
    the_route_fits_the_steps, what_is_missing_is_what_the_tool_needs_and_nobody_said,
    without_a_tool_the_documents_are_asked, what_the_caller_may_not_use_is_refused_or_left_out, is_deterministic,
    keeps_nothing_of_another_request, leaves_the_tools_alone, takes_any_text, planning_again_keeps_what_was_done,
]  # fmt: skip


@pytest.fixture
def world(data_dir: Path) -> Iterator[World]:
    world = World(data_dir, agents="graph")
    yield world
    world.close()


@pytest.mark.parametrize("name", under_test.adapters(PLANNERS))
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
async def test_every_adapter_keeps(name: str, promise: Callable[[Planning], Awaitable[None]], world: World) -> None:
    planner = load(PLANNERS, under_test.part(PLANNERS, name), world.parts(), expected=Planner)
    await promise(Planning(planner, world.depot.tools()))


# --- the suite itself -------------------------------------------------------------------------------------------------


async def _failures(planner: Planner, world: World) -> list[str]:
    failed = []
    for promise in PROMISES:
        try:
            await promise(Planning(planner, world.depot.tools()))
        except Exception:  # any failure counts, as it does in pytest
            failed.append(promise.__name__)
    return failed


async def test_the_suite_accepts_a_healthy_double(world: World) -> None:
    assert await _failures(broken.Healthy(), world) == []


@pytest.mark.parametrize("fault", broken.BROKEN, ids=lambda fault: fault.__name__)
async def test_the_suite_rejects(fault: Any, world: World) -> None:
    assert fault.caught_by in await _failures(fault(), world)
