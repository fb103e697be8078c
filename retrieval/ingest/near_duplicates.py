"""What state the documents are in: where they come from, which are old, which say the same, how large it all is.

Nothing is changed here. Every function works on what a scope may see, as the ledger lists it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import combinations
from typing import TYPE_CHECKING

from foundation.text.tokens import words as words_of
from foundation.types import Scope
from retrieval.contract import Document, DocumentLedger, Refusal, Source
from retrieval.ingest.sandbox import find_newer_parser

if TYPE_CHECKING:
    from datasketch import MinHash

_WORDS = 4
"""Words of a shingle: shorter ones are shared by texts that only speak of the same thing."""
_PERMUTATIONS = 128
_LOOSER = 0.15
"""Candidates are looked for this far below the threshold, so that an estimate which is a little too low loses no pair."""


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """A folder or site that documents were read from; `origin` is empty for uploads and single files."""

    origin: str
    documents: int
    chunks: int
    characters: int
    latest: datetime
    """When the newest of its documents was stored."""


@dataclass(frozen=True, slots=True)
class Stale:
    """A document in force whose content is older than allowed. `review_on` is the day on which it became so."""

    uri: str
    title: str
    tenant: str
    dated: date
    """When it was published, or took effect, or else was stored."""
    days: int
    review_on: date


@dataclass(frozen=True, slots=True)
class Pair:
    """Two documents that say the same: the share of all their shingles that they have in common."""

    a: str
    b: str
    similarity: float
    same_series: bool
    """They are versions of one another, and meant to be alike."""


@dataclass(frozen=True, slots=True)
class Statistics:
    documents: int
    superseded: int
    refused: int
    chunks: int
    characters: int
    characters_per_chunk: float
    tenants: int
    series: int
    media_types: dict[str, int]
    outdated: dict[str, int]
    """Documents that a newer parser would read, by its version."""


def sources(documents: Sequence[Document]) -> list[SourceSummary]:
    """By origin, the largest first."""
    by_origin: dict[str, list[Document]] = {}
    for document in documents:
        by_origin.setdefault(document.source.origin, []).append(document)
    summaries = [
        SourceSummary(
            origin,
            len(group),
            sum(document.chunks for document in group),
            sum(document.characters for document in group),
            max(document.ingested_at for document in group),
        )
        for origin, group in by_origin.items()
    ]
    return sorted(summaries, key=lambda summary: (-summary.documents, summary.origin))


def stale(documents: Iterable[Document], *, today: date, after_days: int) -> list[Stale]:
    """Documents in force that have not changed for `after_days`, the oldest first. One that is superseded, or whose day
    has not come, is not answered from and needs no review."""
    overdue = []
    for document in documents:
        dated = _last_dated(document)
        days = (today - dated).days
        if days >= after_days and not document.superseded:
            review_on = dated + timedelta(days=after_days)
            overdue.append(
                Stale(document.source.uri, document.source.title, document.source.tenant, dated, days, review_on)
            )
    return sorted(overdue, key=lambda entry: (-entry.days, entry.uri))


def _last_dated(document: Document) -> date:
    source = document.source
    days = [day for day in (source.published, source.effective_from) if day is not None]
    return max(days) if days else document.ingested_at.date()


def superseded_sources(documents: Iterable[Document]) -> list[Source]:
    """Versions that are kept and not used for answers."""
    return [document.source for document in documents if document.superseded]


def statistics(documents: Sequence[Document], refusals: Sequence[Refusal]) -> Statistics:
    chunks, characters = (
        sum(document.chunks for document in documents),
        sum(document.characters for document in documents),
    )
    kinds: dict[str, int] = {}
    for document in documents:
        kinds[document.source.media_type or "unknown"] = kinds.get(document.source.media_type or "unknown", 0) + 1
    return Statistics(
        documents=len(documents),
        superseded=len(superseded_sources(documents)),
        refused=len(refusals),
        chunks=chunks,
        characters=characters,
        characters_per_chunk=round(characters / chunks, 1) if chunks else 0.0,
        tenants=len({document.source.tenant for document in documents}),
        series=len(
            {(document.source.tenant, document.source.series) for document in documents if document.source.series}
        ),
        media_types=dict(sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0]))),
        outdated=count_outdated(documents),
    )


def count_outdated(documents: Iterable[Document]) -> dict[str, int]:
    """Documents that a newer parser would read differently, by its version. Earlier versions of a document stay as they
    are."""
    newer = (find_newer_parser(document.source.uri, document.parsers) for document in documents)
    return dict(sorted(Counter(filter(None, newer)).items()))


def near_duplicates(
    ledger: DocumentLedger,
    documents: Sequence[Document],
    scope: Scope,
    *,
    threshold: float = 0.8,
    progress: Callable[[int], None] | None = None,
) -> list[Pair]:
    """Pairs of documents whose Jaccard similarity over shingles of four words is at least `threshold`, most alike first.

    Candidates come from MinHash signatures in bands (Broder 1997; Leskovec, Rajaraman and Ullman 2014, chapter 3), so
    the time grows with the documents and not with their pairs; each candidate is then compared exactly.
    """
    from datasketch import MinHashLSH

    index = MinHashLSH(threshold=max(0.1, threshold - _LOOSER), num_perm=_PERMUTATIONS)
    signatures: dict[str, MinHash] = {}
    by_id = {document.document_id: document for document in documents}
    for done, key in enumerate(by_id, start=1):
        words = shingles(ledger.text(key, scope) or "")
        if words:
            signatures[key] = _signature(words)
            index.insert(key, signatures[key])
        if progress:
            progress(done)
    pairs = []
    for a, b in _candidates(index, signatures):
        similarity = jaccard(shingles(ledger.text(a, scope) or ""), shingles(ledger.text(b, scope) or ""))
        if similarity >= threshold:
            pairs.append(_pair(by_id[a].source, by_id[b].source, similarity))
    return sorted(pairs, key=lambda pair: (-pair.similarity, pair.a, pair.b))


def shingles(text: str) -> set[str]:
    """Runs of four words, as keyword search knows words: without case, and in scripts without spaces too.

    >>> sorted(shingles("The Moon lamp runs for hours"))
    ['lamp runs for hours', 'moon lamp runs for', 'the moon lamp runs']
    """
    words = words_of(text.casefold())
    return {" ".join(words[at : at + _WORDS]) for at in range(max(1, len(words) - _WORDS + 1))} if words else set()


def jaccard(a: set[str], b: set[str]) -> float:
    """
    >>> jaccard({"x", "y"}, {"y", "z"})
    0.3333333333333333
    """
    return len(a & b) / len(a | b) if a or b else 0.0


def _signature(words: set[str]) -> MinHash:
    from datasketch import MinHash

    signature = MinHash(num_perm=_PERMUTATIONS, seed=1)
    signature.update_batch([word.encode("utf-8", "surrogatepass") for word in words])
    return signature


def _candidates(index: object, signatures: dict[str, MinHash]) -> Iterator[tuple[str, str]]:
    seen = set()
    for key, signature in signatures.items():
        alike = sorted({key, *index.query(signature)})  # type: ignore[attr-defined]
        seen |= {pair for pair in combinations(alike, 2) if key in pair}
    yield from sorted(seen)


def _pair(a: Source, b: Source, similarity: float) -> Pair:
    first, second = sorted((a, b), key=lambda source: (source.uri, source.tenant))
    versions = a.series is not None and (a.tenant, a.series) == (b.tenant, b.series)
    return Pair(first.uri, second.uri, round(similarity, 4), versions)
