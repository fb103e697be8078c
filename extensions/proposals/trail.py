"""Follow a question through the system, to the stage where the fact that answers it was lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from extensions.proposals.from_documents import DEPTH
from foundation.types import EVERY_TENANT, Layer
from observability.evaluation.golden_set import REFUSALS, CaseScore, GoldenCase
from observability.evaluation.metrics import contains
from orchestration.answers.quotes import evidence_of
from orchestration.events import Answer

if TYPE_CHECKING:
    from retrieval.documents import Chunk, Document, Hit
    from serving.wiring import System


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage that the fact came through, or at which it was lost."""

    layer: Layer
    name: str
    kept: bool
    told: str


def follow(system: System, scored: CaseScore) -> Iterator[Stage]:
    """Yield the stages up to the first that lost the fact, or all of them, of a case that was asked just now."""
    case, answer = scored.case, scored.answer
    if answer is None:
        yield Stage("serving", "answered", False, f"the request failed: {scored.error}")
        return
    if case.tool:
        right = bool(scored.measures["tool_right"])
        waits = answer.approval and f"{answer.approval.tool} {dict(answer.approval.arguments)}"
        told = f"it called {waits}" if waits else f"no effect waits; it said: {_first_words(answer)}"
        wanted = f"{case.tool.name} {dict(case.tool.arguments)}"
        yield Stage("orchestration", "called", right, told if right else f"{told}; it should have called {wanted}")
        return
    if case.answerable:
        for uri in case.gold_documents:
            for stage in _through_retrieval(system, case, uri):
                yield stage
                if not stage.kept:
                    return
    yield _of_answer(system, case, answer)


def _through_retrieval(system: System, case: GoldenCase, uri: str) -> Iterator[Stage]:
    document = _find_document(system, case.tenant, uri)
    if document is None:
        yield Stage("retrieval", "taken in", False, _why_absent(system, case.tenant, uri))
        return
    yield Stage("retrieval", "taken in", True, uri)
    source = document.source
    if not case.scope.admits(source.tenant, source.groups):
        groups, asker = ", ".join(sorted(source.groups)) or "nobody else", ", ".join(sorted(case.groups)) or "no group"
        yield Stage(
            "retrieval", "readable", False, f"the document is for the groups {groups}; whoever asks has {asker}"
        )
        return
    text = system.retrieval.ledger.text(document.document_id, case.scope) or ""
    if not _says_one(case, text):
        yield Stage(
            "retrieval", "read", False,
            f"its text, as the parser read it ({len(text):,} characters), does not say {_facts_of(case)}",
        )  # fmt: skip
        return
    yield Stage("retrieval", "read", True, f"its text says {_facts_of(case)}")
    entry = system.retrieval.ledger.entry(document.document_id)
    chunks = [chunk for chunk in entry.chunks if _says_one(case, chunk.text)] if entry else []
    if not chunks:
        yield Stage("retrieval", "cut", False, "the fact was cut in two: no passage has it whole")
        return
    yield Stage("retrieval", "cut", True, f"{len(chunks)} of {len(entry.chunks) if entry else 0} passages say it")
    yield from _through_search(system, case, document, chunks)


def _through_search(system: System, case: GoldenCase, document: Document, chunks: Sequence[Chunk]) -> Iterator[Stage]:
    ids = [chunk.chunk_id for chunk in chunks]
    if not system.retrieval.ledger.documents_of(ids, case.scope, as_of=system.context.clock.now().date()):
        yield Stage("retrieval", "in force", False, "another version of the document is in force today")
        return
    answers = system.settings.orchestration.answers
    found = _search(system, case, DEPTH, answers.passages_per_document)
    order = list(dict.fromkeys(hit.chunk.document_id for hit in found))
    if document.document_id not in order:
        yield Stage("retrieval", "found", False, f"search does not find it among the first {DEPTH} documents")
        return
    place = order.index(document.document_id) + 1
    ranks = next((hit.ranks for hit in found if hit.chunk.document_id == document.document_id), {})
    by = ", ".join(f"{name} {rank}" for name, rank in ranks.items())
    yield Stage("retrieval", "found", True, f"document {place} of the search{f' ({by})' if by else ''}")
    shown = _search(system, case, answers.evidence_documents, answers.passages_per_document)
    if not {hit.chunk.chunk_id for hit in shown} & set(ids):
        why = (
            f"it is document {place}, and the first {answers.evidence_documents} are shown ([orchestration.answers] evidence_documents)"
            if place > answers.evidence_documents
            else "other passages of the document are shown: they fit the question better than the one that says it"
        )
        yield Stage("retrieval", "shown", False, why)
        return
    yield Stage("retrieval", "shown", True, "a passage that says it is shown to what answers")


def _of_answer(system: System, case: GoldenCase, answer: Answer) -> Stage:
    refused = answer.status in REFUSALS
    if not case.answerable:
        told = "it refused, as it should" if refused else f"no document answers it, and it said: {_first_words(answer)}"
        return Stage("retrieval", "refused", refused, told)
    if case.answered_by(answer.text):
        told = f"it says it today: {_first_words(answer)}"
        # quotes that may not answer are no answer
        return Stage("models", "said", answer.status == "answered", told)
    if not refused:
        return Stage("models", "said", False, f"the passage was shown, and it said: {_first_words(answer)}")
    grounding, hits = system.retrieval.grounding, _shown(system, case)
    strength = grounding.strength(case.question, evidence_of(case.question, hits, grounding))
    least = grounding.settings.min_evidence
    told = f"it refused, though the passage was shown; the evidence has a strength of {strength:.2f}"
    if strength < least:
        return Stage("retrieval", "said", False, f"{told}, and min_evidence of [retrieval.grounding] is {least:.2f}")
    return Stage("models", "said", False, f"{told}, which is enough ({least:.2f})")


def _shown(system: System, case: GoldenCase) -> Sequence[Hit]:
    answers = system.settings.orchestration.answers
    return _search(system, case, answers.evidence_documents, answers.passages_per_document)


def _search(system: System, case: GoldenCase, limit: int, passages: int) -> Sequence[Hit]:
    return system.retriever.retrieve(case.searched, case.scope, limit=limit, per_document=passages)


def _find_document(system: System, tenant: str, uri: str) -> Document | None:
    owners = (tenant, EVERY_TENANT)
    return next((it for owner in owners for it in system.retrieval.ledger.documents_where(owner, uri=uri)), None)


def _why_absent(system: System, tenant: str, uri: str) -> str:
    for owner in (tenant, EVERY_TENANT):
        for refusal in system.retrieval.ledger.refusals_of(owner, uri=uri):
            return f"{uri} was refused: {refusal.reason}"
    return f"{uri} is not among the documents of {tenant}. Do: make ingest SRC=folder TENANT={tenant}"


def _says_one(case: GoldenCase, text: str) -> bool:
    """Whether the text has one of the facts: of an answer from two documents each has its own."""
    return any(contains(text, group) for group in case.expected_strings)


def _facts_of(case: GoldenCase) -> str:
    return " or ".join(f"“{fact}”" for group in case.expected_strings for fact in group)


def _first_words(answer: Answer) -> str:
    return " ".join(answer.text.split())[:160] or answer.status
