"""Plans at work and their stored state: which steps are ready, changes after a failure, references to the results of other steps.

A plan is made by a planner (`planners/`) from the person's own words, before any document is read.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, cast

from langchain_core.tools import BaseTool
from typing_extensions import TypedDict

from extensions.planned_agent.plan import Plan, PlanStep
from extensions.planned_agent.stated_arguments import required_of
from foundation.text.lexical import terms
from orchestration.actions import ToolOutcome
from orchestration.calls import metadata_of
from orchestration.run.state import Result, State

REPLANNED = "planned anew"
# Most steps of a plan; further parts of a request join the last one
STEPS = 6

# A reference such as `$1.order_id`: the field `order_id` of the result of step 1
REFERENCE = re.compile(r"\$(\w+)\.(\w+)")
# Words that refer back: a part of a request with one of them is not understood alone
POINTS = re.compile(r"\b(?:it|its|that|this|them|they|these|those|one|there)\b", re.IGNORECASE)


class Done(TypedDict):
    """The result of one step of the plan. `outcome` is the executor's; `None` where no tool was called."""

    result: Result
    outcome: dict[str, Any] | None


def merge_done(old: dict[str, Done], new: dict[str, Done] | None) -> dict[str, Done]:
    """Merge the results of parallel steps; `None` empties them."""
    return {} if new is None else {**old, **new}


class PlannedState(State, total=False):
    plan: dict[str, Any]
    summary: list[str]
    """What is kept of the conversation before the last turns, which are in `turns`."""
    cached: str
    first_answer_id: str
    clarifying: dict[str, Any]
    """The request that a question back asks to complete: question, asked (word for word), tool, missing; empty: none."""
    asked: str
    """The request word for word: the question, and above it the one that it completes after a question back."""
    known: list[dict[str, Any]]
    """Remembered facts about the person, as of the time of the question."""
    started: list[str]
    batch: list[str]
    """Ids of the steps to begin now, in parallel."""
    open_questions: list[str]
    """Ids of the steps that are being answered from documents; `query` is their question."""
    done: Annotated[dict[str, Done], merge_done]
    step: str
    document_answer: Result | None
    """The result from documents for the steps in `open_questions`; `None`: none yet."""
    extra_queries: list[str]
    """Searches in addition to `query`: the single questions of a compound one, and a follow-up word for word."""
    query: str
    document_question: str
    """The person's words that documents are to answer: of a plan with tools, those of its questions alone."""
    rewrites: int
    gate: str
    waiting: str
    """Id of the step that waits for the approval."""
    since: int
    """The ledger's sequence before the first search of this run."""


def begin_plan(question: str) -> dict[str, Any]:
    """Return what a run with a plan begins with, besides `fresh`."""
    return {
        **dict.fromkeys(("asked", "query"), question),
        **{key: [] for key in ("known", "started", "batch", "open_questions", "extra_queries")},
        **dict.fromkeys(("gate", "waiting", "cached", "first_answer_id"), ""),
        "plan": {},
        **dict.fromkeys(("rewrites", "since"), 0),
        **dict.fromkeys(("done", "document_answer")),
    }


def fixed_plan(question: str, reason: str) -> Plan:
    """Return the plan that always works: answer from the documents."""
    return Plan(route="answer", steps=(PlanStep(step_id="1", kind="answer", ask=question),), reason=reason)


def is_effect(tool: BaseTool) -> bool:
    """Whether the tool changes something; the default is yes."""
    return bool(metadata_of(tool, "effect", True))


def route_of(steps: Sequence[PlanStep], allowed: frozenset[str]) -> Any:
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
    """Leave out the steps that need one that was not done."""
    steps, changes = {step.step_id: step for step in plan.steps}, list(plan.changes)
    for step in plan.steps:
        lost = [before for before in step.after if before in steps and steps[before].outcome in ("failed", "skipped")]
        if step.outcome == "planned" and lost:
            why = f"step {lost[0]} was not done"
            steps[step.step_id] = step.model_copy(update={"outcome": "skipped", "detail": why})
            changes.append(f"step {step.step_id} is left out: {why}")
    return plan.model_copy(update={"steps": tuple(steps.values()), "changes": tuple(changes)})


def resolve_arguments(arguments: Mapping[str, Any], outcomes: Mapping[str, ToolOutcome]) -> dict[str, Any]:
    """Replace every reference in the arguments by the field of that step's result; a dangling one stays as it is."""
    references = {name: REFERENCE.fullmatch(value) for name, value in arguments.items() if isinstance(value, str)}
    values = {name: _follow_reference(match, outcomes) for name, match in references.items() if match}
    return {**arguments, **values}


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


def combine_results(plan: Plan, results: Mapping[str, Result]) -> Result | None:
    """Combine the results of the steps in the order of the plan: texts below each other, citations renumbered. `None`: no
    results. The status is "waiting" if one of them is, else "answered" if one is, else that of the last.
    """
    parts: list[Result] = []
    for step in plan.steps:
        result = results.get(step.step_id)
        # told once, since one search may serve several steps
        if result is not None and result not in parts:
            parts.append(result)
    if len(parts) < 2:
        return parts[0] if parts else None
    texts: list[str] = []
    citations: list[dict[str, Any]] = []
    for part in parts:
        by = len(citations)
        texts.append(re.sub(r"\[([1-9]\d?)\]", lambda match: f"[{int(match.group(1)) + by}]", part["text"]))  # noqa: B023
        citations += [{**item, "marker": item["marker"] + len(citations)} for item in part["citations"]]
    deciding = next(
        (part for status in ("waiting", "answered") for part in parts if part["status"] == status), parts[-1]
    )
    paths = [part["path"] for part in parts if part["path"] != "none"]
    path = next((path for path in paths if path != "tool"), paths[0] if paths else "none")
    near = {item["document_id"]: item for part in parts for item in part.get("nearest", [])}
    combined: Result = {
        **deciding,
        "text": "\n\n".join(texts),
        "path": path,
        "citations": citations,
        "nearest": [*near.values()],
    }
    return combined | _least_sure(parts)


def _least_sure(parts: Sequence[Result]) -> Result:
    """Return how sure the least sure of the parts is that shows something from documents."""
    graded = [part for part in parts if "confidence" in part]
    least = min(graded, key=lambda part: part["confidence"], default=None)
    return cast("Result", {key: least[key] for key in ("band", "confidence") if key in least} if least else {})


def outcome_label(outcome: ToolOutcome) -> str:
    return f"{outcome.status} ({outcome.reason})" if outcome.reason else outcome.status
