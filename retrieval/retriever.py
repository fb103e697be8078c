"""A query to permitted evidence: keywords and vectors over the whole corpus, fused by rank, one passage a document."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date

from foundation.clock import Clock
from foundation.errors import InvalidRequest
from foundation.settings import RankingSettings
from foundation.types import Scope
from models.contract import Embeddings, Reranker
from models.embedding import embed_query
from retrieval.contract import DocumentLedger, Hit, VectorIndex
from retrieval.fusion import reciprocal_rank_fusion

KEYWORD, VECTOR = "keyword", "vector"
RERANKED = 50
"""Documents that the reranker sees; what stands below keeps its place."""
DEEPEST = 5000
"""Passages at which a leg stops looking for more documents."""

_Search = Callable[[int], list[tuple[str, float]]]
"""So many ids of passages, best first, with their scores."""


class HybridRetriever:
    """Ranks documents, and shows each by its best passage.

    Both legs are filtered by scope inside their own search. What comes back is looked up in the ledger under the same
    scope and date, and checked once more here: an index that is wrong or stale cannot show what the ledger forbids.
    """

    def __init__(
        self,
        *,
        ledger: DocumentLedger,
        vectors: VectorIndex,
        embedder: Embeddings,
        reranker: Reranker,
        ranking: RankingSettings,
        clock: Clock,
    ) -> None:
        self._ledger, self._vectors, self._embedder, self._reranker = ledger, vectors, embedder, reranker
        self._ranking, self._clock = ranking, clock

    def retrieve(
        self, query: str, scope: Scope, *, limit: int | None = None, as_of: date | None = None, per_document: int = 1
    ) -> list[Hit]:
        """See `retrieval.contract.Retriever`. With `per_document` above 1, further passages of a document follow its
        best one; `limit` counts documents all the same.

        Raises:
            InvalidRequest: the query is blank.
        """
        if not query.strip():
            raise InvalidRequest("The query is empty. Ask for something.")
        limit = self._ranking.top_k if limit is None else limit
        as_of = as_of or self._clock.now().date()
        vector = embed_query(self._embedder, query)
        searches: dict[str, _Search] = {
            KEYWORD: lambda depth: self._ledger.keyword_search(query, scope, limit=depth, as_of=as_of),
            VECTOR: lambda depth: self._vectors.search(vector, scope, limit=depth),
        }
        ranked = {leg: self._walked(search, scope, as_of, enough=limit) for leg, search in searches.items()}
        documents = self._reranked(query, self._fused(ranked))[:limit]
        return [hit for passages in documents for hit in passages[:per_document]]

    def _walked(self, search: _Search, scope: Scope, as_of: date, *, enough: int) -> list[Hit]:
        """A leg's hits from `enough` documents, if there are so many. It is asked for more passages only where those of
        one long document, or of versions out of force, which the index does not know of, crowd out the others."""
        depth = max(self._ranking.candidates, 2 * enough)
        while True:
            found = [chunk_id for chunk_id, _ in search(depth)]
            hits = self._permitted(found, scope, as_of)
            documents = {hit.chunk.document_id for hit in hits}
            if len(documents) >= enough or len(found) < depth or depth >= DEEPEST:
                return hits
            depth = min(4 * depth, DEEPEST)

    def _permitted(self, chunk_ids: Sequence[str], scope: Scope, as_of: date) -> list[Hit]:
        known = self._ledger.hits(chunk_ids, scope, as_of=as_of)
        hits = [known[chunk_id] for chunk_id in chunk_ids if chunk_id in known]
        return [hit for hit in hits if scope.admits(hit.source.tenant, hit.source.groups)]

    def _fused(self, ranked: Mapping[str, Sequence[Hit]]) -> list[list[Hit]]:
        """For each document by fused rank its passages, the one first that the legs together rank highest."""
        weights = {KEYWORD: self._ranking.keyword_weight, VECTOR: self._ranking.vector_weight}
        places = {leg: _places(hit.chunk.document_id for hit in hits) for leg, hits in ranked.items()}
        by_id = {hit.chunk.chunk_id: hit for hits in ranked.values() for hit in hits}
        passages: defaultdict[str, list[Hit]] = defaultdict(list)
        by_passage = {leg: [hit.chunk.chunk_id for hit in hits] for leg, hits in ranked.items()}
        for chunk_id, _ in reciprocal_rank_fusion(by_passage, k=self._ranking.rrf_k, weights=weights):
            passages[by_id[chunk_id].chunk.document_id].append(by_id[chunk_id])
        by_document = {leg: list(names) for leg, names in places.items()}
        return [
            [
                replace(hit, score=score, legs={leg: at[name] for leg, at in places.items() if name in at})
                for hit in passages[name]
            ]
            for name, score in reciprocal_rank_fusion(by_document, k=self._ranking.rrf_k, weights=weights)
        ]

    def _reranked(self, query: str, documents: list[list[Hit]]) -> list[list[Hit]]:
        """The documents in the reranker's order. The scores, which only order, stay where they were."""
        top = documents[:RERANKED]
        scores = self._reranker.score(query, [passages[0].chunk.indexed_text for passages in top])
        order = sorted(range(len(top)), key=lambda place: -scores[place])
        ladder = [passages[0].score for passages in top]
        moved = [[replace(hit, score=score) for hit in top[place]] for score, place in zip(ladder, order, strict=True)]
        return moved + documents[RERANKED:]


def _places(names: Iterable[str]) -> dict[str, int]:
    """Each name's rank, from 1, by its first appearance."""
    return {name: place for place, name in enumerate(dict.fromkeys(names), start=1)}
