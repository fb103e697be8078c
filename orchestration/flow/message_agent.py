"""An agent whose conversation is a LangGraph thread of messages: ours on `create_agent`, and any graph of yours (docs/agents.md).

The model's calls are charged to the run, and the executor calls each tool, whatever the graph does. The graph's text is
shown as it is, and the answer says that it was not checked, unless the graph has `CitationMiddleware`.
"""

import re
from collections.abc import Collection, Iterable
from typing import Any, ClassVar, cast
from uuid import uuid4

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphRecursionError
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, Interrupt, StateSnapshot
from pydantic_core import to_json

from foundation.errors import BudgetExceeded, ComponentError, InvalidRequest
from foundation.types import Principal
from orchestration.actions import Approval
from orchestration.contract import AgentParts
from orchestration.effects.executor import WAITS
from orchestration.events import Answer, ToolCall
from orchestration.flow.base_agent import MADE_BY, Begin, DurableAgent, config_of
from orchestration.flow.beside import calls_beside, end_calls, runs_taken_back, tell_outcome
from orchestration.language.guard import without_foreign_urls
from orchestration.middleware.citations import CheckedState, as_object, stop_reason_of
from orchestration.middleware.document_tools import passage_numbers
from orchestration.middleware.policy import (
    approvals_of,
    artifact_of,
    as_message,
    as_person,
    call_executor,
    this_turn,
)
from orchestration.requests import AnswerRequest
from orchestration.run.metered_chat import texts_read
from orchestration.run.run import Run
from orchestration.run.state import Result, State, StoredThread, as_result
from retrieval.grounding.citing import cite_span

Graph = CompiledStateGraph[Any, Any, Any, Any]
_CALL_ID = re.compile(r"call_([0-9a-f]{32})\d{1,8}")
GREETED = "[The assistant spoke first.]"
# Passages that are shown where a budget ended before there was an answer
PASSAGES_SHOWN = 5
# The longest result of a tool that is shown then, in characters
RESULT_SHOWN = 600
UNCHECKED = "the statements of this answer were not checked"


AFRESH = {"repairs": 0, "findings": "", "object_written": ""}


class AgentThread(CheckedState, State, total=False):
    """The stored state of a conversation: `create_agent`'s messages and the state of every agent here."""

    summary_before: tuple[str, str]  # as in `ContextState`, whose file may be left out
    object_written: str
    """The `structured_response` of a graph of yours, as JSON; empty where it wrote text."""


