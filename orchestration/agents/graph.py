"""The agent as a LangGraph graph, durable node by node.

    plan ─┬─ tool, tool, ... (side by side) ──────────────────────────────── gather ─┬─ tool, retrieve: what waited for it
          ├─ retrieve ─ grade ─┬─ compose ─ verify ─┬──────────────────────── gather ├─ approval ─ effect ─ gather
          │         └─ rewrite ┘            └─ compose (quoting, where refused)      └─ finish
          └─ finish (a question back, a refusal, a person)

Where answers are kept (`parts.memory`), `recall` stands before `retrieve`: an answer from documents that was given before.

The plan is made from the person's words before any document is read, and nothing that is read later can add a step to
it: `gather` begins the steps of the plan, and changes it only by what failed. Checkpoints hold what was asked, planned and answered as plain data. They
hold no passages: what a person may read is asked again when a run goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, Literal, cast
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command, Send, StateSnapshot, interrupt
from pydantic import BaseModel, ConfigDict

from foundation import names
from foundation.crashpoints import crash_point
from foundation.errors import (
    BudgetExceeded,
    Conflict,
    Gone,
    InvalidRequest,
    NotFound,
    SixplyError,
    TooLarge,
)
from foundation.tracing import here, span, trace_id
from foundation.types import Principal
from orchestration.budget import Budget
from orchestration.composing import quoted, rendered
from orchestration.contract import AgentParts, Answer, AnswerRequest, Approval, Decision, Event, Plan, Step
from orchestration.conversations import BEGUN_BY, Conversations, mark
from orchestration.history import remembered
from orchestration.planning import ClassifierPlanner, Planner
from orchestration.planning_by_model import ModelPlanner
from orchestration.run import Run
from orchestration.state import (
    NOTHING_FOUND,
    Result,
    State,
    abstained,
    as_result,
    combined,
    fresh,
    owner_of,
    status_of,
)
from orchestration.steps import Steps
from orchestration.streaming import produced
from retrieval.contract import Citation

NAME = "graph"


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    planner: Literal["classifier", "model"] = "classifier"
    """Who plans; `model` needs one that can. Where it fails, the classifier plans, and the answer says so."""
    writes: bool | None = None
    """Whether `auto` lets the chat model write before it quotes. Unset: unless the model computes on this machine. Of 24
    golden questions the bundled model's drafts held the fact in 6, after 4 seconds each; quotes held it in 15."""


Work = Callable[[State, Run], Awaitable[tuple[State, str]]]


