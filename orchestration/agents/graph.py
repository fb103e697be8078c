"""The agent as a LangGraph graph, durable node by node.

    plan ─┬─ tool ─┬─────────────────────────────────────────────────────────── finish
          │        └─ approval (waits for a person) ─ effect ────────────────── finish
          ├─ retrieve ─ grade ─┬─ compose ─ verify ─┬────────────────────────── finish
          │         └─ rewrite ┘            └─ compose (quoting, where the gate refused what was written)
          └───────────────────────────────────────────────────────────────────── finish

The plan is made from the person's words before any document is read, and nothing that is read later can change it: no
edge leads from the lower branch to a tool. Checkpoints hold what was asked, planned and answered as plain data. They
hold no passages: what a person may read is asked again when a run goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import asdict
from typing import Any, Literal, TypedDict, cast
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command, StateSnapshot, interrupt
from pydantic import BaseModel, ConfigDict, Field

from foundation import names
from foundation.errors import (
    BudgetExceeded,
    ComponentError,
    Conflict,
    Gone,
    InvalidRequest,
    NotFound,
    SixplyError,
    TooLarge,
)
from foundation.tracing import span, trace_id
from foundation.types import Principal
from orchestration.budget import Budget
from orchestration.composing import Draft, quoted, rendered, verified, written
from orchestration.contract import AgentParts, Answer, AnswerRequest, Approval, Decision, Event, Step, ToolOutcome
from orchestration.guard import instructs_reader
from orchestration.planning import ClassifierPlanner, ModelPlanner, Plan, Planner, arguments_in, describe, rewrite
from orchestration.run import Run
from orchestration.streaming import produced
from retrieval.contract import Citation, Hit
from retrieval.grounding import Evidence

NAME = "graph"
SENTENCES_OF_EVIDENCE = 8
TURNS = 6
"""Earlier questions and answers that a conversation remembers."""
NOTHING_FOUND = "I could not find this in the documents that you may read."
UNSUPPORTED = "What the language model wrote is not supported by the documents, so it is not shown."


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    planner: Literal["classifier", "model"] = "classifier"
    """Who chooses tools; `model` needs one that can."""
    quotes_above: float = Field(default=0.5, ge=0)
    """`auto` quotes where the confidence in the evidence is at least this, and lets the model write below it. Set it to
    2 to let a good model always write."""


class Result(TypedDict):
    """The part of an Answer that the graph decides, as plain data."""

    status: str
    stop_reason: str
    text: str
    path: str
    citations: list[dict[str, Any]]


class State(TypedDict, total=False):
    owner: dict[str, Any]
    turns: list[dict[str, str]]
    clarifying: dict[str, Any]
    """The request that a question back was asked about: question, tool, missing."""

    answer_id: str
    thread_id: str
    question: str
    compose: str
    plan: dict[str, Any]
    query: str
    rewrites: int
    confidence: float
    gate: str
    approval_id: str
    result: Result | None


Work = Callable[[State, Run], Awaitable[tuple[State, str]]]


class GraphAgent:
    """An `Agent`. A conversation is a LangGraph thread, belongs to one person, and does one thing at a time."""

    def __init__(self, options: Options, parts: AgentParts) -> None:
        self._options = options
        self._parts = parts
        self._settings = parts.settings.answers
        self._planner: Planner = ModelPlanner() if options.planner == "model" else ClassifierPlanner(parts.embedder)
        self._graph = self._build()
        self._busy: set[str] = set()

    async def stream(self, request: AnswerRequest, principal: Principal) -> AsyncGenerator[Event, None]:
        question = self._checked(request.question)
        thread_id = request.thread_id or uuid4().hex
        with self._claimed(thread_id):
            if request.thread_id is not None:
                await self._owned(thread_id, principal)
            state = _fresh(question, request.compose or self._settings.compose, thread_id, principal)
            async with aclosing(self._events(state, state, principal, request.max_usd)) as events:
                async for event in events:
                    yield event

    async def resume(self, decision: Decision, principal: Principal) -> AsyncGenerator[Event, None]:
        approval = await self._parts.executor.may_decide(decision.approval_id, principal)
        with self._claimed(approval.thread_id):
            snapshot = await self._graph.aget_state(_config(approval.thread_id))
            await self._decided(decision, approval, snapshot, principal)
            state = cast("State", snapshot.values)
            go_on: Command[Any] | None = Command(resume={"decided": True}) if snapshot.interrupts else None
            async with aclosing(self._events(go_on, state, _principal(state), None)) as events:
                async for event in events:
                    yield event

    # -- admission ---------------------------------------------------------------------------------------------------

    def _checked(self, question: str) -> str:
        if not question.strip():
            raise InvalidRequest("The question is empty. Ask something.")
        if len(question) > self._settings.max_question_characters:
            raise TooLarge(
                f"The question has {len(question)} characters; at most {self._settings.max_question_characters} are "
                "taken. Shorten it, or add the text as a document and ask about that."
            )
        return question.strip()

    @contextmanager
    def _claimed(self, thread_id: str) -> Iterator[None]:
        if thread_id in self._busy:
            raise Conflict(f"Conversation {thread_id} is busy with a request. Wait for its answer.")
        self._busy.add(thread_id)
        try:
            yield
        finally:
            self._busy.discard(thread_id)

    async def _owned(self, thread_id: str, principal: Principal) -> None:
        """Raise where the thread is not the caller's, or cannot take a question now."""
        snapshot = await self._graph.aget_state(_config(thread_id))
        owner = snapshot.values.get("owner", {})
        if (owner.get("tenant"), owner.get("subject")) != (principal.tenant, principal.subject):
            raise NotFound(f"There is no conversation {thread_id}. Leave thread_id out to begin one.")
        approval = await self._approval_of(cast("State", snapshot.values)) if snapshot.interrupts else None
        if approval is not None and approval.status == "pending":
            raise Conflict(
                f"Conversation {thread_id} waits for the approval {approval.approval_id}. Let it be decided, or begin "
                "another conversation."
            )

    async def _decided(
        self, decision: Decision, approval: Approval, snapshot: StateSnapshot, principal: Principal
    ) -> None:
        """Take the decision, or accept the same one again where its run was cut off; raise otherwise."""
        waiting = bool(snapshot.next) and snapshot.values.get("approval_id") == approval.approval_id
        if approval.status == "expired":
            raise Gone(f"Approval {approval.approval_id} expired at {approval.expires_at:%Y-%m-%d %H:%M} UTC.")
        if approval.status == "pending":
            if not waiting:
                raise NotFound(f"The run that asked for approval {approval.approval_id} is lost. Ask for it again.")
            await self._parts.executor.decide(decision, principal)
        elif not waiting or decision.approve != (approval.status == "approved"):
            raise Conflict(f"Approval {approval.approval_id} was {approval.status} by {approval.decided_by} already.")

    # -- one run -----------------------------------------------------------------------------------------------------

    def _events(
        self, given: State | Command[Any] | None, state: State, principal: Principal, max_usd: float | None
    ) -> AsyncGenerator[Event, None]:
        async def produce(emit: Callable[[Event], None]) -> None:
            budget = Budget(self._parts.settings.budget, self._parts.clock, max_usd=max_usd)
            answer_id = state["answer_id"]
            run = Run(parts=self._parts, principal=principal, answer_id=answer_id, budget=budget, emit=emit)
            await self._drive(given, state, run)

        return produced(produce)

    async def _drive(self, given: Any, state: State, run: Run) -> None:
        """Run the graph and emit its events; the last one is `answer` or `error`."""
        attributes = {
            names.AGENT_NAME: NAME,
            names.CONVERSATION_ID: state["thread_id"],
            names.ANSWER_ID: run.answer_id,
            names.TENANT: run.principal.tenant,
        }
        try:
            with span(names.INVOKE_AGENT, NAME, layer="orchestration", attributes=attributes) as current:
                answer = await self._answer(given, state, run)
                current.set_attribute(names.STATUS, answer.status)
                current.set_attribute(names.STOP_REASON, answer.stop_reason)
                current.set_attribute(names.ANSWER_PATH, answer.path)
        except SixplyError as error:
            retry = {"retryable": error.retryable, "retry_after_s": error.retry_after_s}
            run.emit(Event(kind="error", code=error.code, message=str(error), **retry))
            return
        for word in answer.text.split(" "):
            run.emit(Event(kind="token", token=f"{word} "))
        run.emit(Event(kind="answer", answer=answer))

    async def _answer(self, given: Any, state: State, run: Run) -> Answer:
        values: State = state
        try:
            values = await self._graph.ainvoke(given, _config(state["thread_id"]), context=run, durability="sync")
            result = values.get("result") or _abstained(NOTHING_FOUND)
        except BudgetExceeded as error:
            result = await self._with_what_there_is(run, error)
        finally:
            run.close()
        return Answer(
            answer_id=run.answer_id,
            thread_id=state["thread_id"],
            question=state["question"],
            steps=tuple(run.steps),
            degraded=tuple(run.degraded),
            usage=run.usage,
            cost_usd=run.cost_usd,
            seconds=run.seconds,
            trace_id=trace_id(),
            approval=await self._approval_of(values),
            citations=tuple(Citation(**citation) for citation in result["citations"]),
            **{key: result[key] for key in ("status", "stop_reason", "text", "path")},
        )

    async def _with_what_there_is(self, run: Run, error: BudgetExceeded) -> Result:
        """Quoting costs nothing more: what has been found is given, and said to be all that the budget allowed."""
        run.note(f"budget used up: {error.limit}")
        draft = quoted(run.question, run.evidence) if run.evidence else None
        if not draft or not draft.sentences or not run.evidence:
            return _result("failed", "budget", f"{error} No answer was found before that.")
        text, citations = rendered(draft, run.evidence, self._parts.grounding)
        return _result("answered", "budget", text, draft.path, citations)

    async def _approval_of(self, state: State) -> Approval | None:
        approval_id = state.get("approval_id")
        if not approval_id:
            return None
        return await self._parts.executor.approvals.get(approval_id, state["owner"]["tenant"])

    # -- the graph ---------------------------------------------------------------------------------------------------

    def _build(self) -> Any:
        graph = StateGraph(State, context_schema=Run)
        steps: dict[str, Work] = {
            "plan": self._plan,
            "tool": self._tool,
            "effect": self._effect,
            "retrieve": self._retrieve,
            "grade": self._grade,
            "rewrite": self._rewrite,
            "compose": self._compose,
            "verify": self._verify,
        }
        for name, work in steps.items():
            graph.add_node(name, _step(name, work))
        graph.add_node("approval", _wait_for_a_person)
        graph.add_node("finish", _remember)
        graph.add_edge(START, "plan")
        graph.add_conditional_edges("plan", _after_plan, ["tool", "retrieve", "finish"])
        graph.add_conditional_edges("tool", _after_tool, ["approval", "finish"])
        graph.add_edge("approval", "effect")
        graph.add_edge("effect", "finish")
        graph.add_edge("retrieve", "grade")
        graph.add_conditional_edges("grade", self._after_grade, ["rewrite", "compose", "finish"])
        graph.add_edge("rewrite", "retrieve")
        graph.add_edge("compose", "verify")
        graph.add_conditional_edges("verify", _after_verify, ["compose", "finish"])
        graph.add_edge("finish", END)
        return graph.compile(checkpointer=self._parts.checkpoints, name=NAME)

    async def _plan(self, state: State, run: Run) -> tuple[State, str]:
        executor = self._parts.executor
        allowed = executor.allowed(run.principal)
        every = self._options.planner == "classifier"
        tools = [tool for tool in executor.tools if every or tool.name in allowed]
        question = self._in_full(state)
        plan = await self._planner.plan(question, tools, run)
        if plan.route == "clarify" and plan.tool in allowed:
            tool = next(tool for tool in tools if tool.name == plan.tool)
            needed = " and ".join(describe(tool, argument) for argument in plan.missing)
            open_request = {"question": question, "tool": plan.tool, "missing": list(plan.missing)}
            result = _abstained(f"For that I need {needed}. Please tell me.")
            return {"plan": _as_data(plan), "result": result, "clarifying": open_request}, f"clarify: {plan.reason}"
        return {"plan": _as_data(plan), "clarifying": {}}, f"{plan.route}: {plan.reason}"

    def _in_full(self, state: State) -> str:
        """The question; or, where it states what was asked back for, together with the request before it."""
        asked = state.get("clarifying") or {}
        tool = next((tool for tool in self._parts.executor.tools if tool.name == asked.get("tool")), None)
        answers = tool is not None and set(asked["missing"]) & arguments_in(state["question"], tool).keys()
        return f"{asked['question']} {state['question']}" if answers else state["question"]

    async def _tool(self, state: State, run: Run) -> tuple[State, str]:
        outcome = await self._call(state, run, None)
        waiting = {"approval_id": outcome.approval.approval_id} if outcome.approval else {}
        return cast("State", {"result": _of_tool(outcome), **waiting}), f"{outcome.tool}: {_what_came(outcome)}"

    async def _effect(self, state: State, run: Run) -> tuple[State, str]:
        outcome = await self._call(state, run, await self._approval_of(state))
        return {"result": _of_tool(outcome)}, f"{outcome.tool}: {_what_came(outcome)}"

    async def _call(self, state: State, run: Run, approval: Approval | None) -> ToolOutcome:
        plan = state["plan"]
        return await self._parts.executor.call(
            plan["tool"],
            plan["arguments"],
            principal=run.principal,
            run_id=state["answer_id"],
            thread_id=state["thread_id"],
            step=1,
            approval=approval,
        )

    async def _retrieve(self, state: State, run: Run) -> tuple[State, str]:
        found = await self._search(state, run)
        known = {hit.chunk.chunk_id for hit in run.hits or ()}
        run.hits = [*(run.hits or ()), *(hit for hit in found if hit.chunk.chunk_id not in known)]
        return {}, f"{len(found)} passages"

    async def _search(self, state: State, run: Run) -> list[Hit]:
        search = self._parts.retriever.retrieve
        return await asyncio.to_thread(search, state["query"], run.principal.scope, limit=self._settings.evidence)

    async def _grade(self, state: State, run: Run) -> tuple[State, str]:
        evidence = await self._evidence(state, run)
        confidence = self._parts.grounding.confidence(state["query"], evidence)
        low = confidence < self._parts.grounding.settings.min_evidence
        update: State = {"confidence": confidence}
        if low and state["rewrites"] >= self._settings.rewrites:
            update["result"] = _abstained(NOTHING_FOUND)
        return update, f"confidence {confidence:.2f}{', too low' if low else ''}"

    async def _evidence(self, state: State, run: Run) -> list[Evidence]:
        """The sentences to answer from, without those that give orders to whoever reads them."""
        hits = run.hits if run.hits is not None else await self._search(state, run)
        judge = self._parts.grounding.evidence
        found = await asyncio.to_thread(judge, state["query"], hits, limit=2 * SENTENCES_OF_EVIDENCE)
        run.question = state["query"]
        run.evidence = [item for item in found if not instructs_reader(item.text)][:SENTENCES_OF_EVIDENCE]
        return run.evidence

    async def _rewrite(self, state: State, run: Run) -> tuple[State, str]:  # noqa: ARG002 - every step has this form
        turns = state.get("turns") or []
        earlier = turns[-1]["question"] if turns else None
        return {"query": rewrite(state["question"], earlier), "rewrites": state["rewrites"] + 1}, "searched otherwise"

    def _after_grade(self, state: State) -> Literal["rewrite", "compose", "finish"]:
        if state.get("result"):
            return "finish"
        return "rewrite" if state["confidence"] < self._parts.grounding.settings.min_evidence else "compose"

    async def _compose(self, state: State, run: Run) -> tuple[State, str]:
        evidence = run.evidence if run.evidence is not None else await self._evidence(state, run)
        run.draft = await self._draft(state, run, evidence)
        return {}, f"{run.draft.path}, {len(run.draft.sentences)} sentences"

    async def _draft(self, state: State, run: Run, evidence: list[Evidence]) -> Draft:
        confident = state["confidence"] >= self._options.quotes_above
        if state["compose"] == "generative":
            return await written(state["query"], evidence, run)
        if state["compose"] == "extractive" or confident or state["gate"] == "rejected":
            return quoted(state["query"], evidence)
        try:
            return await written(state["query"], evidence, run)
        except ComponentError as error:
            run.note(f"language model unavailable: {error.code}")
            return quoted(state["query"], evidence)

    async def _verify(self, state: State, run: Run) -> tuple[State, str]:
        evidence = run.evidence if run.evidence is not None else await self._evidence(state, run)
        draft = run.draft or quoted(state["query"], evidence)
        checked = await asyncio.to_thread(verified, draft, evidence, self._parts.grounding)
        if checked is not None:
            text, citations = rendered(checked, evidence, self._parts.grounding)
            result = _result("answered", "complete", text, checked.path, citations)
            return {"result": result}, f"{len(citations)} citations hold"
        if draft.path == "generative" and state["compose"] == "auto":
            return {"gate": "rejected"}, "the draft is not supported; quoting instead"
        return {"result": _abstained(UNSUPPORTED if draft.path == "generative" else NOTHING_FOUND)}, "not supported"


