"""Plans at work: which steps are ready, changes after a failure, references to the results of other steps.

A plan is made by a planner (`orchestration/planners/`) from the person's own words, before any document is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.tools import BaseTool

from foundation.text.lexical import terms
from orchestration.actions import ToolOutcome
from orchestration.effects.arguments import metadata_of
from orchestration.language.stated_arguments import required_of
from orchestration.requests import Plan, PlanStep

REPLANNED = "planned anew"
STEPS = 6
"""Most steps of a plan; further parts of a request join the last one."""

BROKE = ("failed (unknown)", "failed (timeout)")
"""Details of failed steps that are worth one more try."""
REFERENCE = re.compile(r"\$(\w+)\.(\w+)")
"""A reference such as `$1.order_id`: the field `order_id` of the result of step 1."""
POINTS = re.compile(r"\b(?:it|its|that|this|them|they|these|those|one|there)\b", re.IGNORECASE)
"""Words that refer back: a part of a request with one of them is not understood alone."""


def fixed_plan(question: str, reason: str) -> Plan:
    """Return the plan that always works: answer from the documents."""
    return Plan(route="answer", steps=(PlanStep(step_id="1", kind="answer", ask=question),), reason=reason)


def is_effect(tool: BaseTool) -> bool:
    """Whether the tool changes something; the default is yes."""
    return bool(metadata_of(tool, "effect", True))


def route_of(steps: Sequence[PlanStep], allowed: frozenset[str]) -> Any:
    """Return the route of a plan with these steps."""
    if len(steps) > 1:
        return "several"
    step = steps[0]
    if step.tool and step.tool not in allowed:
        return "refuse"
    return "clarify" if step.missing else step.kind


def ready_steps(plan: Plan, started: Iterable[str]) -> list[PlanStep]:
    """Return the steps that can begin now. Effects happen one at a time, in the order of the plan."""
    started_ids, outcomes = set(started), {step.step_id: step.outcome for step in plan.steps}
    waits = [step for step in plan.steps if step.outcome == "planned" and step.step_id not in started_ids]
    free = [step for step in waits if all(outcomes.get(before, "done") == "done" for before in step.after)]
    acting = [step for step in plan.steps if step.kind == "act" and step.outcome in ("planned", "waiting")]
    return [step for step in free if step.kind != "act" or step is acting[0]]


def adapt_plan(plan: Plan) -> Plan:
    """Adapt the plan to failures: a lookup that broke is tried once more; steps that need a failed one are skipped.

    A plan of the model has no automatic retries: the model plans again. Effects are never retried, since they may have happened.
    """
    steps, changes = list(plan.steps), list(plan.changes)
    for step in plan.steps if plan.made_by != "model" else ():
        again = f"{step.step_id}b"
        broke = step.kind == "look_up" and step.outcome == "failed" and step.detail in BROKE
        if broke and not step.step_id.endswith("b") and again not in [each.step_id for each in steps]:
            fresh = step.model_copy(update={"step_id": again, "outcome": "planned", "detail": ""})
            steps.insert(steps.index(step) + 1, fresh)
            steps = [_wait_for_instead(each, step.step_id, again) for each in steps]
            changes.append(f"step {step.step_id} broke and is tried once more as {again}")
    for place, step in enumerate(steps):
        lost = [each.step_id for each in steps if each.step_id in step.after and each.outcome in ("failed", "skipped")]
        if step.outcome == "planned" and lost:
            steps[place] = step.model_copy(update={"outcome": "skipped", "detail": f"step {lost[0]} was not done"})
            changes.append(f"step {step.step_id} is left out: step {lost[0]} was not done")
    return plan.model_copy(update={"steps": tuple(steps), "changes": tuple(changes)})


def _wait_for_instead(step: PlanStep, old: str, new: str) -> PlanStep:
    if step.outcome != "planned" or old not in step.after:
        return step
    arguments = {
        name: value.replace(f"${old}.", f"${new}.") if isinstance(value, str) else value
        for name, value in step.arguments.items()
    }
    after = tuple(new if before == old else before for before in step.after)
    return step.model_copy(update={"after": after, "arguments": arguments})


def resolve_arguments(arguments: Mapping[str, Any], outcomes: Mapping[str, ToolOutcome]) -> dict[str, Any]:
    """Replace every reference in the arguments by the field of that step's result; a dangling one stays as it is."""
    references = {name: REFERENCE.fullmatch(value) for name, value in arguments.items() if isinstance(value, str)}
    found = {name: _follow_reference(match, outcomes) for name, match in references.items() if match}
    return {**arguments, **found}


def fill_references(text: str, outcomes: Mapping[str, ToolOutcome]) -> str:
    """Replace every reference in a text by the field of that step's result."""
    return REFERENCE.sub(lambda match: str(_follow_reference(match, outcomes)), text)


def _follow_reference(reference: re.Match[str], outcomes: Mapping[str, ToolOutcome]) -> Any:
    step_id, name = reference.groups()
    artifact = outcomes[step_id].artifact if step_id in outcomes else None
    return artifact.get(name, reference.group()) if isinstance(artifact, Mapping) else reference.group()


def query_of(steps: Sequence[PlanStep], plan: Plan, question: str) -> str:
    """Return the query for these steps: their questions, or the whole request where they refer to the rest of it."""
    asks = " ".join(step.ask for step in steps)
    if all(step.kind == "answer" for step in plan.steps) and plan.made_by != "model":
        return question
    return question if plan.made_by != "model" and POINTS.search(asks) else asks


def rewrite(question: str, earlier: str | None) -> str:
    """Return another query for the same need: with the earlier question of the conversation, else the content words alone."""
    if earlier:
        return f"{earlier} {question}"
    words = [word for word in re.findall(r"[\w-]+", question) if terms(word)]
    return " ".join(words) or question


def tool_step(step_id: str, tool: BaseTool, arguments: Mapping[str, Any], *, ask: str) -> PlanStep:
    return PlanStep(
        step_id=step_id,
        kind="act" if is_effect(tool) else "look_up",
        ask=ask,
        tool=tool.name,
        arguments=dict(arguments),
        missing=tuple(name for name in required_of(tool) if name not in arguments),
    )
