"""Calibrate the confidence at which a question is more likely answerable than not, `[retrieval.grounding] min_evidence`, by a
logistic curve (Platt 1999) over questions that the documents answer and questions that they do not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from foundation.errors import InvalidRequest
from models.scoring.logistic import fit_logistic
from observability.evaluation import metrics

# Fewest questions of each kind for a curve
LEAST = 5
# Smallest penalty with which a curve exists where confidences separate both kinds without an error
PENALTY = 0.01
# Shares of the answerable questions for which the refusals are reported
SHARES = (0.8, 0.85, 0.9, 0.95)


@dataclass(frozen=True, slots=True)
class Graded:
    """A question with the confidence of its evidence. `foreign` means that it belongs to another corpus."""

    confidence: float
    answerable: bool
    foreign: bool = False

    @property
    def kind(self) -> str:
        return "answerable" if self.answerable else "foreign" if self.foreign else "unanswerable"


def demand_enough(answerable: int, others: int) -> None:
    """Raises InvalidRequest: fewer than five questions are answerable, or fewer than five are not."""
    if min(answerable, others) < LEAST:
        raise InvalidRequest(
            f"{answerable} questions can be answered and {others} cannot. Calibrating needs at least {LEAST} of each; "
            f"FOREIGN=folder names questions that these documents do not answer."
        )


def calibrate(graded: Sequence[Graded], *, seed: int = 7) -> dict[str, Any]:
    """Return the curve's midpoint, the ROC areas against both kinds of unanswerable questions, and the refusals at each
    share of answered questions. Raises InvalidRequest as `demand_enough`.
    """
    by_kind: dict[str, list[float]] = {"answerable": [], "unanswerable": [], "foreign": []}
    for question in graded:
        by_kind[question.kind].append(question.confidence)
    answerable, *others = by_kind.values()
    demand_enough(len(answerable), sum(map(len, others)))
    # each kind weighs the same in total, however many questions it has
    weights = np.array([1 / len(by_kind[question.kind]) for question in graded])
    rows = np.array([[question.confidence] for question in graded])
    truths = np.array([question.answerable for question in graded])
    curve = fit_logistic(rows, truths.tolist(), weights=weights.tolist(), penalty=PENALTY)
    areas = {}
    for name in ("unanswerable", "foreign"):
        told_apart = [True] * len(answerable) + [False] * len(by_kind[name])
        areas[f"auc_{name}"] = metrics.auc([*answerable, *by_kind[name]], told_apart, seed=seed)
    return {
        "min_evidence": round(float(curve.means[0] - curve.bias * curve.deviations[0] / curve.weights[0]), 3),
        **{f"n_{name}": len(confidences) for name, confidences in by_kind.items()},
        **{name: area.mean for name, area in areas.items()},
        "intervals_95": {name: [area.low, area.high] for name, area in areas.items()},
        "at": [_at(share, by_kind) for share in SHARES],
    }


def _at(share: float, by_kind: Mapping[str, Sequence[float]]) -> dict[str, float | None]:
    confidences = sorted(by_kind["answerable"], reverse=True)
    threshold = confidences[ceil(share * len(confidences)) - 1]
    refused = {
        f"refused_{name}": float(np.mean(np.array(by_kind[name]) < threshold)) if by_kind[name] else None
        for name in ("unanswerable", "foreign")
    }
    return {"answered": share, "threshold": threshold, **refused}
