"""The agent for a chat model that calls no tools. It searches, looks whether that is evidence enough, and quotes it or abstains.

    retrieve ── grade ─┬─ too little: nothing found, with the nearest documents
                       └─ compose ─┬─ a model that writes: from the whole passages, checked as the answer of any other model
                                   └─ else, or where it fails: the sentences that answer best, word for word

Each question is read by itself. No tool is called, so nothing is done.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from foundation import names
from foundation.errors import BudgetExceeded, ComponentError, UpstreamMalformed
from foundation.settings import Section
from foundation.stores.crashpoints import crash_point
from foundation.tracing import annotate, span
from models.pricing import is_local
from models.resilience.streams import empty_reply_of
from orchestration.answers.quotes import abstain_from, choose_quotes, evidence_of, grade, quote
from orchestration.contract import AgentParts
from orchestration.flow.base_agent import MADE_BY, Begin, DurableAgent, budget_note, config_of
from orchestration.middleware.citations import check_reply
from orchestration.middleware.policy import as_person
from orchestration.prompts.frames import answer_from
from orchestration.run.metered_chat import MeteredChatModel
from orchestration.run.run import Run, Watch
from orchestration.run.state import Result, State, StoredThread, as_result
from retrieval.documents import Hit
from retrieval.grounding.citing import Evidence

# Share of the model's window that passages may take
PASSAGES_OF_WINDOW = 0.5


class Options(Section):
    writes: bool | None = None
    """Whether `auto` lets the chat model write before it quotes. Unset: only a model that is not on this machine."""


class QuotingAgent(DurableAgent):
    name = "quoting"

    def __init__(self, options: Options, parts: AgentParts) -> None:
        super().__init__(parts)
        self._writes = options.writes
        self._window = (parts.chat.profile or {}).get("max_input_tokens")
        graph = StateGraph(State, context_schema=Run).add_node("answer", self._answer_question)
        graph.add_edge(START, "answer").add_edge("answer", END)
        self._graph = graph.compile(checkpointer=parts.checkpoints, name=self.name)

    async def _load_thread(self, thread_id: str) -> StoredThread:
        snapshot = await self._graph.aget_state(config_of(thread_id))
        ours = (snapshot.metadata or {}).get(MADE_BY, self.name) == self.name
        return StoredThread(cast("State", snapshot.values), unfinished=ours and bool(snapshot.next))

    async def _take_steps(self, begin: Begin, state: State, run: Run, config: RunnableConfig) -> State:
        start: Any = state if begin == "new" else None
        return cast("State", await self._graph.ainvoke(start, config, context=run, durability="sync"))

    async def _answer_question(self, state: State, runtime: Runtime[Run]) -> State:
        run, grounding = runtime.context, self._parts.grounding
        with _step("retrieve", run) as watch:
            hits = await run.search(state["question"])
            watch.detail = f"{len(hits)} passages"
        with _step("grade", run) as watch:
            evidence = await run.in_thread(evidence_of, state["question"], hits, grounding)
            strength, enough = grounding.strength(state["question"], evidence), grounding.settings.min_evidence
            annotate(names.CONFIDENCE, strength)
            watch.detail = f"evidence {strength:.2f}, of the {enough:.2f} that an answer needs"
        if strength < enough or not evidence:
            result = abstain_from(state["question"], evidence, run)
        else:
            result = await self._compose(state, hits, evidence, run)
        return {"result": result, "steps": [step.model_dump() for step in run.notes.steps]}

    async def _compose(self, state: State, hits: Sequence[Hit], evidence: Sequence[Evidence], run: Run) -> Result:
        try:
            with _step("compose", run) as watch:
                written = await self._write_where_it_may(state, hits, run)
                watch.detail = "written by the model" if written else "quoted"
        except BudgetExceeded as error:  # quoting costs nothing
            run.note(budget_note(error.limit))
            return {**self._quote(state["question"], evidence, run), "stop_reason": "budget"}
        return written or self._quote(state["question"], evidence, run)

    async def _write_where_it_may(self, state: State, hits: Sequence[Hit], run: Run) -> Result | None:
        alone = state["compose"] == "generative"
        # asked here and not at the start: a request may choose its model
        writes = not is_local(self._parts.chat) if self._writes is None else self._writes
        if not alone and (state["compose"] == "extractive" or not writes):
            return None
        try:
            return await self._write(state["question"], hits, run)
        except ComponentError as error:
            if alone:
                raise
            # an error that needs a person, such as a refused key, is noted with what to do
            run.note(f"language model unavailable: {error.code if error.retryable else error.public}")
            return None

    def _quote(self, question: str, evidence: Sequence[Evidence], run: Run) -> Result:
        quotes = choose_quotes(evidence)
        text, citations = quote(quotes, self._parts.grounding)
        return grade(as_result("answered", "complete", text, "extractive", citations), question, quotes, evidence, run)

    async def _write(self, question: str, hits: Sequence[Hit], run: Run) -> Result:
        """Let the model answer from whole passages, and check what it wrote. Raises ComponentError: it failed, or wrote nothing."""
        shown = self._fitting(hits)
        run.passages.hits |= {hit.chunk.chunk_id: hit for hit in shown}
        run.passages.numbers |= {hit.chunk.chunk_id: number for number, hit in enumerate(shown, 1)}
        asked = answer_from(run.prompt("answer"), question, [hit.chunk.text for hit in shown])
        reply = await MeteredChatModel(inner=self._parts.chat, told=False).ainvoke(asked)
        if not reply.text.strip():
            raise UpstreamMalformed(empty_reply_of(reply))
        told: list[AnyMessage] = [as_person(HumanMessage(question)), AIMessage(reply.text)]
        told[-1].response_metadata = reply.response_metadata
        return await check_reply(told, run)

    def _fitting(self, hits: Sequence[Hit]) -> list[Hit]:
        """Return the passages, best first, that the model's window has room for; at least one."""
        room, shown = (self._window or float("inf")) * PASSAGES_OF_WINDOW, list[Hit]()
        for hit in hits:
            room -= count_tokens_approximately([HumanMessage(hit.chunk.text)])
            if room < 0 and shown:
                break
            shown.append(hit)
        return shown


@contextmanager
def _step(name: str, run: Run) -> Iterator[Watch]:
    crash_point(f"{name}_begun")
    run.budget.step()
    with run.watch(name) as watch, span(name, layer="orchestration", attributes={names.STEP: name}):
        yield watch
        watch.outcome = "done"
    crash_point(f"{name}_done")


def build(options: Options, context: AgentParts) -> QuotingAgent:
    return QuotingAgent(options, context)