class GraphAgent:
    """An `Agent`. A conversation is a LangGraph thread, belongs to one person, and does one thing at a time."""

    def __init__(self, options: Options, parts: AgentParts) -> None:
        self._parts = parts
        self._settings = parts.settings.answers
        planners: list[Planner] = [ModelPlanner()] if options.planner == "model" else []
        self._steps = Steps(parts, [*planners, ClassifierPlanner(parts.embedder)], writes=options.writes)
        self._graph = _graph(self._steps).compile(checkpointer=parts.checkpoints, name=NAME)
        self._busy: set[str] = set()
        self.conversations = Conversations(parts.checkpoints, self._claimed, self._owned)

    async def stream(self, request: AnswerRequest, principal: Principal) -> AsyncGenerator[Event, None]:
        question = self._checked(request.question)
        thread_id = request.thread_id or uuid4().hex
        with self._claimed(thread_id):
            given: State | None = None
            state = await self._owned(thread_id, question, principal) if request.thread_id else None
            if state is None:
                given = state = fresh(question, request.compose or self._settings.compose, thread_id, principal)
            async with aclosing(self._events(given, state, principal, request.max_usd)) as events:
                async for event in events:
                    yield event

    async def resume(self, decision: Decision, principal: Principal) -> AsyncGenerator[Event, None]:
        approval = await self._parts.executor.may_decide(decision.approval_id, principal)
        with self._claimed(approval.thread_id):
            snapshot = await self._graph.aget_state(_config(approval.thread_id))
            await self._decided(decision, approval, snapshot, principal)
            state = cast("State", snapshot.values)
            go_on: Command[Any] | None = Command(resume={"decided": True}) if snapshot.interrupts else None
            async with aclosing(self._events(go_on, state, owner_of(state), None)) as events:
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

    async def _owned(self, thread_id: str, question: str, principal: Principal) -> State | None:
        """Raise where the thread is not the caller's, or cannot take a question now.

        Where the same question was cut off there, what is known of its run, so that it can go on.
        """
        snapshot = await self._graph.aget_state(_config(thread_id))
        owner = snapshot.values.get("owner", {})
        if (owner.get("tenant"), owner.get("subject")) != (principal.tenant, principal.subject):
            raise NotFound(f"There is no conversation {thread_id}. Leave thread_id out to begin one.")
        approval = await self._steps.approval_of(cast("State", snapshot.values)) if snapshot.interrupts else None
        if approval is not None and approval.status == "pending":
            raise Conflict(
                f"Conversation {thread_id} waits for the approval {approval.approval_id}. Let it be decided, or begin "
                "another conversation."
            )
        cut_off = bool(snapshot.next) and not snapshot.interrupts and snapshot.values["question"] == question
        return cast("State", snapshot.values) if cut_off else None

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
        elif not waiting or not _the_same(decision, approval):
            raise Conflict(f"Approval {approval.approval_id} was {approval.status} by {approval.decided_by} already.")

    # -- one run -----------------------------------------------------------------------------------------------------

    def _events(
        self, given: State | Command[Any] | None, state: State, principal: Principal, max_usd: float | None
    ) -> AsyncGenerator[Event, None]:
        async def produce(emit: Callable[[Event], None]) -> None:
            budget = Budget(self._parts.settings.budget, self._parts.clock, max_usd=max_usd)
            answer_id = state["answer_id"]
            run = Run(parts=self._parts, principal=principal, answer_id=answer_id, budget=budget, emit=emit)
            run.steps = [Step(**step) for step in state.get("steps") or []]
            run.plan = Plan(**state["plan"]) if state.get("plan") else None
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
            trace = state.get("trace") or ""
            with span(names.INVOKE_AGENT, NAME, layer="orchestration", attributes=attributes, parent=trace) as current:
                if given is state:
                    state["trace"] = here()
                answer = await self._answer(given, state, run)
                current.set_attribute(names.STATUS, answer.status)
                current.set_attribute(names.STOP_REASON, answer.stop_reason)
                current.set_attribute(names.ANSWER_PATH, answer.path)
                if self._parts.scorer is not None:
                    current.set_attributes(await asyncio.to_thread(self._parts.scorer, answer))
        except SixplyError as error:
            retry = {"retryable": error.retryable, "retry_after_s": error.retry_after_s}
            run.emit(Event(kind="error", code=error.code, message=str(error), **retry))
            return
        for word in answer.text.split(" "):
            run.emit(Event(kind="token", token=f"{word} "))
        run.emit(Event(kind="answer", answer=answer))

    async def _answer(self, given: Any, state: State, run: Run) -> Answer:
        values: Any = state
        try:
            config = _config(state["thread_id"], **{BEGUN_BY: mark(owner_of(state))})
            values = await self._graph.ainvoke(given, config, context=run, durability="sync")
            result = values.get("result") or abstained(NOTHING_FOUND)
        except BudgetExceeded as error:
            result = await self._with_what_there_is(run, error)
        finally:
            run.close()
        answer = Answer(
            answer_id=run.answer_id,
            thread_id=state["thread_id"],
            question=state["question"],
            plan=run.plan,
            steps=tuple(run.steps),
            degraded=tuple(run.degraded),
            usage=run.usage,
            cost_usd=run.cost_usd,
            seconds=run.seconds,
            trace_id=trace_id(),
            approval=await self._steps.approval_of(values),
            citations=tuple(Citation(**citation) for citation in result["citations"]),
            cached=values.get("cached") or None,
            first_answer_id=values.get("first_answer_id") or None,
            **{key: result[key] for key in ("status", "stop_reason", "text", "path")},
        )
        await self._steps.remember(answer, values, run)
        return answer

    async def _with_what_there_is(self, run: Run, error: BudgetExceeded) -> Result:
        """Quoting costs nothing more: what has been found is given, and said to be all that the budget allowed."""
        run.note(f"budget used up: {error.limit}")
        grounding, evidence = self._parts.grounding, run.evidence or []
        results = dict(run.results)
        if grounding.confidence(run.question, evidence) >= grounding.settings.min_evidence:
            draft = quoted(run.question, evidence)
            text, citations = rendered(draft, evidence, grounding)
            open_steps = [step.step_id for step in run.plan.steps if step.kind == "answer"] if run.plan else []
            quote = as_result("answered", "budget", text, draft.path, citations)
            results |= {step_id: quote for step_id in open_steps[:1] if step_id not in results}
        given = combined(run.plan, results) if run.plan and results else None
        if given is None or given["status"] != "answered":
            return as_result("failed", "budget", f"{error} No answer was found before that.")
        return {**given, "stop_reason": "budget"}


def build(options: Options, context: AgentParts) -> GraphAgent:
    return GraphAgent(options, context)