def build(options: Options, context: AgentParts) -> GraphAgent:
    return GraphAgent(options, context)


def _step(name: str, work: Work) -> Callable[..., Awaitable[State]]:
    """A node that counts, traces and reports itself."""

    async def node(state: State, runtime: Runtime[Run]) -> State:
        run = runtime.context
        run.budget.step()
        begun = time.perf_counter()
        outcome: Literal["done", "failed", "waiting"] = "failed"
        detail = ""
        try:
            with span(name, layer="orchestration", attributes={names.STEP: name}):
                update, detail = await work(state, run)
            outcome = _outcome(update)
        finally:
            step = Step(name=name, detail=detail, outcome=outcome, ms=(time.perf_counter() - begun) * 1000)
            run.steps.append(step)
            run.emit(Event(kind="step", step=step))
        return update

    return node


def _outcome(update: State) -> Literal["done", "failed", "waiting"]:
    status = _status(update)
    return "waiting" if status == "waiting" else "failed" if status == "failed" else "done"


def _status(state: State) -> str:
    result = state.get("result")
    return result["status"] if result else ""


async def _wait_for_a_person(state: State) -> State:
    """Stops here until `resume`; the decision itself is read from the approvals, never from what resumes."""
    interrupt({"approval_id": state["approval_id"]})
    return {}


