"""Agents that make a plan first and then take its steps."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Literal, cast

from langchain_core.tools import BaseTool

from extensions.planned_agent.as_of import parse_as_of
from extensions.planned_agent.compose import draft_extractive, quoted_of, render
from extensions.planned_agent.contract import Planner
from extensions.planned_agent.document_steps import DocumentSteps, Work
from extensions.planned_agent.follow_ups import append_turn, in_context, resolve_pronoun, turns_from_client, with_facts
from extensions.planned_agent.plan import Outcome, Plan, PlanStep
from extensions.planned_agent.plans import (
    REPLANNED,
    Done,
    PlannedState,
    adapt_plan,
    begin_plan,
    combine_results,
    fill_references,
    fixed_plan,
    outcome_label,
    query_of,
    ready_steps,
    resolve_arguments,
)
from extensions.planned_agent.run import PlannedRun
from extensions.planned_agent.span_names import PLAN_CHANGES, PLAN_MADE_BY, PLAN_ROUTE, PLAN_STEPS
from extensions.planned_agent.stated_arguments import arguments_in, describe
from foundation import names
from foundation.components import load
from foundation.errors import BudgetExceeded, ComponentError
from foundation.machine.deadline import time_limit
from foundation.output.markdown import markdown
from foundation.output.rendering import one_line
from foundation.settings import NamedPart, Part, Section
from foundation.stores.crashpoints import crash_point
from foundation.tracing import annotate, span
from foundation.types import Principal
from orchestration.actions import Approval, Origin, ToolOutcome
from orchestration.answers.quotes import grade
from orchestration.contract import AgentParts
from orchestration.events import Answer, Step
from orchestration.flow.base_agent import Begin, DurableAgent
from orchestration.language.guard import without_foreign_urls
from orchestration.requests import AnswerRequest
from orchestration.run.run import Run
from orchestration.run.state import Result, State, abstain, as_result, result_of

_LONGEST_REASON = 300
# Reasons of a failure that may be gone at the next try
BROKE = ("unknown", "timeout")
CLASSIFIER = "classifier"
# The folder of the planners
PLANNERS = "extensions.planned_agent.planners"


class Options(Section):
    writes: bool | None = None
    """Whether `auto` lets the chat model write before it quotes. Unset: only a model that is not on this machine. Of
    24 golden questions the bundled model's drafts held the fact in 6, after 4 seconds each; quotes in 15."""
    planner: NamedPart = Part(use=CLASSIFIER)
    """Makes the plan, by its name or as a table with its options: `classifier`, `model`, `fixed`, or one of your own. Where it
    fails, the classifier plans, and the answer says so."""