def _graph(steps: Steps) -> StateGraph[State, Run, State, State]:
    def after_grade(state: State) -> Literal["rewrite", "compose", "gather"]:
        return "gather" if state.get("part") else "rewrite" if steps.thin(state) else "compose"

    def after_plan(state: State) -> list[str | Send]:
        return ["recall" if one == "retrieve" and steps.recalls(state) else one for one in _next(state)]

    graph = StateGraph(State, context_schema=Run)
    graph.add_node("plan", _node("plan", steps.plan))
    graph.add_node("tool", _node("tool", steps.tool))
    graph.add_node("recall", _node("recall", steps.recall))
    graph.add_node("retrieve", _node("retrieve", steps.retrieve))
    graph.add_node("grade", _node("grade", steps.grade))
    graph.add_node("rewrite", _node("rewrite", steps.rewrite))
    graph.add_node("compose", _node("compose", steps.compose))
    graph.add_node("verify", _node("verify", steps.verify))
    graph.add_node("gather", _gathering(steps))
    graph.add_node("approval", _wait_for_a_person)
    graph.add_node("effect", _node("effect", steps.effect))
    graph.add_node("finish", _remember)
    graph.add_edge(START, "plan")
    graph.add_conditional_edges("plan", after_plan, ["tool", "recall", "retrieve", "finish"])
    graph.add_conditional_edges("recall", _after_recall, ["retrieve", "gather"])
    graph.add_edge("tool", "gather")
    graph.add_conditional_edges("retrieve", _after_retrieve, ["grade", "gather"])
    graph.add_conditional_edges("grade", after_grade, ["rewrite", "compose", "gather"])
    graph.add_edge("rewrite", "retrieve")
    graph.add_edge("compose", "verify")
    graph.add_conditional_edges("verify", _after_verify, ["compose", "gather"])
    graph.add_conditional_edges("gather", _next, ["tool", "retrieve", "approval", "finish"])
    graph.add_edge("approval", "effect")
    graph.add_edge("effect", "gather")
    graph.add_edge("finish", END)
    return graph


def _node(name: str, work: Work) -> Callable[..., Awaitable[State]]:
    """A node that counts, traces and reports itself."""

    async def node(state: State, runtime: Runtime[Run]) -> State:
        crash_point(f"{name}_begun")
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
            run.emit(Event(kind="step", thread_id=state["thread_id"], step=step))
        crash_point(f"{name}_done")
        return {**update, "steps": [one.model_dump() for one in run.steps]}

    return node


def _outcome(update: State) -> Literal["done", "failed", "waiting"]:
    results = [
        *(one["result"] for one in (update.get("done") or {}).values()),
        update.get("part"),
        update.get("result"),
    ]
    statuses = {result["status"] for result in results if result}
    return "waiting" if "waiting" in statuses else "failed" if "failed" in statuses else "done"


async def _wait_for_a_person(state: State) -> State:
    """Stops here until `resume`; the decision itself is read from the approvals, never from what resumes."""
    interrupt({"approval_id": state["approval_id"]})
    return {}


async def _remember(state: State) -> State:
    crash_point("finish_begun")
    result = state.get("result") or abstained(NOTHING_FOUND)
    turns, summary = remembered(state.get("turns") or [], state.get("summary") or [], state["question"], result["text"])
    return {"turns": turns, "summary": summary}


def _the_same(decision: Decision, approval: Approval) -> bool:
    """Whether it says what was decided already."""
    if not decision.approve:
        return approval.status == "rejected"
    return approval.status == "approved" and decision.arguments in (None, approval.granted)


def _gathering(steps: Steps) -> Callable[..., Awaitable[State]]:
    """A node that shows itself only where it changed the plan."""

    async def node(state: State, runtime: Runtime[Run]) -> State:
        begun = time.perf_counter()
        update, changed = await steps.gather(state, runtime.context)
        if changed:
            step = Step(name="replan", detail=changed, ms=(time.perf_counter() - begun) * 1000)
            runtime.context.steps.append(step)
            runtime.context.emit(Event(kind="step", thread_id=state["thread_id"], step=step))
        return update

    return node


def _next(state: State) -> list[str | Send]:
    """After the plan or a part of it: what it begins now, a person, or the end. Nothing while other steps still run."""
    if state.get("result"):
        return ["approval" if status_of(state) == "waiting" else "finish"]
    begun, asked = state["batch"], set(state["asking"])
    tools: list[str | Send] = [Send("tool", {**state, "step": one}) for one in begun if one not in asked]
    return [*tools, "retrieve"] if asked & set(begun) else tools


def _after_recall(state: State) -> Literal["retrieve", "gather"]:
    return "gather" if state.get("part") else "retrieve"


def _after_retrieve(state: State) -> Literal["grade", "gather"]:
    return "gather" if state.get("part") else "grade"


def _after_verify(state: State) -> Literal["compose", "gather"]:
    return "gather" if state.get("part") else "compose"


def _config(thread_id: str, **marks: str) -> RunnableConfig:
    """`otel_trace` off: the graph's plumbing makes no spans of its own, the steps and `invoke_agent` make theirs."""
    metadata = {"otel_trace": False, **marks}
    return {"configurable": {"thread_id": thread_id}, "metadata": metadata, "recursion_limit": 50}
