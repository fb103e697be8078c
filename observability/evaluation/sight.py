"""What a comparison can see: the smallest loss that its cases would show, how many more an allowed loss takes, and which to read first."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from observability.evaluation.baseline import Comparison, pair_rows

# A loss of this many standard errors shows at 95 % in four of five comparisons (Cohen, "Statistical Power Analysis", 1988)
STEPS = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)
# Rule of three: of n cases without a change, up to 3/n of all cases may have changed (Hanley and Lippman-Hand, 1983)
UNCHANGED = 3.0
READ_FIRST = 40


@dataclass(frozen=True)
class Sight:
    """What the cases of one score can see."""

    detects: float
    """The smallest loss that shows in four of five such comparisons."""
    more: int | None
    """Cases to add until the allowed loss is as small; `None` where no loss is allowed, or none is judged."""


def sight_of(comparison: Comparison) -> dict[str, Sight]:
    """Return what each score of the comparison can see. It follows from how far the answers of the same case differ."""
    pairs = pair_rows(comparison.a, comparison.b)
    found = {}
    for name, score in comparison.metrics.items():
        moves = [b[name] - a[name] for a, b in pairs if a.get(name) is not None and b.get(name) is not None]
        spread = float(np.std(moves, ddof=1)) if len(moves) > 1 else 1.0
        # a share that never moved may still move in what was not asked
        detects = max(STEPS * spread / math.sqrt(score.n), UNCHANGED / score.n)
        needed = _cases_for(score.threshold, spread) if score.threshold else None
        found[name] = Sight(min(1.0, detects), needed and max(0, needed - score.n))
    return found


def _cases_for(loss: float, spread: float) -> int:
    return math.ceil(max((STEPS * spread / loss) ** 2, UNCHANGED / loss))


def read_first(changed: Sequence[Mapping[str, Any]], unread: Collection[str]) -> list[str]:
    """Return the ids of the cases that a person should read first: their answer changed, and either nobody has read the case or the
    scores do not say which answer is better. A case whose answers agree tells nothing about the difference.
    """
    doubtful = [change for change in changed if change["id"] in unread or not change["gain"]]
    return [change["id"] for change in sorted(doubtful, key=lambda change: change["id"] not in unread)][:READ_FIRST]