class Steps(DocumentSteps):
    """The steps of a plan. Each returns its update of the state and a detail for people who watch the run."""

    def __init__(self, parts: AgentParts, planners: Sequence[Planner], *, writes: bool | None) -> None:
        super().__init__(parts, writes=writes)
        self._planners = tuple(planners)

    async def plan(self, state: PlannedState, run: PlannedRun) -> tuple[PlannedState, str]:
        known = await asyncio.to_thread(self._parts.recall, run.principal)
        state = cast("PlannedState", {**state, "known": [{"text": text} for text in known]})
        question = self._full_question(state)
        plan = await self._make_plan(question, run)
        detail = f"{plan.route}: {plan.reason}" if len(plan.steps) < 2 else f"{_outline(plan)}: {plan.reason}"
        ended = self._immediate_result(plan, state, run)
        before = (state.get("clarifying") or {}).get("asked", "") if self._completes_request(state) else ""
        asked = f"{before}\n{state['question']}".strip()
        update: PlannedState = {"clarifying": {}, "asked": asked, "result": ended, "known": state["known"]}
        if plan.route == "clarify":
            lacking = {"tool": plan.steps[0].tool, "missing": list(plan.steps[0].missing)}
            update["clarifying"] = {"question": question, "asked": asked, **lacking}
        if ended is None:
            update |= self._launch_steps(plan, state)
        return update | self._record_plan(plan, run), detail

    async def _make_plan(self, question: str, run: PlannedRun) -> Plan:
        """Return the plan of the first planner that does not fail, else the fixed one; failures are noted in the answer."""
        executor = self._parts.executor
        allowed = executor.allowed_tools(run.principal)
        for planner in self._planners:
            try:
                with time_limit(run.budget.remaining_s()):
                    return await planner.plan(question, executor.tools, run, allowed=allowed)
            except ComponentError as error:
                run.note(f"{type(planner).__name__} could not plan: {error.code}")
        return fixed_plan(question, "no planner could plan")

    def _immediate_result(self, plan: Plan, state: PlannedState, run: PlannedRun) -> Result | None:
        if plan.route == "hand_over":
            text = run.prompt("hand_over").fill(answer_id=state["answer_id"])
            return as_result("escalated", "complete", text)
        if plan.route == "refuse" and not plan.steps:
            return as_result("refused", "policy", run.prompt("refusal").fill(reason=_harmless_reason(plan)).strip())
        if plan.route == "reply":
            return abstain(plan.reply)
        if plan.route == "clarify":
            return abstain(self._question_back(plan.steps[0], run))
        return None

    def _question_back(self, step: PlanStep, run: PlannedRun) -> str:
        tool = self._tool(step.tool)
        lacking = [describe(tool, name) if tool else name.replace("_", " ") for name in step.missing]
        return run.prompt("ask_back").fill(missing="; and ".join(lacking))

    def _tool(self, name: str) -> BaseTool | None:
        return next((tool for tool in self._parts.executor.tools if tool.name == name), None)

    def _full_question(self, state: PlannedState) -> str:
        """Return the question with the request that it completes, else with the identifier that its "it" stands for."""
        if self._completes_request(state):
            return f"{state['clarifying']['question']} {state['question']}"
        return resolve_pronoun(state["question"], _earlier_questions(state), self._parts.executor.tools)

    def _completes_request(self, state: PlannedState) -> bool:
        open_question = state.get("clarifying") or {}
        tool = self._tool(open_question.get("tool", ""))
        return tool is not None and bool(set(open_question["missing"]) & arguments_in(state["question"], tool).keys())

    def _launch_steps(self, plan: Plan, state: PlannedState) -> PlannedState:
        steps = ready_steps(plan, state.get("started") or [])
        calls = [step for step in steps if step.kind != "answer"]
        questions = [step for step in steps if step.kind == "answer"] if not state.get("open_questions") else []
        update: PlannedState = {
            "batch": [step.step_id for step in (*calls, *questions)],
            "started": [*(state.get("started") or []), *(step.step_id for step in (*calls, *questions))],
        }
        if questions:
            # one search for all of them, whose answer each gets
            outcomes = _outcomes(state)
            asks = [step.model_copy(update={"ask": fill_references(step.ask, outcomes)}) for step in questions]
            question = query_of(asks, plan, self._full_question(state))
            query = self.in_context(question, state)
            single_questions = [step.ask for step in asks] if len(asks) > 1 else []
            with_tools = any(step.kind != "answer" for step in plan.steps)
            update |= {
                # a name in the words for a tool, such as an order's number, is in no document
                "document_question": question if with_tools else state["question"],
                "open_questions": [step.step_id for step in questions],
                "query": query,
                "extra_queries": ([question] if query != question else []) + single_questions,
                "rewrites": 0,
                "gate": "",
                "document_answer": None,
            }
        return update

    def in_context(self, question: str, state: PlannedState) -> str:
        """Return the query: the question with words of earlier ones and of facts about the person."""
        known = [fact["text"] for fact in state.get("known") or []]
        return with_facts(in_context(question, _earlier_questions(state)), known)

    def _record_plan(self, plan: Plan, run: PlannedRun) -> PlannedState:
        run.plan = plan
        annotate(PLAN_ROUTE, plan.route)
        annotate(PLAN_MADE_BY, plan.made_by)
        annotate(PLAN_STEPS, _outline(plan))
        annotate(PLAN_CHANGES, len(plan.changes))
        return {"plan": plan.model_dump(mode="json")}

    async def gather(self, state: PlannedState, run: PlannedRun) -> PlannedState:
        """Record the results of finished steps, adapt the plan where one failed, and begin the steps that are ready."""
        begun_s, before = time.perf_counter(), Plan(**state["plan"])
        update: PlannedState = {}
        if "open_questions" not in state:  # begun by a release in which it had another name
            begun = set(state["started"]) - (state.get("done") or {}).keys()
            asked = [step.step_id for step in before.steps if step.kind == "answer" and step.step_id in begun]
            state = cast("PlannedState", {**state, "open_questions": asked})
        if (answer := state.get("document_answer")) is not None and (step_ids := state.get("open_questions")):
            answered: dict[str, Done] = {step_id: {"result": answer, "outcome": None} for step_id in step_ids}
            update = {"done": answered, "open_questions": [], "document_answer": None}
        done = {**(state.get("done") or {}), **(update.get("done") or {})}
        for step_id, entry in done.items():
            run.results[step_id] = entry["result"]
        state = cast("PlannedState", {**state, **update, "done": done})
        plan = await self._adapt_after_failures(_settle_plan(before, done), state, run)
        update |= self._launch_steps(plan, state)
        running = set(update["started"]) - done.keys()
        update["result"] = None if running else self._overall_result(plan, done, run)
        if len(plan.changes) > len(before.changes):
            ms = (time.perf_counter() - begun_s) * 1000
            run.report(Step(name="replan", detail=plan.changes[-1], ms=ms))
        return update | self._record_plan(plan, run)

    async def _adapt_after_failures(self, plan: Plan, state: PlannedState, run: PlannedRun) -> Plan:
        changed = adapt_plan(plan)
        broke = [step for step in plan.steps if step.tool and step.detail.startswith("failed")]
        if not broke or plan.made_by != "model" or any(REPLANNED in change for change in plan.changes):
            return changed
        try:
            return await self._planners[0].replan(plan, self._full_question(state), self._parts.executor.tools, run)
        except ComponentError as error:
            run.note(f"the plan could not be changed: {error.code}")
            return changed

    def _overall_result(self, plan: Plan, done: Mapping[str, Done], run: PlannedRun) -> Result:
        results = {step_id: entry["result"] for step_id, entry in done.items()}
        result = combine_results(plan, results) or run.nothing_found()
        later = sum(step.outcome == "planned" for step in plan.steps)
        if result["status"] == "waiting" and later:
            more = "1 more step waits" if later == 1 else f"{later} more steps wait"
            result = {**result, "text": f"{result['text']}\n\n{more} until this is decided."}
        undone = [step.step_id for step in plan.steps if step.outcome in ("failed", "skipped")]
        if result["status"] in ("answered", "waiting") and len(plan.steps) > 1 and undone:
            run.note(f"incomplete: {len(undone)} of {len(plan.steps)} parts could not be met")
        return result

    async def tool(self, state: PlannedState, run: PlannedRun) -> tuple[PlannedState, str]:
        step = _step_of(state)
        if step.missing and step.tool in self._parts.executor.allowed_tools(run.principal):
            result = abstain(self._question_back(step, run))
            run.results[step.step_id] = result
            return {"done": {step.step_id: {"result": result, "outcome": None}}}, f"{step.tool}: asked back"
        outcome, tries = await self._call(state, step, run, None), ""
        # a lookup that broke is tried once more; an effect never, since it may have happened
        if step.kind == "look_up" and outcome.reason in BROKE:
            outcome, tries = await self._call(state, step, run, None), ", at the second try"
        waiting: PlannedState = {}
        if outcome.approval:
            waiting = {"approval_id": outcome.approval.approval_id, "waiting": step.step_id}
        return _call_update(step, outcome, waiting, run), f"{outcome.tool}: {outcome_label(outcome)}{tries}"

    async def effect(self, state: PlannedState, run: PlannedRun) -> tuple[PlannedState, str]:
        step = _step_of({**state, "step": state["waiting"]})
        approvals, approval_id = self._parts.executor.approvals, state.get("approval_id")
        approval = await approvals.get(approval_id, state["owner"]["tenant"]) if approval_id else None
        outcome = await self._call(state, step, run, approval)
        return _call_update(step, outcome, {"waiting": ""}, run), f"{outcome.tool}: {outcome_label(outcome)}"

    async def _call(
        self, state: PlannedState, step: PlanStep, run: PlannedRun, approval: Approval | None
    ) -> ToolOutcome:
        # only the person's own words in this conversation can steer an effect
        outcomes = _outcomes(state)
        words = "\n".join([*(turn["question"] for turn in state.get("turns") or []), state["question"]])
        return await self._parts.executor.call(
            step.tool,
            resolve_arguments(step.arguments, outcomes),
            principal=run.principal,
            run_id=state["answer_id"],
            thread_id=state["thread_id"],
            step=1 + [planned["step_id"] for planned in state["plan"]["steps"]].index(step.step_id),
            origin=Origin(words=words, asked=state.get("asked") or state["question"], results=tuple(outcomes.values())),
            approval=approval,
        )