class MessageAgent(DurableAgent):
    """Runs a compiled graph of messages. One that writes no checkpoints, or others than ours, becomes a node of one that does."""

    name: ClassVar[str] = "messages"
    goes_on_beside = True

    def __init__(self, graph: Graph, parts: AgentParts, *, checked: bool = False, most_steps: int = 200) -> None:
        """`checked`: whether words are emitted only once the answer is complete; `most_steps`: LangGraph's recursion limit."""
        super().__init__(parts)
        if graph.checkpointer is not parts.checkpoints:
            outer = StateGraph(cast("Any", AgentThread)).add_node("agent", _node_of(graph)).add_edge(START, "agent")
            graph = outer.add_edge("agent", END).compile(checkpointer=parts.checkpoints)
        self._graph, self._checked, self._most_steps = graph, checked, most_steps
        self._last_node = [name for name in graph.nodes if name != START][-1]

    async def _load_thread(self, thread_id: str) -> StoredThread:
        snapshot = await self._graph.aget_state(config_of(thread_id))
        values = cast("State", snapshot.values)
        maker = (snapshot.metadata or {}).get(MADE_BY, self.name)
        if maker != self.name:  # another agent's thread cannot be resumed here
            return StoredThread(values)
        paused = _ours(snapshot.interrupts)
        waits_for = frozenset(item.value["approval_id"] for item in paused) - {""}
        return StoredThread(
            values,
            waits=bool(paused),
            waits_for=waits_for or approvals_of(snapshot.values.get("messages", [])),
            unfinished=bool(snapshot.next),
            calls=frozenset(call.call_id for call in _client_calls(paused)),
            beside=calls_beside(snapshot.values.get("messages", [])),
        )

    def _thread_of(self, request: AnswerRequest) -> str | None:
        return request.thread_id or thread_of(request.results)

    async def _begin(self, request: AnswerRequest, thread_id: str, principal: Principal) -> tuple[Begin, State]:
        """Resume a run that waits for the sent results. Results that no run waits for (the conversation went on, was
        deleted, or is another server's) become messages of a new one.
        """
        if not request.results:
            return await super()._begin(request, thread_id, principal)
        thread = await self._load_thread(thread_id)
        sent = frozenset(request.results)
        if thread.belongs_to(principal):
            state = cast("State", {**thread.state, "client": request.client.model_dump(mode="json")})
            if thread.calls and sent == thread.calls:
                return "results", state
            if thread.unfinished and not thread.waits and thread_of(sent) == thread_id:
                return "cut off", state
        if request.thread_id:
            await self._demand_own_thread(thread_id, request.question, principal)
            raise InvalidRequest(
                f"This conversation waits for the results of {', '.join(sorted(thread.calls)) or 'no calls'}; sent were those of "
                f"{', '.join(sorted(sent))}. Send each result that it waits for, and no other."
            )
        return await super()._begin(request, uuid4().hex, principal)

    async def _take_steps(self, begin: Begin, state: State, run: Run, config: RunnableConfig) -> State:
        config["recursion_limit"] = self._most_steps
        start: Any
        if begin == "beside" and (pending := await self._still_pending(state, run)):
            return {**state, "result": as_result("waiting", "approval", f"{pending.reason} {WAITS}", "tool")}
        if begin in ("new", "beside"):
            new = self._new_messages if begin == "new" else self._outcome_beside
            start = {**state, "messages": await new(state, run, config), **AFRESH}
        else:
            start = await self._decisions(run, config)
        decided = next((it.approval_id for it in run.waiting.values() if it.status != "pending"), "")
        every = self._graph.stream_channels_asis
        try:
            done = await self._graph.ainvoke(start, config, durability="sync", output_keys=every, version="v2")
        except GraphRecursionError as error:
            advice = f"The agent came to no answer in {self._most_steps} steps. Ask for less at a time, or raise its most_steps."
            raise BudgetExceeded(advice, limit="steps") from error
        values = cast("State", done.value)
        if done.interrupts:
            # those of earlier rounds that still wait, too
            snapshot = await self._graph.aget_state(config)
            if own := [item.value for item in snapshot.interrupts if item not in _ours(snapshot.interrupts)]:
                raise ComponentError(
                    f"The graph paused with an interrupt of its own, which nothing here answers: {str(own[0])[:200]!r}. Let it ask "
                    "in its answer, or make what is to be approved a tool that is an effect (docs/agents.md)."
                )
            calls = _client_calls(snapshot.interrupts)
            # what a graph within this one has said is not among the messages yet, and what was said before is no part of it
            said = this_turn(snapshot.values["messages"])
            spoken = next((m.text for m in reversed(said) if isinstance(m, AIMessage)), "")
            waits = dict.fromkeys(item.value["text"] for item in snapshot.interrupts)
            text = "\n\n".join(filter(None, [spoken, *waits]))
            shown = without_foreign_urls(text.strip(), texts_read(snapshot.values["messages"], run))
            result = as_result("waiting", "tool_calls" if calls else "approval", shown, "tool")
            result |= {"calls": [call.model_dump() for call in calls]}
            approval_id = next(filter(None, (item.value["approval_id"] for item in snapshot.interrupts)), "")
            values = cast("State", {**snapshot.values, "result": result, "approval_id": approval_id})
        elif not values.get("result"):
            result = _unchecked_result(values, run)
            await self._graph.aupdate_state(config, {"result": result}, as_node=self._last_node)
            values = cast("State", {**values, "result": result})
        return cast("State", {**values, "approval_id": values.get("approval_id") or decided})

    async def _read(self, config: RunnableConfig, run: Run) -> StateSnapshot:
        snapshot = await self._graph.aget_state(config)
        stored: list[AnyMessage] = snapshot.values.get("messages", [])
        run.taken_back = runs_taken_back(stored)
        # with what calls gave beside one that waits, which LangGraph does not count among the messages yet
        given = [message for task in snapshot.tasks for message in (task.result or {}).get("messages", ())]
        run.passages.numbers.update(passage_numbers([*stored, *given], run.passages.numbers))
        return snapshot

    async def _new_messages(self, state: State, run: Run, config: RunnableConfig) -> list[AnyMessage]:
        """Return what this request adds: to a new conversation the client's earlier messages; errors for given-up calls; the question."""
        request = run.request or AnswerRequest(question=state["question"])
        # nothing is stored of a conversation that begins now, and looking would cost time before the first word
        snapshot = await self._read(config, run) if request.thread_id or not run.request else None
        values: dict[str, Any] = snapshot.values if snapshot else {}
        stored: list[AnyMessage] = values.get("messages", [])
        earlier = () if request.thread_id else request.messages
        opening: list[AnyMessage] = []
        if not stored:
            # some providers refuse a conversation that begins with the assistant
            greeting = [HumanMessage(GREETED)] if earlier and isinstance(earlier[0], AIMessage) else []
            opening = [*greeting, *map(as_person, earlier)] or _told_before(cast("State", values))
        ended = await self._end_calls(snapshot, run) if snapshot else []
        text = [{"type": "text", "text": state["question"]}] if state["question"] else []
        question = HumanMessage(cast("Any", [*text, *request.images]) if request.images else state["question"])
        return [*opening, *ended, *map(as_person, [question, *request.since])]

    async def _end_calls(self, snapshot: StateSnapshot, run: Run) -> list[ToolMessage]:
        """Return a result for each call of the run before that has none. What waits for an approval then waits beside."""
        waiting: dict[str, dict[str, str]] = {}
        for item in _ours(snapshot.interrupts):
            approval = await self._approval(item.value["approval_id"], run)
            if approval and approval.status in ("pending", "approved"):
                waiting[item.value["call_id"]] = item.value
        return end_calls(snapshot.values, waiting)

    async def _still_pending(self, state: State, run: Run) -> Approval | None:
        approval = await self._approval(state["approval_id"], run)
        return approval if approval and approval.status == "pending" else None

    async def _outcome_beside(self, state: State, run: Run, config: RunnableConfig) -> list[AnyMessage]:
        """Carry out what was decided beside the conversation, and return what tells the model of it."""
        snapshot, executor = await self._read(config, run), self._parts.executor
        stored: list[AnyMessage] = snapshot.values.get("messages", [])
        approval_id = state["approval_id"]
        beside, approval = calls_beside(stored)[approval_id], await self._approval(approval_id, run)
        call = beside["call"]
        with run.watch(call["name"]) as watch:
            outcome = await call_executor(executor, call, stored, run, approval, run_id=beside["run_id"])
            watch.detail = watch.outcome = "done" if outcome.status == "done" else "failed"
        told = tell_outcome(call, as_message(executor, call, outcome, approval), approval_id)
        return [*await self._end_calls(snapshot, run), told]

    async def _decisions(self, run: Run, config: RunnableConfig) -> Command[Any] | None:
        snapshot = await self._read(config, run)
        results = run.request.results if run.request else {}
        decided: dict[str, Any] = {}
        for item in _ours(snapshot.interrupts):
            if called := item.value.get("client_call"):
                if sent := results.get(called["call_id"]):
                    decided[item.id] = {"text": sent.text, "status": sent.status}
                continue
            approval = await self._approval(item.value["approval_id"], run)
            if approval is not None:
                run.waiting[item.value["call_id"]] = approval
                if approval.status != "pending":
                    decided[item.id] = True
        return Command(resume=decided) if decided else None

    async def _answer_within_budget(self, run: Run, error: BudgetExceeded) -> Result:
        """Return what was done and read in this turn; the answer says that the budget was used up."""
        failed = await super()._answer_within_budget(run, error)
        snapshot = await self._graph.aget_state(config_of(run.state["thread_id"]))
        messages: list[AnyMessage] = snapshot.values.get("messages", [])
        acted = [artifact for message in this_turn(messages) if "outcome" in (artifact := artifact_of(message))]
        done = [artifact["outcome"]["content"] for artifact in acted if artifact.get("effect")]
        given = [artifact["outcome"]["content"] for artifact in acted if not artifact.get("effect")]
        given = [text[:RESULT_SHOWN] for text in dict.fromkeys(given[-PASSAGES_SHOWN:])]
        read = sorted(run.passages.by_number().items())[-PASSAGES_SHOWN:]
        found = [*done, *given, *(f"{hit.chunk.text} [{number}]" for number, hit in read)]
        if not found:
            return failed
        text = "\n\n".join([f"{error} No answer was written before that. This was done and read:", *found])
        cited = tuple(cite_span(hit, number, hit.chunk.start, hit.chunk.text) for number, hit in read)
        return as_result("failed", "budget", without_foreign_urls(text, texts_read(messages, run)), "extractive", cited)

    def _tells_at_the_end(self, answer: Answer, run: Run) -> bool:
        return self._checked or not run.bill.calls or answer.is_json


