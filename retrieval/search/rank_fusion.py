"""Fusion of several rankings into one by the ranks alone."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from retrieval.documents import Hit


def reciprocal_rank_fusion(rankings: Mapping[str, Sequence[str]], *, k: int = 60) -> list[tuple[str, float]]:
    """Return the sums of 1 / (k + rank) over the rankings, best first; ties in order of first appearance. Source:
    Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet ...", SIGIR 2009.

    >>> [name for name, _ in reciprocal_rank_fusion({"a": ["x", "y"], "b": ["y", "z"]})]
    ['y', 'x', 'z']
    """
    scores: dict[str, float] = defaultdict(float)
    for ranking in rankings.values():
        for rank, name in enumerate(ranking, start=1):
            scores[name] += 1 / (k + rank)
    return sorted(scores.items(), key=lambda item: -item[1])


def in_one_ranking(searches: Sequence[Sequence[Hit]]) -> list[Hit]:
    """Merge the hits of several searches by the reciprocal ranks of their documents; each passage once, those of a document together."""
    ranked: dict[str, list[str]] = {}
    passages: dict[str, dict[str, Hit]] = defaultdict(dict)
    for place, hits in enumerate(searches):
        ranked[str(place)] = list(dict.fromkeys(hit.chunk.document_id for hit in hits))
        for hit in hits:
            passages[hit.chunk.document_id].setdefault(hit.chunk.chunk_id, hit)
    return [hit for document, _ in reciprocal_rank_fusion(ranked) for hit in passages[document].values()]