class PlannedAgent(DurableAgent):
    """A `DurableAgent` with planners and the steps of their plans."""

    run_class = PlannedRun

    def __init__(self, options: Options, parts: AgentParts) -> None:
        super().__init__(parts)
        in_order = [options.planner]
        if in_order[0].use != CLASSIFIER:
            in_order.append(Part(use=CLASSIFIER))  # for where the first one fails
        planners = [load(PLANNERS, part, parts, expected=Planner) for part in in_order]
        self._steps = Steps(parts, planners, writes=options.writes)

    async def _begin(self, request: AnswerRequest, thread_id: str, principal: Principal) -> tuple[Begin, State]:
        begin, state = await super()._begin(request, thread_id, principal)
        if begin == "new":
            state = cast("State", {**state, **begin_plan(state["question"])})
        if begin == "new" and (day := request.as_of or parse_as_of(request.question)):
            state["as_of"] = day.isoformat()
        if begin == "new" and request.earlier and not request.thread_id:
            longest = self._settings.max_question_characters
            turns, summary = turns_from_client(request.earlier, longest=longest)
            state = cast("State", {**state, "turns": turns, "summary": summary})
        return begin, state

    async def _answer_within_budget(self, run: Run, error: BudgetExceeded) -> Result:
        """Return quotes and results found so far, since quoting costs nothing; the answer says that the budget was used up."""
        failed, run = await super()._answer_within_budget(run, error), cast("PlannedRun", run)
        grounding, evidence = self._parts.grounding, run.evidence or []
        results = dict(run.results)
        if grounding.strength(run.question, evidence) >= grounding.settings.min_evidence:
            draft = draft_extractive(run.question, evidence)
            text, citations = render(draft, evidence, grounding)
            open_steps = [step.step_id for step in run.plan.steps if step.kind == "answer"] if run.plan else []
            quote = as_result("answered", "budget", text, draft.path, citations)
            if text.strip():
                quote = grade(quote, run.question, quoted_of(draft, evidence), evidence, run)
            # nothing was found where even the weakest evidence is enough
            results |= {step_id: quote for step_id in open_steps[:1] if text.strip() and step_id not in results}
        combined = combine_results(run.plan, results) if run.plan and results else None
        if combined and combined["status"] == "answered":
            return {**combined, "stop_reason": "budget"}
        return failed

    async def _complete(self, answer: Answer, state: State, run: Run) -> Answer:
        planned, run = cast("PlannedState", state), cast("PlannedRun", run)
        recalled = {"cached": planned.get("cached") or None, "first_answer_id": planned.get("first_answer_id") or None}
        answer = answer.model_copy(update={"plan": run.plan and run.plan.model_dump(mode="json"), **recalled})
        if not (run.request and run.request.forget):
            await self._steps.remember(answer, planned, run)
        return answer


