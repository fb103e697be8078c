"""The steps of an agent, each a function from what is known to what is new. Agents differ in how they join them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from foundation import names
from foundation.errors import ComponentError
from foundation.machine.deadline import in_thread_within, time_limit
from foundation.output.rendering import markdown, one_line
from foundation.tracing import annotate
from models.pricing import is_local
from orchestration.answers.compose import Draft, draft_extractive, draft_generative, render, salvage_partial, verify
from orchestration.contract import (
    AgentParts,
    Answer,
    Approval,
    Fact,
    NearDocument,
    Origin,
    Plan,
    Planner,
    PlanStep,
    ToolOutcome,
)
from orchestration.flow.plans import (
    REPLANNED,
    adapt_plan,
    fill_references,
    fixed_plan,
    query_of,
    ready_steps,
    resolve_arguments,
    rewrite,
)
from orchestration.language.guard import instructs_reader, warnings_about, without_foreign_urls
from orchestration.language.stated_arguments import arguments_in, describe
from orchestration.memory.facts import with_facts
from orchestration.memory.follow_ups import entity_names, in_context, resolve_pronoun, stands_alone
from orchestration.requests import Outcome
from orchestration.run.run import Run
from orchestration.run.state import (
    Done,
    Result,
    State,
    abstain,
    as_result,
    combine_results,
    day_of,
    outcome_label,
    result_of,
)
from retrieval.contract import Hit
from retrieval.grounding.evidence import FAR_BEHIND, Evidence, Grounding, title_of
from retrieval.search.fusion import in_one_ranking

SENTENCES_OF_EVIDENCE = 12
PASSAGES = 6
"""Sentences of evidence that the chat model is shown."""
DISCARDED = "a draft of the chat model was discarded: the documents do not support all of it, and are quoted instead"
NEAREST = 3
"""Documents that somebody is pointed to whose question could not be answered."""
NEAR = 0.75
"""Least share of the confidence that an answer needs, for the nearest documents to be named. Below it, a question of another subject would be sent
to nonsense."""
_SEVERAL = 2

Work = Callable[[State, Run], Awaitable[tuple[State, str]]]

_LONGEST_REASON = 300


class Steps:
    """The steps with the parts that they need. Every one returns its news and a detail for the person who looks on."""

    def __init__(self, parts: AgentParts, planners: Sequence[Planner], *, writes: bool | None) -> None:
        self._parts = parts
        self._settings = parts.settings.answers
        self._planners = tuple(planners)
        self._writes = not is_local(parts.chat) if writes is None else writes

    # -- the plan ----------------------------------------------------------------------------------------------------

    async def plan(self, state: State, run: Run) -> tuple[State, str]:
        state = cast("State", {**state, "known": await self._recall_facts(run)})
        question = self._full_question(state)
        if self._planners[0].asks_model:
            self._search_ahead(question, state, run)
        plan = await self._make_plan(question, run)
        detail = f"{plan.route}: {plan.reason}" if len(plan.steps) < _SEVERAL else f"{_outline(plan)}: {plan.reason}"
        ended = self._immediate_result(plan, state, run)
        before = (state.get("clarifying") or {}).get("asked", "") if self._completes_request(state) else ""
        update: State = {
            "clarifying": {},
            "asked": f"{before}\n{state['question']}".strip(),
            "result": ended,
            "known": state["known"],
        }
        if plan.route == "clarify":
            step = plan.steps[0]
            update["clarifying"] = {
                "question": question,
                "asked": update["asked"],
                "tool": step.tool,
                "missing": list(step.missing),
            }
        if ended is None:
            update |= self._launch_steps(plan, state)
        return update | self._record_plan(plan, run), detail

    async def _recall_facts(self, run: Run) -> list[dict[str, Any]]:
        facts = self._parts.facts
        remembered = await asyncio.to_thread(facts.of, run.principal) if facts else []
        return [fact.model_dump(mode="json") for fact in remembered]

    async def _make_plan(self, question: str, run: Run) -> Plan:
        """The first planner's plan; where it fails, the next one's, which is said; at last the fixed one."""
        executor = self._parts.executor
        allowed = executor.allowed_tools(run.principal)
        for planner in self._planners:
            try:
                with time_limit(run.budget.remaining_s()):
                    return await planner.plan(question, executor.tools, run, allowed=allowed)
            except ComponentError as error:
                run.note(f"{type(planner).__name__} could not plan: {error.code}")
        return fixed_plan(question, "no planner could plan")

    def _search_ahead(self, question: str, state: State, run: Run) -> None:
        """Begin, while a model plans, the search that a plan to answer from documents needs first. The planner sees nothing
        of it; a plan without that search leaves it unread."""
        query = self.in_context(question, state)
        ahead = asyncio.create_task(self._run_search(query, state, run))
        ahead.add_done_callback(lambda done: done.cancelled() or done.exception())  # where nobody else reads it
        run.prefetched_searches[query] = ahead

    def _immediate_result(self, plan: Plan, state: State, run: Run) -> Result | None:
        """The result of a plan without anything to do; `None` where there is something."""
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

    def _question_back(self, step: PlanStep, run: Run) -> str:
        tool = next((tool for tool in self._parts.executor.tools if tool.name == step.tool), None)
        names = [describe(tool, name) if tool else name.replace("_", " ") for name in step.missing]
        return run.prompt("ask_back").fill(missing="; and ".join(names))

    def _full_question(self, state: State) -> str:
        """The question in full: together with the request that it completes, where it states what was asked back for. An "it" that
        stands for an identifier said before is replaced by it."""
        if self._completes_request(state):
            return f"{state['clarifying']['question']} {state['question']}"
        return resolve_pronoun(state["question"], _earlier_questions(state), self._parts.executor.tools)

    def _completes_request(self, state: State) -> bool:
        """Whether the question states what was asked back for."""
        open_question = state.get("clarifying") or {}
        tool = next((tool for tool in self._parts.executor.tools if tool.name == open_question.get("tool")), None)
        return tool is not None and bool(set(open_question["missing"]) & arguments_in(state["question"], tool).keys())

    def _launch_steps(self, plan: Plan, state: State) -> State:
        """Begin what can be begun now: tool steps side by side, and beside them one search for all questions."""
        steps = ready_steps(plan, state.get("started") or [])
        calls = [step for step in steps if step.kind != "answer"]
        questions = [step for step in steps if step.kind == "answer"] if not state.get("asking") else []
        update: State = {
            "batch": [step.step_id for step in (*calls, *questions)],
            "started": [*(state.get("started") or []), *(step.step_id for step in (*calls, *questions))],
        }
        if questions:
            outcomes = _outcomes(state)
            asks = [step.model_copy(update={"ask": fill_references(step.ask, outcomes)}) for step in questions]
            question = query_of(asks, plan, self._full_question(state))
            query = self.in_context(question, state)
            update |= {
                "asking": [step.step_id for step in questions],
                "query": query,
                "legs": [*([question] if query != question else []), *(step.ask for step in asks if len(asks) > 1)],
                "rewrites": 0,
                "gate": "",
                "part": None,
            }
        return update

    def in_context(self, question: str, state: State) -> str:
        """What to search for: the question with what was asked before it and what is known of the person."""
        return with_facts(
            in_context(question, _earlier_questions(state)), [Fact(**fact) for fact in state.get("known") or []]
        )

    def _record_plan(self, plan: Plan, run: Run) -> State:
        run.plan = plan
        annotate(names.PLAN_ROUTE, plan.route)
        annotate(names.PLAN_MADE_BY, plan.made_by)
        annotate(names.PLAN_STEPS, _outline(plan))
        annotate(names.PLAN_CHANGES, len(plan.changes))
        return {"plan": plan.model_dump(mode="json")}

    async def gather(self, state: State, run: Run) -> tuple[State, str]:
        """Note what came of some steps, change the plan where one failed, and begin what can be begun now.

        The detail is empty unless the plan was changed.
        """
        before = Plan(**state["plan"])
        update: State = {}
        if (part := state.get("part")) is not None and state.get("asking"):
            update = {
                "done": {step_id: {"result": part, "outcome": None} for step_id in state["asking"]},
                "asking": [],
                "part": None,
            }
        done = {**(state.get("done") or {}), **(update.get("done") or {})}
        for step_id, entry in done.items():
            run.results[step_id] = entry["result"]
        state = cast("State", {**state, **update, "done": done})
        plan = await self._adapt_after_failures(_settle_plan(before, done), state, run)
        update |= self._launch_steps(plan, state)
        running = set(update["started"]) - done.keys()
        update["result"] = None if running else self._overall_result(plan, done, run)
        detail = plan.changes[-1] if len(plan.changes) > len(before.changes) else ""
        return update | self._record_plan(plan, run), detail

    async def _adapt_after_failures(self, plan: Plan, state: State, run: Run) -> Plan:
        changed = adapt_plan(plan)
        broke = [step for step in plan.steps if step.tool and step.detail.startswith("failed")]
        if not broke or plan.made_by != "model" or any(REPLANNED in change for change in plan.changes):
            return changed
        try:
            return await self._planners[0].replan(plan, self._full_question(state), self._parts.executor.tools, run)
        except ComponentError as error:
            run.note(f"the plan could not be changed: {error.code}")
            return changed

    def _overall_result(self, plan: Plan, done: Mapping[str, Done], run: Run) -> Result:
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

    # -- tools -------------------------------------------------------------------------------------------------------

    async def tool(self, state: State, run: Run) -> tuple[State, str]:
        step = _step_of(state)
        if step.missing and step.tool in self._parts.executor.allowed_tools(run.principal):
            result = abstain(self._question_back(step, run))
            run.results[step.step_id] = result
            return {"done": {step.step_id: {"result": result, "outcome": None}}}, f"{step.tool}: asked back"
        outcome = await self._call(state, step, run, None)
        waiting: State = {}
        if outcome.approval:
            waiting = {"approval_id": outcome.approval.approval_id, "waiting": step.step_id}
        return _call_update(step, outcome, waiting, run), f"{outcome.tool}: {outcome_label(outcome)}"

    async def effect(self, state: State, run: Run) -> tuple[State, str]:
        step = _step_of({**state, "step": state["waiting"]})
        outcome = await self._call(state, step, run, await self.approval_of(state))
        return _call_update(step, outcome, {"waiting": ""}, run), f"{outcome.tool}: {outcome_label(outcome)}"

    async def _call(self, state: State, step: PlanStep, run: Run, approval: Approval | None) -> ToolOutcome:
        outcomes = _outcomes(state)
        return await self._parts.executor.call(
            step.tool,
            resolve_arguments(step.arguments, outcomes),
            principal=run.principal,
            run_id=state["answer_id"],
            thread_id=state["thread_id"],
            step=1 + [planned["step_id"] for planned in state["plan"]["steps"]].index(step.step_id),
            origin=Origin(
                words=_own_words(state), asked=state.get("asked") or state["question"], results=tuple(outcomes.values())
            ),
            approval=approval,
        )

    # -- earlier answers ---------------------------------------------------------------------------------------------

    def recalls(self, state: State) -> bool:
        """Whether earlier answers are looked at: for the first question of a conversation, where all it asks for is an
        answer from documents. What a tool does is done anew, and no memory of it is kept."""
        personal = state.get("turns") or state.get("legs")  # read with what is known of the person
        today = day_of(state) is None
        return self._parts.memory is not None and today and not personal and _asks_documents_alone(state)

    async def recall(self, state: State, run: Run) -> tuple[State, str]:
        memory = self._parts.memory
        assert memory is not None
        try:
            since = await asyncio.to_thread(memory.now)
            earlier = await memory.recall(state["question"], compose=state["compose"], principal=run.principal)
        except ComponentError:
            run.note("earlier answers could not be looked up")
            return {}, "could not be reached"
        if earlier is None:
            return {"since": since}, "new"
        run.reuse(earlier)
        part = as_result("answered", "complete", earlier.text, earlier.path, earlier.citations)
        return {
            "since": since,
            "cached": earlier.kind,
            "first_answer_id": earlier.answer_id,
            "part": part,
        }, earlier.kind

    async def remember(self, answer: Answer, state: State, run: Run) -> None:
        """Keep what was made of documents alone, completely, and as well as it can be made."""
        memory = self._parts.memory
        answered = answer.status == "answered" and answer.stop_reason == "complete" and not answer.cached
        whole = answered and answer.path in ("extractive", "generative") and answer.citations and not answer.degraded
        if memory is None or not whole or not state.get("since"):
            return
        try:
            await memory.remember(answer, compose=state["compose"], principal=run.principal, since=state["since"])
        except ComponentError:
            return  # the next question will say so

    # -- documents ---------------------------------------------------------------------------------------------------

    async def _or_failed(self, work: Work, state: State, run: Run) -> tuple[State, str]:
        """Take a step of the search; where the documents are one part of several, their failure is not that of the others."""
        try:
            return await work(state, run)
        except ComponentError as error:
            if len(state["plan"]["steps"]) < _SEVERAL:
                raise
            run.note(f"the documents could not be asked: {error.code}")
            return {"part": as_result("failed", "error", error.public)}, error.code

    async def retrieve(self, state: State, run: Run) -> tuple[State, str]:
        return await self._or_failed(self._retrieve, state, run)

    async def grade(self, state: State, run: Run) -> tuple[State, str]:
        return await self._or_failed(self._grade, state, run)

    async def verify(self, state: State, run: Run) -> tuple[State, str]:
        return await self._or_failed(self._verify, state, run)

    async def _retrieve(self, state: State, run: Run) -> tuple[State, str]:
        queries = [state["query"], *(state.get("legs") or [])]
        searched = await asyncio.gather(*(self._search(query, state, run) for query in queries))
        seen = {hit.chunk.chunk_id for hit in run.hits or ()}
        fresh = [hit for hit in in_one_ranking(searched) if hit.chunk.chunk_id not in seen]
        run.new_passages = len(fresh)
        run.hits = [*(run.hits or ()), *fresh]
        return {"legs": []}, f"{len(fresh)} passages" + (f" of {len(queries)} searches" if len(queries) > 1 else "")

    async def _search(self, query: str, state: State, run: Run) -> list[Hit]:
        if not state["rewrites"] and (ahead := run.prefetched_searches.pop(query, None)) is not None:
            return await ahead
        return await self._run_search(query, state, run)

    async def _run_search(self, query: str, state: State, run: Run) -> list[Hit]:
        search = self._parts.retriever.retrieve
        wider = 2 if state["rewrites"] > 1 else 1
        documents, passages = wider * self._settings.evidence, wider * self._settings.passages
        scope = self._parts.executor.policy.scope(run.principal)
        return await in_thread_within(
            run.budget.remaining_s(), search, query, scope, limit=documents, per_document=passages, as_of=day_of(state)
        )

    async def _grade(self, state: State, run: Run) -> tuple[State, str]:
        evidence = await self._evidence(state, run)
        confidence = self._parts.grounding.confidence(state["question"], evidence)
        annotate(names.CONFIDENCE, confidence)
        enough = self._parts.grounding.settings.min_evidence
        low = confidence < enough
        update: State = {"confidence": confidence}
        searched = run.hits is not None  # or this run was cut off since, and nobody knows what was new
        nothing_new = state["rewrites"] > 0 and searched and run.new_passages == 0
        if low and (nothing_new or state["rewrites"] >= self._settings.rewrites):
            update["part"] = run.nothing_found(_nearest(evidence) if confidence >= NEAR * enough else ())
        return (
            update,
            f"confidence {confidence:.2f}, {'less than' if low else 'at least'} the {enough:.2f} that an answer needs"
            + (", nothing new" if nothing_new else ""),
        )

    async def _evidence(self, state: State, run: Run) -> list[Evidence]:
        """The sentences to answer from. How many seem to give orders to whoever reads them stands in the trace."""
        hits = run.hits if run.hits is not None else await self._search(state["query"], state, run)
        run.question = state["query"]
        run.evidence = await in_thread_within(
            run.budget.remaining_s(), evidence_of, state["query"], hits, self._parts.grounding
        )
        annotate(names.EVIDENCE_WITH_ORDERS, sum(instructs_reader(item.text) for item in run.evidence))
        return run.evidence

    async def rewrite(self, state: State, run: Run) -> tuple[State, str]:  # noqa: ARG002 - every step has this form
        """Search again: first with other words, then for more.

        The evidence is judged by the same words, so a question that stands alone takes no more than names from the one before it:
        what answered that one must not pass for an answer to this.
        """
        turns = state.get("turns") or []
        earlier = turns[-1]["question"] if turns else None
        if earlier and stands_alone(state["question"]):
            earlier = " ".join(entity_names(earlier))
        detail = "other words" if state["rewrites"] == 0 else "more documents and passages"
        return {"query": rewrite(state["question"], earlier), "rewrites": state["rewrites"] + 1}, detail

    async def compose(self, state: State, run: Run) -> tuple[State, str]:
        evidence = run.evidence if run.evidence is not None else await self._evidence(state, run)
        run.draft = await self._draft(state, run, evidence)
        how = "quoted" if run.draft.path == "extractive" else "written by the model"
        return {}, f"{len(run.draft.sentences)} sentences, {how}"

    async def _draft(self, state: State, run: Run, evidence: list[Evidence]) -> Draft:
        if state["compose"] == "generative":
            return await self._draft_or_salvage(state, run, evidence[:PASSAGES])
        if state["compose"] == "extractive" or not self._writes or state["gate"] == "rejected":
            return draft_extractive(state["query"], evidence)
        try:
            return await draft_generative(state["query"], evidence[:PASSAGES], run)
        except ComponentError as error:
            run.note(f"language model unavailable: {error.code}")
            return draft_extractive(state["query"], evidence)

    async def _draft_or_salvage(self, state: State, run: Run, evidence: list[Evidence]) -> Draft:
        """Draft by the model alone; where it breaks off, the sentences that came before, said to be no more than that."""
        try:
            return await draft_generative(state["query"], evidence, run)
        except ComponentError as error:
            if (draft := salvage_partial(run.partial, evidence)) is None:
                raise
            run.note(f"incomplete: the language model broke off ({error.code})")
            return draft

    async def _verify(self, state: State, run: Run) -> tuple[State, str]:
        evidence = run.evidence if run.evidence is not None else await self._evidence(state, run)
        draft = run.draft or draft_extractive(state["query"], evidence)
        checked = await in_thread_within(run.budget.remaining_s(), verify, draft, evidence, self._parts.grounding)
        if checked is not None:
            text, citations = render(checked, evidence, self._parts.grounding)
            for warning in warnings_about(citations):
                run.note(warning)
            if checked.path == "generative":
                run.drafts.append("shown")
            result = as_result("answered", "complete" if checked.whole else "error", text, checked.path, citations)
            return {"part": result}, f"{len(citations)} citations hold"
        if draft.path == "generative" and state["compose"] == "auto":
            run.drafts.append("discarded")
            run.note(DISCARDED)
            return {"gate": "rejected"}, "the draft is not supported; quoting instead"
        if draft.path == "generative":
            run.drafts.append("refused")
            return {"part": abstain(run.prompt("unsupported").text)}, "not supported"
        return {"part": run.nothing_found()}, "not supported"

    def thin(self, state: State) -> bool:
        """Whether the evidence is too thin to answer from."""
        return state["confidence"] < self._parts.grounding.settings.min_evidence

    async def approval_of(self, state: State) -> Approval | None:
        approval_id = state.get("approval_id")
        if not approval_id:
            return None
        return await self._parts.executor.approvals.get(approval_id, state["owner"]["tenant"])


def _step_of(state: State) -> PlanStep:
    return PlanStep(**next(step for step in state["plan"]["steps"] if step["step_id"] == state["step"]))


def _outcomes(state: State) -> dict[str, ToolOutcome]:
    """What the tools of this run gave, by step."""
    done = state.get("done") or {}
    return {step_id: ToolOutcome(**entry["outcome"]) for step_id, entry in done.items() if entry["outcome"]}


def _call_update(step: PlanStep, outcome: ToolOutcome, update: State, run: Run) -> State:
    entry: Done = {"result": result_of(outcome), "outcome": outcome.model_dump(mode="json")}
    run.results[step.step_id] = entry["result"]
    return cast("State", {**update, "done": {step.step_id: entry}})


def _settle_plan(plan: Plan, done: Mapping[str, Done]) -> Plan:
    """The plan with what came of each step that has ended."""
    steps = []
    for step in plan.steps:
        entry = done.get(step.step_id)
        if entry is None:
            steps.append(step)
            continue
        came = ToolOutcome(**entry["outcome"]) if entry["outcome"] else None
        status = entry["result"]["status"]
        outcome: Outcome = "done" if status == "answered" else "waiting" if status == "waiting" else "failed"
        detail = outcome_label(came) if came else status
        steps.append(step.model_copy(update={"outcome": outcome, "detail": detail}))
    return plan.model_copy(update={"steps": tuple(steps)})


def _outline(plan: Plan) -> str:
    """The plan without anything that anybody wrote, fit for a trace: `1 look_up find_order, 2 act refund after 1`."""
    return ", ".join(
        f"{step.step_id} {step.kind}{f' {step.tool}' if step.tool else ''}"
        f"{' after ' + '+'.join(step.after) if step.after else ''}"
        for step in plan.steps
    )


def evidence_of(question: str, hits: Sequence[Hit], grounding: Grounding) -> list[Evidence]:
    """The sentences to answer from, best first. The chat model is shown the first `PASSAGES` of them. Only questions are left
    out, which answer nothing.

    Raises:
        ComponentError: the embedder failed.
    """
    items = grounding.evidence(question, hits, limit=2 * SENTENCES_OF_EVIDENCE)
    return [item for item in items if not item.text.rstrip().endswith("?")][:SENTENCES_OF_EVIDENCE]


def _nearest(evidence: Sequence[Evidence]) -> list[NearDocument]:
    """The documents of the evidence that were found best, but for those found far worse than the first."""
    best: dict[str, Hit] = {}
    hits = sorted((item.hit for item in evidence), key=lambda hit: -hit.score)
    for hit in hits:
        if hits[0].score - hit.score < FAR_BEHIND:
            best.setdefault(hit.chunk.document_id, hit)
    return [
        NearDocument(document_id=hit.chunk.document_id, uri=hit.source.uri, title=title_of(hit))
        for hit in [*best.values()][:NEAREST]
    ]


def _earlier_questions(state: State) -> list[str]:
    """What the person asked before in this conversation, oldest first, as far as it is remembered."""
    return [*(state.get("summary") or []), *(turn["question"] for turn in state.get("turns") or [])]


def _own_words(state: State) -> str:
    """The person's own words in this conversation: the only text by which an effect may be steered."""
    return "\n".join([*(turn["question"] for turn in state.get("turns") or []), state["question"]])


def _asks_documents_alone(state: State) -> bool:
    kinds = [step["kind"] for step in state["plan"].get("steps", ())]
    return state["plan"].get("route") == "answer" and kinds == ["answer"]


def _harmless_reason(plan: Plan) -> str:
    """Why a plan does nothing, for the person: a model may have been made to write anything there, and nothing supports it."""
    reason = without_foreign_urls(one_line(plan.reason), ())
    return markdown(reason[:_LONGEST_REASON])
