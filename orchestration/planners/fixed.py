"""A planner with one plan for every request: the tools of the options, then the documents.

    [orchestration.planner]
    use = "fixed"
    tools = ["order_status"]

A tool is called where the request states all its required arguments; they are read from the person's words alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.tools import BaseTool

from foundation.errors import InvalidSetting, did_you_mean
from foundation.settings import Section
from orchestration.contract import AgentParts
from orchestration.flow.plans import is_effect, route_of, tool_step
from orchestration.language.stated_arguments import arguments_in
from orchestration.requests import Plan, PlanStep
from orchestration.run.run import Run


class Options(Section):
    tools: tuple[str, ...] = ()
    """Read tools, in the order of their calls."""
    documents: bool = True
    """Whether documents are searched too; they always are where no tool can be called."""


class FixedPlanner:
    """Makes the configured plan. It decides nothing, so no words can mislead it."""

    def __init__(self, options: Options) -> None:
        self._options = options

    async def plan(self, question: str, tools: Sequence[BaseTool], run: Run, *, allowed: frozenset[str]) -> Plan:  # noqa: ARG002
        by_name = {tool.name: tool for tool in tools if tool.name in allowed}
        calls = [
            tool_step("0", by_name[name], arguments_in(question, by_name[name]), ask=question)
            for name in self._options.tools
            if name in by_name
        ]
        steps = [step for step in calls if not step.missing]
        if self._options.documents or not steps:
            steps.append(PlanStep(step_id="0", kind="answer", ask=question))
        numbered = tuple(step.model_copy(update={"step_id": str(place)}) for place, step in enumerate(steps, 1))
        return Plan(route=route_of(numbered, allowed), steps=numbered, made_by="fixed", reason="as configured")

    async def replan(self, plan: Plan, question: str, tools: Sequence[BaseTool], run: Run) -> Plan:  # noqa: ARG002
        return plan


def build(options: Options, context: AgentParts) -> FixedPlanner:
    """Raises InvalidSetting: a tool of the options does not exist or has an effect."""
    by_name = {tool.name: tool for tool in context.executor.tools}
    for name in options.tools:
        if name not in by_name:
            raise InvalidSetting(
                f'[orchestration.planner] tools names "{name}", which is no tool here. {did_you_mean(name, by_name)}'
            )
        if is_effect(by_name[name]):
            raise InvalidSetting(
                f'[orchestration.planner] tools names "{name}", which has an effect. A fixed plan would ask for it on every '
                f"request: name tools that look something up."
            )
    return FixedPlanner(options)
