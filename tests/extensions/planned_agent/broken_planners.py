"""Planners with one fault each, and the promise that must catch it."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
from collections.abc import Sequence
from typing import Any

from langchain_core.tools import BaseTool

from extensions.planned_agent.plan import Plan, PlanStep
from extensions.planned_agent.plans import fixed_plan, route_of, tool_step
from extensions.planned_agent.stated_arguments import arguments_in


class Healthy:
    """Calls the first tool whose identifier is stated, and then asks the documents."""

    caught_by: str | None = None

    async def plan(self, question: str, tools: Sequence[BaseTool], run: Any, *, allowed: frozenset[str]) -> Plan:
        del run
        for tool in (tool for tool in tools if tool.name in allowed):
            call = tool_step("1", tool, arguments_in(question, tool), ask=question)
            if not call.missing and call.kind == "look_up":
                steps = (call, PlanStep(step_id="2", kind="answer", ask=question))
                return Plan(route=route_of(steps, allowed), steps=steps, made_by="fixed")
        return fixed_plan(question, "no tool")

    async def replan(self, plan: Plan, question: str, tools: Sequence[BaseTool], run: Any) -> Plan:
        del question, tools, run
        return plan


class NamesAForeignTool(Healthy):
    caught_by = "plans_with_the_tools_that_it_was_given_alone"

    async def plan(self, question: str, tools: Sequence[BaseTool], run: Any, *, allowed: frozenset[str]) -> Plan:
        plan = await super().plan(question, tools, run, allowed=allowed)
        steps = [step.model_copy(update={"tool": "wire_money"}) if step.tool else step for step in plan.steps]
        return plan.model_copy(update={"steps": tuple(steps)})


class InventsAnArgument(Healthy):
    """Fills in what nobody said."""

    caught_by = "states_only_what_the_question_says"

    async def plan(self, question: str, tools: Sequence[BaseTool], run: Any, *, allowed: frozenset[str]) -> Plan:
        plan = await super().plan(question, tools, run, allowed=allowed)
        steps = [
            step.model_copy(update={"arguments": {**step.arguments, "parcel_id": "P-999"}}) if step.tool else step
            for step in plan.steps
        ]
        return plan.model_copy(update={"steps": tuple(steps)})


class RefersToALaterStep(Healthy):
    caught_by = "a_step_waits_for_earlier_ones_alone"

    async def plan(self, question: str, tools: Sequence[BaseTool], run: Any, *, allowed: frozenset[str]) -> Plan:
        plan = await super().plan(question, tools, run, allowed=allowed)
        first = plan.steps[0].model_copy(update={"after": ("2",)})
        return plan.model_copy(update={"steps": (first, *plan.steps[1:])})


class NumbersEveryStepAlike(Healthy):
    caught_by = "a_step_waits_for_earlier_ones_alone"

    async def plan(self, question: str, tools: Sequence[BaseTool], run: Any, *, allowed: frozenset[str]) -> Plan:
        plan = await super().plan(question, tools, run, allowed=allowed)
        return plan.model_copy(update={"steps": tuple(s.model_copy(update={"step_id": "1"}) for s in plan.steps)})


class NamesTheWrongRoute(Healthy):
    caught_by = "the_route_fits_the_steps"

    async def plan(self, question: str, tools: Sequence[BaseTool], run: Any, *, allowed: frozenset[str]) -> Plan:
        plan = await super().plan(question, tools, run, allowed=allowed)
        return plan.model_copy(update={"route": "look_up"})


class PlansNothing(Healthy):
    caught_by = "without_a_tool_the_documents_are_asked"

    async def plan(self, question: str, tools: Sequence[BaseTool], run: Any, *, allowed: frozenset[str]) -> Plan:
        plan = await super().plan(question, tools, run, allowed=allowed)
        return plan if plan.route == "several" else plan.model_copy(update={"steps": ()})


class OverlooksWhatIsForbidden(Healthy):
    """Takes every tool for one that the caller may use."""

    caught_by = "what_the_caller_may_not_use_is_refused_or_left_out"

    async def plan(self, question: str, tools: Sequence[BaseTool], run: Any, *, allowed: frozenset[str]) -> Plan:
        everything = frozenset(tool.name for tool in tools)
        plan = await super().plan(question, tools, run, allowed=everything)
        if plan.steps[0].tool and plan.steps[0].tool not in allowed:
            return plan.model_copy(update={"steps": plan.steps[:1], "route": "look_up"})
        return plan


class Rolls(Healthy):
    caught_by = "is_deterministic"

    async def plan(self, question: str, tools: Sequence[BaseTool], run: Any, *, allowed: frozenset[str]) -> Plan:
        plan = await super().plan(question, tools, run, allowed=allowed)
        return plan.model_copy(update={"reason": str(random.random())})  # the fault


class RemembersTheLastQuestion(Healthy):
    caught_by = "keeps_nothing_of_another_request"
    last = ""

    async def plan(self, question: str, tools: Sequence[BaseTool], run: Any, *, allowed: frozenset[str]) -> Plan:
        asked, self.last = f"{self.last} {question}", question
        await asyncio.sleep(0)
        return await super().plan(asked.strip(), tools, run, allowed=allowed)


class SortsTheTools(Healthy):
    caught_by = "leaves_the_tools_alone"

    async def plan(self, question: str, tools: Sequence[BaseTool], run: Any, *, allowed: frozenset[str]) -> Plan:
        tools.sort(key=lambda tool: tool.name, reverse=True)  # type: ignore[attr-defined]  # the fault
        return await super().plan(question, tools, run, allowed=allowed)


class ChokesOnOddText(Healthy):
    caught_by = "takes_any_text"

    async def plan(self, question: str, tools: Sequence[BaseTool], run: Any, *, allowed: frozenset[str]) -> Plan:
        if not re.search(r"[a-z]", question):
            raise IndexError("no word")
        return await super().plan(question, tools, run, allowed=allowed)


class ForgetsWhatWasDone(Healthy):
    caught_by = "planning_again_keeps_what_was_done"
    numbers = itertools.count(7)

    async def replan(self, plan: Plan, question: str, tools: Sequence[BaseTool], run: Any) -> Plan:
        del tools, run
        step = PlanStep(step_id=str(next(self.numbers)), kind="answer", ask=question)
        return plan.model_copy(update={"steps": (step,)})


class FailsInItsOwnWay(Healthy):
    """Its own exception, where the port has one."""

    caught_by = "takes_any_text"

    async def plan(self, question: str, tools: Sequence[BaseTool], run: Any, *, allowed: frozenset[str]) -> Plan:
        if len(question) > 1000:
            raise KeyError("cannot plan")
        return await super().plan(question, tools, run, allowed=allowed)


BROKEN = [
    NamesAForeignTool, InventsAnArgument, RefersToALaterStep, NumbersEveryStepAlike, NamesTheWrongRoute, PlansNothing,
    OverlooksWhatIsForbidden, Rolls, RemembersTheLastQuestion, SortsTheTools, ChokesOnOddText, ForgetsWhatWasDone,
    FailsInItsOwnWay,
]  # fmt: skip