async def _remember(state: State) -> State:
    result = state.get("result") or _abstained(NOTHING_FOUND)
    turn = {"question": state["question"], "text": result["text"]}
    return {"turns": [*(state.get("turns") or []), turn][-TURNS:]}


def _after_plan(state: State) -> Literal["tool", "retrieve", "finish"]:
    if state.get("result"):
        return "finish"
    return "retrieve" if state["plan"]["route"] == "answer" else "tool"


def _after_tool(state: State) -> Literal["approval", "finish"]:
    return "approval" if _status(state) == "waiting" else "finish"


def _after_verify(state: State) -> Literal["compose", "finish"]:
    return "finish" if state.get("result") else "compose"


def _config(thread_id: str) -> RunnableConfig:
    """`otel_trace` off: the graph's plumbing makes no spans of its own, the steps and `invoke_agent` make theirs."""
    return {"configurable": {"thread_id": thread_id}, "metadata": {"otel_trace": False}, "recursion_limit": 50}


def _fresh(question: str, compose: str, thread_id: str, principal: Principal) -> State:
    owner = {
        "subject": principal.subject,
        "tenant": principal.tenant,
        "roles": sorted(principal.roles),
        "groups": sorted(principal.groups),
    }
    return {
        "owner": owner,
        "answer_id": uuid4().hex,
        "thread_id": thread_id,
        "question": question,
        "compose": compose,
        "plan": {},
        "query": question,
        "rewrites": 0,
        "confidence": 0.0,
        "gate": "",
        "approval_id": "",
        "result": None,
    }


