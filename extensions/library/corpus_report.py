"""The state of the stored documents: their sources, stale ones, near-duplicates, statistics."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from foundation.text.tokens import words as words_of
from foundation.types import Scope
from retrieval.contract import DocumentLedger
from retrieval.documents import Document, ParseLimits, Refusal
from retrieval.ingest.parsing import CORE, count_outdated

# Words of a shingle; shorter ones are shared by texts that are merely about the same subject
_WORDS = 4
_PERMUTATIONS = 128
# Margin below the threshold for candidates, so that a low estimate loses no pair
_LOOSER = 0.15


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """Totals of a folder or site that documents come from, its newest's time; `origin` is empty for uploads and single files."""

    origin: str
    documents: int
    chunks: int
    characters: int
    latest: datetime


@dataclass(frozen=True, slots=True)
class Stale:
    """A document in force, older than allowed since `review_on`; `dated` by publication or effect, else by its storage."""

    uri: str
    title: str
    tenant: str
    dated: date
    days: int
    review_on: date


@dataclass(frozen=True, slots=True)
class Pair:
    """Two near-duplicate documents, with their Jaccard similarity. Those of one series are versions, meant to be alike."""

    a: str
    b: str
    similarity: float
    same_series: bool


def summarise_sources(documents: Sequence[Document]) -> list[SourceSummary]:
    """Summarise the documents by origin, the largest first."""
    by_origin: defaultdict[str, list[Document]] = defaultdict(list)
    for document in documents:
        by_origin[document.source.origin].append(document)
    summaries = []
    for origin, group in by_origin.items():
        chunks, characters = sum(it.chunks for it in group), sum(it.characters for it in group)
        summaries.append(SourceSummary(origin, len(group), chunks, characters, max(it.ingested_at for it in group)))
    return sorted(summaries, key=lambda summary: (-summary.documents, summary.origin))


def find_stale(documents: Iterable[Document], *, today: date, after_days: int) -> list[Stale]:
    """Return the documents in force that are at least `after_days` old, the oldest first."""
    overdue = []
    for document in documents:
        source = document.source
        dated = max(filter(None, (source.published, source.effective_from)), default=document.ingested_at.date())
        days = (today - dated).days
        # Superseded and future ones answer no questions and need no review
        if days >= after_days and not document.superseded:
            overdue.append(Stale(source.uri, source.title, source.tenant, dated, days, dated + timedelta(after_days)))
    return sorted(overdue, key=lambda entry: (-entry.days, entry.uri))


def compute_statistics(
    documents: Sequence[Document], refusals: Sequence[Refusal], limits: ParseLimits = CORE
) -> dict[str, Any]:
    """Return counts; `outdated` has the documents that a newer parser would read differently, by its version."""
    sources = [document.source for document in documents]
    return {
        "documents": len(documents),
        "superseded": sum(document.superseded for document in documents),
        "refused": len(refusals),
        "chunks": sum(document.chunks for document in documents),
        "characters": sum(document.characters for document in documents),
        "tenants": len({source.tenant for source in sources}),
        "series": len({(source.tenant, source.series) for source in sources if source.series}),
        "media_types": dict(Counter(sorted(source.media_type or "unknown" for source in sources)).most_common()),
        "outdated": count_outdated(documents, limits),
    }


def find_near_duplicates(
    ledger: DocumentLedger,
    documents: Sequence[Document],
    scope: Scope,
    *,
    threshold: float = 0.8,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Pair]:
    """Return the pairs of documents whose Jaccard similarity over shingles is at least `threshold`, highest first.

    Candidates come from MinHash signatures in bands (Broder 1997; Leskovec, Rajaraman and Ullman 2014, chapter 3), so
    that not all pairs are compared.
    """
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=max(0.1, threshold - _LOOSER), num_perm=_PERMUTATIONS)
    sources = {document.document_id: document.source for document in documents}
    candidates: set[tuple[str, str]] = set()
    for done, key in enumerate(sources, start=1):
        if words := shingles(ledger.text(key, scope) or ""):
            signature = MinHash(num_perm=_PERMUTATIONS, seed=1)
            signature.update_batch([word.encode("utf-8", "surrogatepass") for word in words])
            candidates.update((neighbour, key) for neighbour in index.query(signature))
            index.insert(key, signature)
        progress(done)
    pairs = []
    for keys in sorted(candidates):
        a, b = sorted((sources[key] for key in keys), key=lambda source: (source.uri, source.tenant))
        first, second = (shingles(ledger.text(key, scope) or "") for key in keys)
        similarity = len(first & second) / (len(first | second) or 1)  # both may have been deleted meanwhile
        if similarity >= threshold:
            versions = a.series is not None and (a.tenant, a.series) == (b.tenant, b.series)
            pairs.append(Pair(a.uri, b.uri, round(similarity, 4), versions))
    return sorted(pairs, key=lambda pair: (-pair.similarity, pair.a, pair.b))


def shingles(text: str) -> set[str]:
    """Return the runs of four words, split and folded as in keyword search, also in scripts without spaces.

    >>> sorted(shingles("The Moon lamp runs for hours"))
    ['lamp runs for hours', 'moon lamp runs for', 'the moon lamp runs']
    """
    words = words_of(text.casefold())
    return {" ".join(words[at : at + _WORDS]) for at in range(max(1, len(words) - _WORDS + 1))} if words else set()
