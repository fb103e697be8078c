"""The base of agents that make a plan first and then take its steps."""

from __future__ import annotations

from typing import Literal

from foundation import names
from foundation.components import available, load
from foundation.errors import BudgetExceeded
from foundation.settings import Part, Section
from foundation.stores.crashpoints import crash_point
from foundation.tracing import span
from foundation.types import Principal
from orchestration.answers.compose import draft_extractive, render
from orchestration.contract import AgentParts, Planner
from orchestration.events import Answer
from orchestration.flow.base_agent import Begin, DurableAgent
from orchestration.flow.document_steps import Work
from orchestration.flow.steps import Steps
from orchestration.language.as_of import parse_as_of
from orchestration.memory.follow_ups import append_turn, turns_from_client
from orchestration.requests import AnswerRequest
from orchestration.run.run import Run
from orchestration.run.state import Result, State, as_result, combine_results

CLASSIFIER = "classifier"


class Options(Section):
    planner: str | None = None
    """Name of a planner to use in place of `[orchestration.planner]`, which can also set its options."""
    writes: bool | None = None
    """Whether `auto` lets the chat model write before it quotes. Unset: only a model that is not on this machine. Of
    24 golden questions the bundled model's drafts held the fact in 6, after 4 seconds each; quotes in 15."""


class PlannedAgent(DurableAgent):
    """A `DurableAgent` with planners and the steps of their plans."""

    def __init__(self, options: Options, parts: AgentParts) -> None:
        super().__init__(parts)
        in_order = [Part(use=options.planner) if options.planner else parts.settings.planner]
        if in_order[0].use != CLASSIFIER and CLASSIFIER in available("orchestration.planner"):
            in_order.append(Part(use=CLASSIFIER))  # for where the first one fails
        planners = [load("orchestration.planner", part, parts, expected=Planner) for part in in_order]
        self._steps = Steps(parts, planners, writes=options.writes)

    async def _begin(self, request: AnswerRequest, thread_id: str, principal: Principal) -> tuple[Begin, State]:
        begin, state = await super()._begin(request, thread_id, principal)
        if begin == "new" and (day := request.as_of or parse_as_of(request.question)):
            state["as_of"] = day.isoformat()
        if begin == "new" and request.earlier and not request.thread_id:
            longest = self._settings.max_question_characters
            state["turns"], state["summary"] = turns_from_client(request.earlier, longest=longest)
        return begin, state

    async def _answer_within_budget(self, run: Run, error: BudgetExceeded) -> Result:
        """Return quotes and results found so far, since quoting costs nothing; the answer says that the budget was used up."""
        failed = await super()._answer_within_budget(run, error)
        grounding, evidence = self._parts.grounding, run.evidence or []
        results = dict(run.results)
        if grounding.confidence(run.question, evidence) >= grounding.settings.min_evidence:
            draft = draft_extractive(run.question, evidence)
            text, citations = render(draft, evidence, grounding)
            open_steps = [step.step_id for step in run.plan.steps if step.kind == "answer"] if run.plan else []
            quote = as_result("answered", "budget", text, draft.path, citations)
            results |= {step_id: quote for step_id in open_steps[:1] if step_id not in results}
        combined = combine_results(run.plan, results) if run.plan and results else None
        if combined and combined["status"] == "answered":
            return {**combined, "stop_reason": "budget"}
        return failed

    async def _remember(self, answer: Answer, state: State, run: Run) -> None:
        await self._steps.remember(answer, state, run)


async def run_step(name: str, work: Work, state: State, run: Run) -> State:
    """Run one step: count, trace and report it. Return its update of the state."""
    crash_point(f"{name}_begun")
    run.budget.step()
    with run.watch(name) as watch, span(name, layer="orchestration", attributes={names.STEP: name}):
        update, watch.detail = await work(state, run)
        watch.outcome = _outcome(update)
    crash_point(f"{name}_done")
    return {**update, "steps": [done.model_dump() for done in run.steps]}


def close_turn(state: State) -> State:
    """Add this question and its answer to the conversation."""
    crash_point("finish_begun")
    result = state.get("result")
    text = result["text"] if result else ""
    turns, summary = append_turn(state.get("turns") or [], state.get("summary") or [], state["question"], text)
    return {"turns": turns, "summary": summary}


def _outcome(update: State) -> Literal["done", "failed", "waiting"]:
    of_steps = [entry["result"] for entry in (update.get("done") or {}).values()]
    statuses = {result["status"] for result in (*of_steps, update.get("part"), update.get("result")) if result}
    return "waiting" if "waiting" in statuses else "failed" if "failed" in statuses else "done"