async def run_step(name: str, work: Work, state: PlannedState, run: PlannedRun) -> PlannedState:
    """Run one step: count, trace and report it. Return its update of the state."""
    crash_point(f"{name}_begun")
    run.budget.step()
    with run.watch(name) as watch, span(name, layer="orchestration", attributes={names.STEP: name}):
        try:
            update, watch.detail = await work(state, run)
        except ComponentError as error:
            # where the plan has other steps, they do not fail with the documents
            if name not in ("retrieve", "grade", "verify") or len(state["plan"]["steps"]) < 2:
                raise
            run.note(f"the documents could not be asked: {error.code}")
            update, watch.detail = {"document_answer": as_result("failed", "error", error.public)}, error.code
        watch.outcome = _outcome(update)
    crash_point(f"{name}_done")
    return {**update, "steps": [done.model_dump() for done in run.notes.steps]}


def close_turn(state: PlannedState) -> PlannedState:
    """Add this question and its answer to the conversation."""
    crash_point("finish_begun")
    result = state.get("result")
    text = result["text"] if result else ""
    turns, summary = append_turn(state.get("turns") or [], state.get("summary") or [], state["question"], text)
    return {"turns": turns, "summary": summary}


def _outcome(update: PlannedState) -> Literal["done", "failed", "waiting"]:
    results = [entry["result"] for entry in (update.get("done") or {}).values()]
    results += [result for result in (update.get("document_answer"), update.get("result")) if result]
    statuses = {result["status"] for result in results}
    return "waiting" if "waiting" in statuses else "failed" if "failed" in statuses else "done"


