"""The share of answers that pass, corrected by how often the judge was wrong about answers that people had marked.

Rogan and Gladen, "Estimating prevalence from the results of a screening test", 1978.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foundation.settings import Section

# The two upper marks of the rubric: a detail may be missing or unsupported
PASSES = 3
DRAWS = 20_000


class Outcomes(Section):
    """Answers that people marked, by whether people and the judge let them pass."""

    both: int
    people_only: int
    judge_only: int
    neither: int


@dataclass(frozen=True, slots=True)
class PassRate:
    """The share of answers that pass, as the judge says and corrected, with an interval of 95 % that has the noise of both samples.

    `corrected`, `low` and `high` are `None` where the judge does not surely tell what passes from what does not.
    """

    judged: float
    corrected: float | None
    low: float | None
    high: float | None
    n: int

    def __str__(self) -> str:
        if self.corrected is None:
            return "-"
        return f"{self.corrected:.3f} [{self.low:.3f}, {self.high:.3f}]"


def outcomes_of(judged: Sequence[float], people: Sequence[float]) -> Outcomes:
    """Count the answers by who lets them pass."""
    pairs = [(theirs >= PASSES, ours >= PASSES) for ours, theirs in zip(judged, people, strict=True)]
    return Outcomes(
        both=pairs.count((True, True)),
        people_only=pairs.count((True, False)),
        judge_only=pairs.count((False, True)),
        neither=pairs.count((False, False)),
    )


def pass_rate(marks: Sequence[float], known: Outcomes, *, seed: int) -> PassRate:
    """Correct the share of `marks` that pass by the judge's errors. The interval draws the share, the judge's sensitivity and its
    specificity from what their samples allow (Jeffreys' prior).
    """
    n, passing = len(marks), sum(mark >= PASSES for mark in marks)
    random = np.random.default_rng(seed)
    share, sensitivity, specificity = (
        random.beta(hits + 0.5, misses + 0.5, DRAWS)
        for hits, misses in (
            (passing, n - passing),
            (known.both, known.people_only),
            (known.neither, known.judge_only),
        )
    )
    told_apart = sensitivity + specificity - 1
    if not n or np.percentile(told_apart, 2.5) <= 0:
        return PassRate(passing / n if n else 0.0, None, None, None, n)
    low, high = np.percentile(np.clip((share + specificity - 1) / told_apart, 0, 1), [2.5, 97.5])
    right = (known.both / (known.both + known.people_only), known.neither / (known.neither + known.judge_only))
    corrected = (passing / n + right[1] - 1) / (sum(right) - 1)
    return PassRate(passing / n, min(1.0, max(0.0, corrected)), float(low), float(high), n)