def _principal(state: State) -> Principal:
    owner = state["owner"]
    return Principal(
        subject=owner["subject"],
        tenant=owner["tenant"],
        roles=frozenset(owner["roles"]),
        groups=frozenset(owner["groups"]),
    )


def _as_data(plan: Plan) -> dict[str, Any]:
    return {**asdict(plan), "arguments": dict(plan.arguments), "missing": list(plan.missing)}


def _result(
    status: str, stop_reason: str, text: str, path: str = "none", citations: tuple[Citation, ...] = ()
) -> Result:
    plain = [asdict(citation) for citation in citations]
    return {"status": status, "stop_reason": stop_reason, "text": text, "path": path, "citations": plain}


def _abstained(text: str) -> Result:
    return _result("abstained", "insufficient_evidence", text)


def _of_tool(outcome: ToolOutcome) -> Result:
    if outcome.status == "failed":
        told = outcome.reason in {"tool", "arguments"}  # the tool itself says that it cannot be done, and why
        return _abstained(outcome.content) if told else _result("failed", "error", outcome.content)
    status, stop_reason, path = {
        "done": ("answered", "complete", "tool"),
        "waiting": ("waiting", "approval", "tool"),
        "denied": ("refused", "policy", "none"),
    }[outcome.status]
    return _result(status, stop_reason, outcome.content, path)


def _what_came(outcome: ToolOutcome) -> str:
    return f"{outcome.status} ({outcome.reason})" if outcome.reason else outcome.status