def _step_of(state: PlannedState) -> PlanStep:
    return PlanStep(**next(step for step in state["plan"]["steps"] if step["step_id"] == state["step"]))


def _outcomes(state: PlannedState) -> dict[str, ToolOutcome]:
    done = state.get("done") or {}
    return {step_id: ToolOutcome(**entry["outcome"]) for step_id, entry in done.items() if entry["outcome"]}


def _call_update(step: PlanStep, outcome: ToolOutcome, update: PlannedState, run: PlannedRun) -> PlannedState:
    entry: Done = {"result": result_of(outcome), "outcome": outcome.model_dump(mode="json")}
    run.results[step.step_id] = entry["result"]
    return cast("PlannedState", {**update, "done": {step.step_id: entry}})


def _settle_plan(plan: Plan, done: Mapping[str, Done]) -> Plan:
    settled = {}
    for step_id, entry in done.items():
        status = entry["result"]["status"]
        outcome: Outcome = "done" if status == "answered" else "waiting" if status == "waiting" else "failed"
        detail = outcome_label(ToolOutcome(**entry["outcome"])) if entry["outcome"] else status
        settled[step_id] = {"outcome": outcome, "detail": detail}
    steps = tuple(step.model_copy(update=settled.get(step.step_id, {})) for step in plan.steps)
    return plan.model_copy(update={"steps": steps})


def _outline(plan: Plan) -> str:
    """Return the plan without anybody's words, for a trace: `1 look_up find_order, 2 act refund after 1`."""
    return ", ".join(
        f"{step.step_id} {step.kind}{f' {step.tool}' if step.tool else ''}"
        f"{' after ' + '+'.join(step.after) if step.after else ''}"
        for step in plan.steps
    )


def _earlier_questions(state: PlannedState) -> list[str]:
    return [*(state.get("summary") or []), *(turn["question"] for turn in state.get("turns") or [])]


def _harmless_reason(plan: Plan) -> str:
    # a model may have been made to write anything there: links, markup, line ends
    return markdown(without_foreign_urls(one_line(plan.reason), ())[:_LONGEST_REASON])