def _ours(interrupts: Iterable[Interrupt]) -> list[Interrupt]:
    return [item for item in interrupts if isinstance(item.value, dict) and "approval_id" in item.value]


def _client_calls(interrupts: Iterable[Interrupt]) -> list[ToolCall]:
    return [ToolCall(**item.value["client_call"]) for item in interrupts if item.value.get("client_call")]


def _node_of(graph: Graph) -> Any:
    """Return a node that runs the graph. Its object is stored as JSON, since checkpoints hold no classes of yours."""

    async def agent(state: AgentThread, config: RunnableConfig) -> dict[str, Any]:
        values: dict[str, Any] = await graph.ainvoke(state, {"recursion_limit": config["recursion_limit"]})
        written = values.pop("structured_response", None)
        return {**values, "object_written": "" if written is None else to_json(written).decode()}

    return agent


def _unchecked_result(values: State, run: Run) -> Result:
    messages = cast("list[AnyMessage]", values.get("messages", []))
    if written := cast("AgentThread", values).get("object_written"):
        return as_object(written, texts_read(messages, run), run)
    text = messages[-1].text.strip() if messages and isinstance(messages[-1], AIMessage) else ""
    if not text:
        return run.nothing_found()
    run.note(UNCHECKED)
    run.notes.drafts.append("shown")
    reason = stop_reason_of(messages[-1], run)
    return as_result("answered", reason, without_foreign_urls(text, texts_read(messages, run)), "generative")


def _told_before(state: State) -> list[AnyMessage]:
    pairs = [(HumanMessage(turn["question"]), AIMessage(turn.get("text") or "")) for turn in state.get("turns") or []]
    return [as_person(said) for pair in pairs for said in pair if isinstance(said, HumanMessage) or said.text]


def thread_of(call_ids: Collection[str]) -> str | None:
    """Return the conversation that handed these calls to a client; `None` unless all ids are ours and of one conversation."""
    threads = {match[1] if (match := _CALL_ID.fullmatch(call_id)) else None for call_id in call_ids}
    return threads.pop() if len(threads) == 1 else None
