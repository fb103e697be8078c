"""One ranking out of several."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence


def reciprocal_rank_fusion(
    rankings: Mapping[str, Sequence[str]], *, k: int = 60, weights: Mapping[str, float] | None = None
) -> list[tuple[str, float]]:
    """Sum of weight / (k + rank) over the rankings, best first; ties stand in the order of first appearance.

    Needs no comparable scores, which keyword and vector scores are not. Cormack, Clarke and Büttcher, "Reciprocal Rank
    Fusion outperforms Condorcet and individual Rank Learning Methods", SIGIR 2009.

    >>> [name for name, _ in reciprocal_rank_fusion({"a": ["x", "y"], "b": ["y", "z"]})]
    ['y', 'x', 'z']
    """
    scores: dict[str, float] = defaultdict(float)
    for leg, ranking in rankings.items():
        weight = 1.0 if weights is None else weights.get(leg, 1.0)
        for rank, name in enumerate(ranking, start=1):
            scores[name] += weight / (k + rank)
    return sorted(scores.items(), key=lambda item: -item[1])
