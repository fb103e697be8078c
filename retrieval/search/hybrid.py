"""Hybrid search: keywords and vectors over the whole corpus, fused by score, one passage per document."""

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, replace
from datetime import date
from functools import reduce
from statistics import fmean

from foundation.clock import Clock
from foundation.errors import InvalidRequest
from foundation.text.tokens import in_latin_letters
from foundation.types import Scope
from models.contract import Embeddings, Reranker
from models.embedding import embed_query
from retrieval.contract import DocumentLedger, Rewording, RightsCheck, VectorIndex
from retrieval.documents import DATA_CLASS, Hit
from retrieval.filters import AllOf, OneOf, Where, matches
from retrieval.index.maintenance import SameParts
from retrieval.search.fusion import standard_score_fusion, standard_scores
from retrieval.settings import RankingSettings

KEYWORD, VECTOR = "keyword", "vector"
# Most passages that keyword or vector search fetches to find more documents
DEEPEST = 5000
# Weight of the vectors for a query in letters that the embedder does not read; one that reads all: [retrieval] multilingual
FOREIGN_WEIGHT = 0.15
# Passages that keyword search and vector search each fetch before fusion, and documents that a reranker reorders of the fused
CANDIDATES, RERANKED = 150, 20
# Queries at once that have a second thread: beyond them each core has a query of its own, and threads that take turns only cost
TWO_THREADS = max(1, (os.cpu_count() or 1) // 2)

# Keyword hits: (chunk id, score, document id), best first
_KeywordHits = Sequence[tuple[str, float, str]]
# Vector hits: (chunk id, cosine similarity), best first. The index does not know their documents.
_VectorHits = Sequence[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class _Found:
    passages: Mapping[str, float]
    documents: Mapping[str, float]
    floor: float
    """Score for documents that it did not return: the most that theirs can be. Documents that an exhausted vector
    index lacks are not indexed yet, so they get the mean."""


@dataclass(frozen=True, slots=True)
class _Ranked:
    """A document with its fused score, its passages, best first, and its rank in each search."""

    score: float
    passages: Mapping[str, float]
    ranks: Mapping[str, int]


class HybridRetriever:
    """Ranks documents by keyword and vector search, both filtered by scope, and returns each by its best passage."""

    # The ledger checks all hits of the index before they are ranked: a stale one cannot reveal what the ledger forbids

    def __init__(
        self,
        *,
        ledger: DocumentLedger,
        vectors: VectorIndex,
        embedder: Embeddings,
        reranker: Reranker | None,
        ranking: RankingSettings,
        clock: Clock,
        multilingual: bool = False,
        same_parts: SameParts | None = None,
        rewordings: Sequence[Rewording] = (),
        rights: Sequence[RightsCheck] = (),
        executor: Executor | None = None,
    ) -> None:
        self._ledger, self._vectors, self._embedder, self._reranker = ledger, vectors, embedder, reranker
        self._ranking, self._clock, self._multilingual, self._same_parts = ranking, clock, multilingual, same_parts
        self._rewordings, self._rights = rewordings, rights
        self._executor = executor or ThreadPoolExecutor(TWO_THREADS, thread_name_prefix="keyword-search")
        self._free_threads = threading.Semaphore(TWO_THREADS)

    def retrieve(
        self,
        query: str,
        scope: Scope,
        *,
        limit: int | None = None,
        as_of: date | None = None,
        per_document: int = 1,
        where: Where | None = None,
    ) -> list[Hit]:
        """Return hits as `retrieval.contract.Retriever` says. Raises InvalidRequest: the query is blank."""
        if not query.strip():
            raise InvalidRequest("The query is empty. Ask for something.")
        if self._same_parts:
            self._same_parts.check()
        limit = self._ranking.top_k if limit is None else limit
        as_of = as_of or self._clock.now().date()
        widened = reduce(lambda so_far, rewording: rewording.widen(so_far, scope.tenant), self._rewordings, query)

        def by_keyword(depth: int) -> _KeywordHits:
            return self._ledger.keyword_search(widened, scope, limit=depth, as_of=as_of, where=where)

        def by_vector(depth: int, in_classes: bool) -> _VectorHits:
            classes = OneOf(DATA_CLASS, tuple(scope.listed_classes or ()))
            both = where if not in_classes else AllOf((classes, where)) if where else classes
            return self._vectors.search(vector, scope, limit=depth, where=both)

        depth = max(CANDIDATES, 2 * limit)
        with self._beside(lambda: by_keyword(depth)) as keyword_hits:
            vector = embed_query(self._embedder, query)
            vector_hits = by_vector(depth, in_classes=False)
            hits = keyword_hits(), vector_hits
        results, owners = self._deepen_until_enough(
            *hits,
            by_keyword=by_keyword,
            by_vector=by_vector,
            scope=scope,
            as_of=as_of,
            depth=depth,
            enough=limit,
        )
        most = max(limit, RERANKED) if self._reranker else limit
        ranked = _fuse(results, owners, self._weights(query), most=most)
        documents = self._rerank(query, self._read_passages(ranked, scope, as_of, (per_document - 1) * limit, where))[
            :limit
        ]
        found = [hit for passages in documents for hit in passages]
        return reduce(lambda so_far, check: check.keep(so_far, scope), self._rights, found)

    @contextmanager
    def _beside(self, keyword_search: Callable[[], _KeywordHits]) -> Iterator[Callable[[], _KeywordHits]]:
        """Do a keyword search, which takes about as long as embedding, in another thread beside the block; where none is free,
        when it is asked for.
        """
        if not self._free_threads.acquire(blocking=False):
            yield keyword_search
            return
        future = self._executor.submit(copy_context().run, keyword_search)  # the context carries the trace
        try:
            yield future.result
        finally:
            if not future.cancel():
                wait([future])
            self._free_threads.release()

    def _deepen_until_enough(
        self,
        keyword_hits: _KeywordHits,
        vector_hits: _VectorHits,
        *,
        by_keyword: Callable[[int], _KeywordHits],
        by_vector: Callable[[int, bool], _VectorHits],
        scope: Scope,
        as_of: date,
        depth: int,
        enough: int,
    ) -> tuple[dict[str, _Found], dict[str, str]]:
        """Return the hits of each search, from `enough` documents if there are so many, and each passage's document.
        Deeper searches follow only where one long document, or versions out of force, crowd out the others.
        """
        # a filter makes a vector search half as slow again; most need none, so it waits for a hit of a forbidden class
        in_classes = False
        while True:
            owners = {passage: document for passage, _, document in keyword_hits}
            unknown = [passage for passage, _ in vector_hits if passage not in owners]
            owners |= self._ledger.documents_of(unknown, scope, as_of=as_of)
            hidden = [passage for passage in unknown if passage not in owners]
            every_class = replace(scope, classes=None)
            ask = bool(hidden) and scope.classes is not None and not in_classes
            if ask and self._ledger.documents_of(hidden, every_class, as_of=as_of):
                in_classes = True
                vector_hits = by_vector(depth, in_classes)
                continue
            seen = {
                KEYWORD: {passage: score for passage, score, _ in keyword_hits},
                VECTOR: {passage: score for passage, score in vector_hits if passage in owners},
            }
            whole = {KEYWORD: len(keyword_hits) < depth, VECTOR: len(vector_hits) < depth}
            results = {
                search: _summarise(search, passages, owners, whole=whole[search]) for search, passages in seen.items()
            }
            if depth >= DEEPEST or all(whole[search] or len(results[search].documents) >= enough for search in results):
                return results, owners
            depth = min(4 * depth, DEEPEST)
            keyword_hits, vector_hits = by_keyword(depth), by_vector(depth, in_classes)

    def _weights(self, query: str) -> dict[str, float]:
        is_read = self._multilingual or in_latin_letters(query)
        words = self._ranking.keyword_weight
        return {KEYWORD: words, VECTOR: 1 - words if is_read else min(1 - words, FOREIGN_WEIGHT)}

    def _read_passages(
        self, ranked: Sequence[_Ranked], scope: Scope, as_of: date, further: int, where: Where | None
    ) -> list[list[Hit]]:
        chosen = _share_out(ranked, further)
        hits = self._ledger.hits([passage for passages in chosen for passage in passages], scope, as_of=as_of)
        readable = {key: hit for key, hit in hits.items() if hit.source.is_readable(scope)}
        permitted = {key: hit for key, hit in readable.items() if not where or matches(where, hit.source.filterable)}
        shown = [
            [
                replace(permitted[key], score=document.score, ranks=document.ranks)
                for key in passages
                if key in permitted
            ]
            for document, passages in zip(ranked, chosen, strict=True)
        ]
        return [passages for passages in shown if passages]

    def _rerank(self, query: str, documents: list[list[Hit]]) -> list[list[Hit]]:
        # The scores keep their places, since they only order
        if self._reranker is None:
            return documents
        top, weight = documents[:RERANKED], self._ranking.rerank_weight
        relevance = standard_scores(self._reranker.score(query, [passages[0].chunk.indexed_text for passages in top]))
        fused = standard_scores([passages[0].score for passages in top])
        blended = (1 - weight) * fused + weight * relevance
        order = sorted(range(len(top)), key=lambda place: -blended[place])
        ladder = [passages[0].score for passages in top]
        moved = [[replace(hit, score=score) for hit in top[place]] for score, place in zip(ladder, order, strict=True)]
        return moved + documents[len(top) :]


def _summarise(name: str, passages: Mapping[str, float], owners: Mapping[str, str], *, whole: bool) -> _Found:
    """Make the result of one search. `whole`: it had no more hits, so all other documents lack the words, or a vector."""
    documents: dict[str, float] = {}
    for passage, score in passages.items():
        documents.setdefault(owners[passage], score)
    floor = min(passages.values(), default=0.0)
    if whole:
        floor = fmean(documents.values()) if name == VECTOR and documents else min(floor, 0.0)
    return _Found(passages, documents, floor)


def _fuse(
    results: Mapping[str, _Found], owners: Mapping[str, str], weights: Mapping[str, float], *, most: int
) -> list[_Ranked]:
    floors = {search: result.floor for search, result in results.items()}
    passages: defaultdict[str, dict[str, float]] = defaultdict(dict)
    by_passage = {search: result.passages for search, result in results.items()}
    for passage, score in standard_score_fusion(by_passage, weights=weights, floors=floors):
        passages[owners[passage]][passage] = score
    by_document = {search: result.documents for search, result in results.items()}
    places = {search: {name: at for at, name in enumerate(scores, start=1)} for search, scores in by_document.items()}
    return [
        _Ranked(score, passages[name], {search: at[name] for search, at in places.items() if name in at})
        for name, score in standard_score_fusion(by_document, weights=weights, floors=floors)[:most]
    ]


def _share_out(ranked: Sequence[_Ranked], further: int) -> list[list[str]]:
    """Return each document's passages, best first: the best of each, and of all others the `further` with the highest scores, so
    that a long document that answers the question has the room of those that do not.
    """
    chosen = [list(document.passages)[:1] for document in ranked]
    others = [
        (score, place, passage)
        for place, document in enumerate(ranked)
        for passage, score in list(document.passages.items())[1:]
    ]
    for _, place, passage in sorted(others, key=lambda other: -other[0])[:further]:
        chosen[place].append(passage)
    return chosen
