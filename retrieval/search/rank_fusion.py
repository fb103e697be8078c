"""Fusion of several rankings into one by the ranks alone."""

from collections import defaultdict
from collections.abc import Mapping, Sequence


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
