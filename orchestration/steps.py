"""The steps of an agent, each a function from what is known to what is new. Agents differ in how they join them."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any, cast

from foundation.errors import ComponentError
from models.pricing import is_local
from orchestration.composing import Draft, quoted, rendered, verified, written
from orchestration.contract import AgentParts, Approval, Origin, ToolOutcome
from orchestration.guard import instructs_reader
from orchestration.planning import Plan, Planner, arguments_in, describe, rewrite
from orchestration.run import Run
from orchestration.state import NOTHING_FOUND, State, abstained, as_result, result_of, what_came
from retrieval.contract import Hit
from retrieval.grounding import Evidence

SENTENCES_OF_EVIDENCE = 12
PASSAGES = 6
"""Of them, those that the chat model is shown."""
UNSUPPORTED = "What the language model wrote is not supported by the documents, so it is not shown."


class Steps:
    """The steps with the parts that they need. Every one returns its news and a detail for the person who looks on."""

    def __init__(self, parts: AgentParts, planner: Planner, *, writes: bool | None) -> None:
        self._parts = parts
        self._settings = parts.settings.answers
        self._planner = planner
        self._writes = not is_local(parts.chat) if writes is None else writes

    async def plan(self, state: State, run: Run) -> tuple[State, str]:
        executor = self._parts.executor
        allowed = executor.allowed(run.principal)
        question = self._in_full(state)
        plan = await self._planner.plan(question, executor.tools, run, allowed=allowed)
        if plan.route == "clarify" and plan.tool in allowed:
            tool = next(tool for tool in executor.tools if tool.name == plan.tool)
            needed = " and ".join(describe(tool, argument) for argument in plan.missing)
            asked = {"question": question, "tool": plan.tool, "missing": list(plan.missing)}
            result = abstained(f"For that I need {needed}. Please tell me.")
            return {"plan": _as_data(plan), "result": result, "clarifying": asked}, f"clarify: {plan.reason}"
        return {"plan": _as_data(plan), "clarifying": {}}, f"{plan.route}: {plan.reason}"

    def _in_full(self, state: State) -> str:
        """The question; or, where it states what was asked back for, together with the request before it."""
        asked = state.get("clarifying") or {}
        tool = next((tool for tool in self._parts.executor.tools if tool.name == asked.get("tool")), None)
        answers = tool is not None and set(asked["missing"]) & arguments_in(state["question"], tool).keys()
        return f"{asked['question']} {state['question']}" if answers else state["question"]

    async def tool(self, state: State, run: Run) -> tuple[State, str]:
        outcome = await self._call(state, run, None)
        waiting = {"approval_id": outcome.approval.approval_id} if outcome.approval else {}
        return cast("State", {"result": result_of(outcome), **waiting}), f"{outcome.tool}: {what_came(outcome)}"

    async def effect(self, state: State, run: Run) -> tuple[State, str]:
        outcome = await self._call(state, run, await self.approval_of(state))
        return {"result": result_of(outcome)}, f"{outcome.tool}: {what_came(outcome)}"

    async def _call(self, state: State, run: Run, approval: Approval | None) -> ToolOutcome:
        plan = state["plan"]
        return await self._parts.executor.call(
            plan["tool"],
            plan["arguments"],
            principal=run.principal,
            run_id=state["answer_id"],
            thread_id=state["thread_id"],
            step=1,
            origin=Origin(words=_said(state)),
            approval=approval,
        )

    async def retrieve(self, state: State, run: Run) -> tuple[State, str]:
        found = await self._search(state, run)
        known = {hit.chunk.chunk_id for hit in run.hits or ()}
        run.hits = [*(run.hits or ()), *(hit for hit in found if hit.chunk.chunk_id not in known)]
        return {}, f"{len(found)} passages"

    async def _search(self, state: State, run: Run) -> list[Hit]:
        search = self._parts.retriever.retrieve
        documents, passages = self._settings.evidence, self._settings.passages
        return await asyncio.to_thread(
            search, state["query"], run.principal.scope, limit=documents, per_document=passages
        )

    async def grade(self, state: State, run: Run) -> tuple[State, str]:
        evidence = await self._evidence(state, run)
        confidence = self._parts.grounding.confidence(state["query"], evidence)
        low = confidence < self._parts.grounding.settings.min_evidence
        update: State = {"confidence": confidence}
        if low and state["rewrites"] >= self._settings.rewrites:
            update["result"] = abstained(NOTHING_FOUND)
        return update, f"confidence {confidence:.2f}{', too low' if low else ''}"

    async def _evidence(self, state: State, run: Run) -> list[Evidence]:
        """The sentences to answer from, without questions and without orders to whoever reads them."""
        hits = run.hits if run.hits is not None else await self._search(state, run)
        judge = self._parts.grounding.evidence
        found = await asyncio.to_thread(judge, state["query"], hits, limit=2 * SENTENCES_OF_EVIDENCE)
        run.question = state["query"]
        run.evidence = [item for item in found if not _unfit(item.text)][:SENTENCES_OF_EVIDENCE]
        return run.evidence

    async def rewrite(self, state: State, run: Run) -> tuple[State, str]:  # noqa: ARG002 - every step has this form
        turns = state.get("turns") or []
        earlier = turns[-1]["question"] if turns else None
        return {"query": rewrite(state["question"], earlier), "rewrites": state["rewrites"] + 1}, "searched otherwise"

    async def compose(self, state: State, run: Run) -> tuple[State, str]:
        evidence = run.evidence if run.evidence is not None else await self._evidence(state, run)
        run.draft = await self._draft(state, run, evidence)
        return {}, f"{run.draft.path}, {len(run.draft.sentences)} sentences"

    async def _draft(self, state: State, run: Run, evidence: list[Evidence]) -> Draft:
        if state["compose"] == "generative":
            return await written(state["query"], evidence[:PASSAGES], run)
        if state["compose"] == "extractive" or not self._writes or state["gate"] == "rejected":
            return quoted(state["query"], evidence)
        try:
            return await written(state["query"], evidence[:PASSAGES], run)
        except ComponentError as error:
            run.note(f"language model unavailable: {error.code}")
            return quoted(state["query"], evidence)

    async def verify(self, state: State, run: Run) -> tuple[State, str]:
        evidence = run.evidence if run.evidence is not None else await self._evidence(state, run)
        draft = run.draft or quoted(state["query"], evidence)
        checked = await asyncio.to_thread(verified, draft, evidence, self._parts.grounding)
        if checked is not None:
            text, citations = rendered(checked, evidence, self._parts.grounding)
            given = as_result("answered", "complete", text, checked.path, citations)
            return {"result": given}, f"{len(citations)} citations hold"
        if draft.path == "generative" and state["compose"] == "auto":
            return {"gate": "rejected"}, "the draft is not supported; quoting instead"
        return {"result": abstained(UNSUPPORTED if draft.path == "generative" else NOTHING_FOUND)}, "not supported"

    def thin(self, state: State) -> bool:
        """Whether the evidence is too thin to answer from."""
        return state["confidence"] < self._parts.grounding.settings.min_evidence

    async def approval_of(self, state: State) -> Approval | None:
        approval_id = state.get("approval_id")
        if not approval_id:
            return None
        return await self._parts.executor.approvals.get(approval_id, state["owner"]["tenant"])


def _as_data(plan: Plan) -> dict[str, Any]:
    return {**asdict(plan), "arguments": dict(plan.arguments), "missing": list(plan.missing)}


def _unfit(text: str) -> bool:
    return text.rstrip().endswith("?") or instructs_reader(text)


def _said(state: State) -> str:
    """The person's own words in this conversation: the only text by which an effect may be steered."""
    return "\n".join([*(turn["question"] for turn in state.get("turns") or []), state["question"]])
