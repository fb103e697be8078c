"""A planner by the chat model, under a JSON schema that allows only our tools and their arguments.

The executor checks every call as usual. After a failure the model may plan again once; it is told in our words which
steps failed and how, never a tool's text.
"""

from collections.abc import Sequence
from typing import Any, Literal

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from langchain_core.tools import BaseTool
from pydantic import BaseModel, ConfigDict, Field

from extensions.planned_agent.plan import Plan, PlanStep
from extensions.planned_agent.plans import REFERENCE, REPLANNED, STEPS, route_of, tool_step
from extensions.structured.generating import ask_in, generate_object
from foundation.errors import UpstreamMalformed
from foundation.settings import Section as Options  # it takes none
from orchestration.calls import schema_of
from orchestration.contract import AgentParts
from orchestration.prompts.files import Prompt
from orchestration.run.run import Run


class _Step(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Literal["answer", "tool"]
    ask: str = ""
    tool: str = ""
    arguments: dict[str, Any] = {}
    after: tuple[int, ...] = ()


class ProposedPlan(BaseModel):
    """A plan of numbered steps, from 1."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal["work", "clarify", "refuse", "hand_over"]
    steps: tuple[_Step, ...] = Field(default=(), max_length=STEPS)
    missing: tuple[str, ...] = ()
    reason: str = ""


class ModelPlanner:
    async def plan(self, question: str, tools: Sequence[BaseTool], run: Run, *, allowed: frozenset[str]) -> Plan:
        return await self._propose(question, [tool for tool in tools if tool.name in allowed], run)

    async def replan(self, plan: Plan, question: str, tools: Sequence[BaseTool], run: Run) -> Plan:
        def key(step: PlanStep) -> tuple[str, str, str]:
            return step.tool, str(step.arguments), "" if step.tool else step.ask

        failed = [step for step in plan.steps if step.tool and step.outcome == "failed"]
        done = ", ".join(f"{step.step_id} ({step.ask})" for step in plan.steps if step.outcome in ("done", "waiting"))
        failures = ", ".join(f"{step.step_id} ({step.tool or step.ask}: {step.detail})" for step in failed)
        usable = [tool for tool in tools if tool.name in run.parts.executor.allowed_tools(run.principal)]
        again = HumanMessage(run.prompt("replan").fill(failed=failures, done=done or "none"))
        fresh = await self._propose(question, usable, run, again)
        tried, number = {key(step) for step in plan.steps}, len(plan.steps)
        new = []
        for place, step in enumerate(fresh.steps, 1):
            after = tuple(str(int(step_id) + number) for step_id in step.after)
            if key(step) not in tried:
                new.append(step.model_copy(update={"step_id": str(number + place), "after": after}))
        if not new:
            return plan
        skipped = {"outcome": "skipped", "detail": "planned otherwise"}
        old = [step.model_copy(update=skipped if step.outcome == "planned" else {}) for step in plan.steps]
        names = ", ".join(step.step_id for step in failed)
        change = f"step {names} failed; {REPLANNED}: {', '.join(step.step_id for step in new)}"
        return plan.model_copy(update={"steps": (*old, *new), "changes": (*plan.changes, change), "route": "several"})

    async def _propose(self, question: str, tools: Sequence[BaseTool], run: Run, *more: BaseMessage) -> Plan:
        listed = [(tool.name, tool.description) for tool in tools]
        messages = [*plan_for(run.prompt("plan"), question, listed), *more]
        return _as_plan(
            await generate_object(ProposedPlan, messages, ask_in(run), shape=shape_of(tools)), question, tools
        )


def plan_for(prompt: Prompt, question: str, tools: Sequence[tuple[str, str]]) -> list[BaseMessage]:
    """Return the messages that ask for a plan with `tools` (name, description)."""
    listed = "\n".join(f"- {name}: {description}" for name, description in tools) or "- none"
    return [SystemMessage(f"{prompt.text}\n{listed}"), HumanMessage(question)]


def shape_of(tools: Sequence[BaseTool]) -> dict[str, Any]:
    """Return the JSON schema of a plan that allows only these tools and their arguments."""
    after = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": STEPS}, "maxItems": STEPS}
    answer = _object(kind={"const": "answer"}, ask={"type": "string"}, after=after)
    calls = [
        _object(kind={"const": "tool"}, tool={"const": tool.name}, arguments=_arguments(tool), after=after)
        for tool in tools
    ]
    return _object(
        decision={"enum": ["work", "clarify", "refuse", "hand_over"]},
        steps={"type": "array", "items": {"anyOf": [answer, *calls]}, "maxItems": STEPS},
        missing={"type": "array", "items": {"type": "string"}, "maxItems": STEPS},
        reason={"type": "string"},
    )


def _arguments(tool: BaseTool) -> dict[str, Any]:
    schema = schema_of(tool)
    reference = {"type": "string", "pattern": r"^\$[0-9]+\.[a-z_]+$"}
    properties = {name: {"anyOf": [definition, reference]} for name, definition in schema["properties"].items()}
    return {**schema, "properties": properties, "required": [], "additionalProperties": False}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _as_plan(proposed: ProposedPlan, question: str, tools: Sequence[BaseTool]) -> Plan:
    if proposed.decision in ("refuse", "hand_over"):
        return Plan(route=proposed.decision, made_by="model", reason=proposed.reason)
    by_name = {tool.name: tool for tool in tools}
    steps = []
    for number, step in enumerate(proposed.steps, 1):
        if any(before >= number for before in step.after):
            raise UpstreamMalformed("The language model's plan waits for what comes later. Try again.")
        referred = {match.group(1) for value in step.arguments.values() for match in REFERENCE.finditer(str(value))}
        after = tuple(dict.fromkeys([*map(str, step.after), *sorted(referred)]))
        if step.kind == "answer":
            planned = PlanStep(step_id=str(number), kind="answer", ask=step.ask.strip() or question)
        elif step.tool in by_name:
            planned = tool_step(str(number), by_name[step.tool], step.arguments, ask=question)
        else:  # the executor refuses an unknown tool, and audits that
            planned = PlanStep(step_id=str(number), kind="act", ask=question, tool=step.tool, arguments=step.arguments)
        steps.append(planned.model_copy(update={"after": after}))
    if not steps:
        raise UpstreamMalformed("The language model planned no step. Try again.")
    return Plan(route=route_of(steps, frozenset(by_name)), steps=tuple(steps), made_by="model", reason=proposed.reason)


def build(options: Options, context: AgentParts) -> ModelPlanner:  # noqa: ARG001  # every adapter has this signature
    return ModelPlanner()
