"""The steps that answer from documents: retrieve, grade, rewrite, compose, verify; and the recall of earlier answers."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from decimal import Decimal

from langchain_core.messages import AIMessageChunk

from extensions.planned_agent.compose import (
    Draft,
    draft_extractive,
    draft_generative,
    quoted_of,
    render,
    salvage_partial,
    verify,
)
from extensions.planned_agent.contract import EarlierAnswers, WorksOut
from extensions.planned_agent.follow_ups import entity_names, stands_alone
from extensions.planned_agent.orders import instructs_reader, warnings_about
from extensions.planned_agent.plans import PlannedState, rewrite
from extensions.planned_agent.run import PlannedRun
from extensions.planned_agent.span_names import EVIDENCE_WITH_ORDERS
from foundation import names
from foundation.errors import ComponentError
from foundation.tracing import annotate
from models.pricing import is_local
from models.resilience.streams import without_thoughts
from orchestration.answers.quotes import abstain_from, evidence_of, grade
from orchestration.contract import AgentParts
from orchestration.events import Answer
from orchestration.run.state import Result, abstain, as_result, day_of
from retrieval.documents import Hit
from retrieval.grounding.citing import Evidence
from retrieval.search.rank_fusion import reciprocal_rank_fusion

# Number of evidence sentences that the chat model is shown
PASSAGES = 6
DISCARDED = "a draft of the chat model was discarded: the documents do not support all of it, and are quoted instead"
# Searches in other words for evidence that is too thin
REWRITES = 1

Work = Callable[[PlannedState, PlannedRun], Awaitable[tuple[PlannedState, str]]]


class DocumentSteps:
    """The document steps. Each returns its update of the state and a detail for people who watch the run."""

    def __init__(self, parts: AgentParts, *, writes: bool | None) -> None:
        self._parts = parts
        self._writes = writes
        self._memory = next((service for service in parts.services if isinstance(service, EarlierAnswers)), None)

    def recalls(self, state: PlannedState) -> bool:
        """Whether earlier answers are looked up: for the first question of a conversation, if it asks the documents alone."""
        # turns and extra queries are personal context, with which the question is read
        anybodys = not (state.get("turns") or state.get("extra_queries") or day_of(state))
        kinds = [step["kind"] for step in state["plan"].get("steps", ())]
        return self._memory is not None and anybodys and kinds == ["answer"]

    async def recall(self, state: PlannedState, run: PlannedRun) -> tuple[PlannedState, str]:
        memory = self._memory
        assert memory is not None
        try:
            since = await asyncio.to_thread(memory.now)
            earlier = await memory.recall(state["question"], compose=state["compose"], principal=run.principal)
        except ComponentError:
            run.note("earlier answers could not be looked up")
            return {}, "could not be reached"
        update: PlannedState = {"since": since}
        if earlier is None:
            return update, "new"
        await run.bill.record("cached", earlier.kind, usd=Decimal(0), basis=f"answer {earlier.answer_id} given again")
        answer = as_result("answered", "complete", earlier.text, earlier.path, earlier.citations)
        if earlier.path == "extractive":  # what may not answer is not kept
            answer["band"] = "answered"
        update |= {"cached": earlier.kind, "first_answer_id": earlier.answer_id, "document_answer": answer}
        return update, earlier.kind

    async def remember(self, answer: Answer, state: PlannedState, run: PlannedRun) -> None:
        """Store an answer that is complete, not degraded, and made from documents alone."""
        memory, since = self._memory, state.get("since")
        answered = answer.status == "answered" and answer.stop_reason == "complete" and not answer.cached
        answered = answered and answer.band != "closest"
        whole = answered and answer.path in ("extractive", "generative") and answer.citations and not answer.degraded
        if memory is None or not whole or not since:
            return
        # an unreachable cache is reported at the next question, when it is read
        with suppress(ComponentError):
            await memory.remember(answer, compose=state["compose"], principal=run.principal, since=since)

    async def retrieve(self, state: PlannedState, run: PlannedRun) -> tuple[PlannedState, str]:
        queries = [state["query"], *(state.get("extra_queries") or [])]
        searched = await asyncio.gather(*(run.search(query) for query in queries))
        seen = {hit.chunk.chunk_id for hit in run.hits or ()}
        fresh = [hit for hit in in_one_ranking(searched) if hit.chunk.chunk_id not in seen]
        run.hits = [*(run.hits or ()), *fresh]
        of_several = f" of {len(queries)} searches" if len(queries) > 1 else ""
        update: PlannedState = {"extra_queries": []}
        if not state["rewrites"] and (answer := await self._work_out(state, run)):
            return {**update, "document_answer": answer}, "worked out from a table"
        return update, f"{len(fresh)} passages{of_several}"

    async def _work_out(self, state: PlannedState, run: PlannedRun) -> Result | None:
        """Return the answer of the first extension that understands the whole question."""
        ledger = self._parts.ledger
        if ledger is None or day_of(state):
            return None
        for service in (service for service in self._parts.services if isinstance(service, WorksOut)):
            question = state.get("document_question", state["question"])
            if found := await run.in_thread(service.work_out, question, run.hits or [], run.scope, ledger):
                answer = as_result("answered", "complete", found["text"], "extractive")
                return {**answer, "citations": found["citations"], "band": "answered"}
        return None

    async def grade(self, state: PlannedState, run: PlannedRun) -> tuple[PlannedState, str]:
        evidence = await self._evidence(state, run)
        question = state.get("document_question", state["question"])
        strength, enough = (
            self._parts.grounding.strength(question, evidence),
            self._parts.grounding.settings.min_evidence,
        )
        annotate(names.CONFIDENCE, strength)
        low = strength < enough
        update: PlannedState = {"gate": "thin" if low else ""}
        if low and state["rewrites"] >= REWRITES:
            update["document_answer"] = abstain_from(question, evidence, run)
        compared = "less than" if low else "at least"
        return update, f"evidence {strength:.2f}, {compared} the {enough:.2f} that an answer needs"

    async def _evidence(self, state: PlannedState, run: PlannedRun) -> list[Evidence]:
        """Find the sentences to answer from, and put the number of those that seem to give orders into the trace."""
        hits = run.hits if run.hits is not None else await run.search(state["query"])
        run.question = state["query"]
        run.evidence = await run.in_thread(evidence_of, state["query"], hits, self._parts.grounding)
        annotate(EVIDENCE_WITH_ORDERS, sum(instructs_reader(item.text) for item in run.evidence))
        return run.evidence

    async def rewrite(self, state: PlannedState, run: PlannedRun) -> tuple[PlannedState, str]:  # noqa: ARG002 - every step has this form
        turns = state.get("turns") or []
        earlier = turns[-1]["question"] if turns else None
        # names alone: evidence is graded by these words, and that for the last question must not pass as an answer to this one
        if earlier and stands_alone(state["question"]):
            earlier = " ".join(entity_names(earlier))
        query = rewrite(state.get("document_question", state["question"]), earlier)
        return {"query": query, "rewrites": state["rewrites"] + 1}, "other words"

    async def compose(self, state: PlannedState, run: PlannedRun) -> tuple[PlannedState, str]:
        evidence = run.evidence if run.evidence is not None else await self._evidence(state, run)
        run.draft = await self._draft(state, run, evidence)
        how = "quoted" if run.draft.path == "extractive" else "written by the model"
        return {}, f"{len(run.draft.sentences)} sentences, {how}"

    async def _draft(self, state: PlannedState, run: PlannedRun, evidence: list[Evidence]) -> Draft:
        alone = state["compose"] == "generative"
        writes = (
            not is_local(self._parts.chat) if self._writes is None else self._writes
        )  # of the model that was chosen
        if not alone and (state["compose"] == "extractive" or not writes or state["gate"] == "rejected"):
            return draft_extractive(state["query"], evidence)
        heard: list[AIMessageChunk] = []
        try:
            return await draft_generative(state["query"], evidence[:PASSAGES], run, seen=heard.append)
        except ComponentError as error:
            if not alone:
                # an error that needs a person, such as a refused key, is noted with what to do
                run.note(f"language model unavailable: {error.code if error.retryable else error.public}")
                return draft_extractive(state["query"], evidence)
            said = without_thoughts("".join(chunk.text for chunk in heard))
            if (draft := salvage_partial(said, evidence[:PASSAGES])) is None:
                raise
            run.note(f"incomplete: the language model broke off ({error.code})")
            return draft

    async def verify(self, state: PlannedState, run: PlannedRun) -> tuple[PlannedState, str]:
        evidence = run.evidence if run.evidence is not None else await self._evidence(state, run)
        draft = run.draft or draft_extractive(state["query"], evidence)
        checked = await run.in_thread(verify, draft, evidence, self._parts.grounding)
        if checked is not None:
            text, citations = render(checked, evidence, self._parts.grounding)
            for warning in warnings_about(citations):
                run.note(warning)
            if checked.path == "generative":
                run.notes.drafts.append("shown")
            result = as_result("answered", checked.end, text, checked.path, citations)
            quoted = quoted_of(checked, evidence)
            asked = state.get("document_question", state["question"])
            return {"document_answer": grade(result, asked, quoted, evidence, run)}, f"{len(citations)} citations hold"
        if draft.path == "generative" and state["compose"] == "auto":
            run.notes.drafts.append("discarded")
            run.note(DISCARDED)
            return {"gate": "rejected"}, "the draft is not supported; quoting instead"
        if draft.path == "generative":
            run.notes.drafts.append("refused")
            return {"document_answer": abstain(run.prompt("unsupported").text)}, "not supported"
        return {"document_answer": run.nothing_found()}, "not supported"

    def thin(self, state: PlannedState) -> bool:
        """Whether the evidence is too thin to answer from."""
        return state["gate"] == "thin"


def in_one_ranking(searches: Sequence[Sequence[Hit]]) -> list[Hit]:
    """Merge the hits of several searches by the reciprocal ranks of their documents; each passage once, those of a document together."""
    ranked: dict[str, list[str]] = {}
    passages: dict[str, dict[str, Hit]] = defaultdict(dict)
    for place, hits in enumerate(searches):
        ranked[str(place)] = list(dict.fromkeys(hit.chunk.document_id for hit in hits))
        for hit in hits:
            passages[hit.chunk.document_id].setdefault(hit.chunk.chunk_id, hit)
    return [hit for document, _ in reciprocal_rank_fusion(ranked) for hit in passages[document].values()]
