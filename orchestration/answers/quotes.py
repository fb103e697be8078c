"""Evidence for an answer, and quotes from it: exact spans of documents, each with its citation."""

from collections.abc import Sequence

from foundation import names
from foundation.text.lexical import terms
from foundation.text.words import word_count
from foundation.tracing import annotate
from orchestration.events import NearDocument
from orchestration.run.run import Run
from orchestration.run.state import Result
from retrieval.documents import Citation, Hit
from retrieval.grounding.citing import Evidence, title_of
from retrieval.grounding.evidence import FAR_BEHIND, Grounding

SENTENCES_OF_EVIDENCE = 12
# Share of the evidence needed for an answer from which the nearest documents are named. Below it they are about something else
NEAR = 0.75
# Most documents named to a person whose question could not be answered
NEAREST = 3
# Most quotes of an answer, and most words of all but the first
QUOTES, WORDS = 3, 60
# Share of the best quote's score that a further one must reach
_NEAR = 0.85
# Share of the words of the shorter of two sentences from which one repeats the other
_ALIKE = 0.6


def evidence_of(question: str, hits: Sequence[Hit], grounding: Grounding) -> list[Evidence]:
    """Return the sentences to answer from, best first, without questions. Raises ComponentError: the embedder failed."""
    items = grounding.evidence(question, hits, limit=2 * SENTENCES_OF_EVIDENCE)
    return [item for item in items if not item.text.rstrip().endswith("?")][:SENTENCES_OF_EVIDENCE]


def nearest_documents(evidence: Sequence[Evidence]) -> list[NearDocument]:
    """Return the best-ranked documents of the evidence, without those far behind the first."""
    best: dict[str, Hit] = {}
    hits = sorted((item.hit for item in evidence), key=lambda hit: -hit.score)
    for hit in hits:
        if hits[0].score - hit.score < FAR_BEHIND:
            best.setdefault(hit.chunk.document_id, hit)
    ranked = [*best.items()][:NEAREST]
    return [NearDocument(document_id=name, uri=hit.source.uri, title=title_of(hit)) for name, hit in ranked]


def abstain_from(question: str, evidence: Sequence[Evidence], run: Run) -> Result:
    """Return the result of evidence that is too weak, with the nearest documents where it is about the subject."""
    grounding = run.parts.grounding
    about = grounding.strength(question, evidence) >= NEAR * grounding.settings.min_evidence
    return run.nothing_found(nearest_documents(evidence) if about else ())


def grade(result: Result, question: str, quoted: Sequence[Evidence], evidence: Sequence[Evidence], run: Run) -> Result:
    """Add to a result from documents how sure it is; what is quoted and may not answer is shown as the closest passages."""
    grounding = run.parts.grounding
    signs = grounding.signs(question, quoted, evidence)
    annotate(names.SAID, signs.said)
    annotate(names.CONTRADICTED, signs.contradicted)
    sure = grounding.confidence(signs)
    if result["path"] != "extractive":
        return {**result, "confidence": sure}
    if sure >= grounding.settings.answered_from:
        return {**result, "confidence": sure, "band": "answered"}
    text = run.prompt("closest").fill(passages=result["text"])
    return {**result, "confidence": sure, "band": "closest", "text": text}


def choose_quotes(evidence: Sequence[Evidence]) -> list[Evidence]:
    """Return the best sentence and those of its document that are nearly as good and repeat nothing, as they stand there."""
    chosen = list(evidence[:1])
    for item in evidence[1:]:
        beside = item.hit.chunk.document_id == chosen[0].hit.chunk.document_id
        fits = len(chosen) < QUOTES and sum(word_count(quote.text) for quote in (*chosen, item)) <= WORDS
        if fits and beside and item.score >= _NEAR * chosen[0].score and not any(_repeats(item, it) for it in chosen):
            chosen.append(item)
    return sorted(chosen, key=lambda item: item.start)


def quote(evidence: Sequence[Evidence], grounding: Grounding) -> tuple[str, tuple[Citation, ...]]:
    """Return the quotes as one text with markers, and their citations."""
    text = " ".join(f"{' '.join(item.text.split())} [{number}]" for number, item in enumerate(evidence, 1))
    return text, tuple(grounding.cite(item, number) for number, item in enumerate(evidence, 1))


def _repeats(item: Evidence, other: Evidence) -> bool:
    ours, theirs = terms(item.text), terms(other.text)
    return len(ours & theirs) > _ALIKE * max(1, min(len(ours), len(theirs)))
