"""A planner with one plan for every request: ask the documents. No words can mislead it; no tool is ever called."""

from collections.abc import Sequence

from langchain_core.tools import BaseTool

from extensions.planned_agent.plan import Plan
from extensions.planned_agent.plans import fixed_plan
from foundation.settings import Section as Options  # it takes none
from orchestration.contract import AgentParts
from orchestration.run.run import Run


class FixedPlanner:
    async def plan(self, question: str, tools: Sequence[BaseTool], run: Run, *, allowed: frozenset[str]) -> Plan:  # noqa: ARG002
        return fixed_plan(question, "as configured")

    async def replan(self, plan: Plan, question: str, tools: Sequence[BaseTool], run: Run) -> Plan:  # noqa: ARG002
        return plan


def build(options: Options, context: AgentParts) -> FixedPlanner:  # noqa: ARG001 - the signature of every adapter
    return FixedPlanner()
