"""From which confidence in the evidence on a question is rather answerable than not: a logistic curve (Platt 1999) through questions
that the documents answer and questions that they do not. Its middle is what `[retrieval.grounding] min_evidence` should be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from foundation.errors import InvalidRequest
from models.scoring.logistic import fit_logistic
from observability.evaluation import metrics

FOLDS = 5
PENALTY = 0.01
"""Just enough for a curve to exist where confidences tell both kinds apart without an error."""
SHARES = (0.8, 0.85, 0.9, 0.95)
"""Of the answerable questions, those at which refusals are shown."""


@dataclass(frozen=True, slots=True)
class Graded:
    """A question whose evidence was looked at. `foreign`: it belongs to another corpus."""

    confidence: float
    answerable: bool
    foreign: bool = False

    @property
    def kind(self) -> str:
        return "answerable" if self.answerable else "foreign" if self.foreign else "unanswerable"


def calibrate(graded: Sequence[Graded], *, seed: int = 7) -> dict[str, Any]:
    """The curve's middle, the areas under the ROC curve against either kind of unanswerable question, the Brier score on
    questions that a curve has not seen (five folds; 0.25 is to know nothing), and what each share answered would cost.

    Answerable and unanswerable questions weigh the same, and so do foreign ones and those that only sound alike.

    Raises:
        InvalidRequest: all of them are answerable, or none.
    """
    by_kind: dict[str, list[float]] = {"answerable": [], "unanswerable": [], "foreign": []}
    for question in graded:
        by_kind[question.kind].append(question.confidence)
    answerable, *others = by_kind.values()
    if min(len(answerable), sum(map(len, others))) < FOLDS:
        raise InvalidRequest(
            f"{len(answerable)} questions can be answered and {sum(map(len, others))} cannot. Calibrating needs at least "
            f"{FOLDS} of each; FOREIGN=folder names questions that these documents do not answer."
        )
    weights = np.array([1 / len(by_kind[question.kind]) for question in graded])
    rows = np.array([[question.confidence] for question in graded])
    truths = np.array([question.answerable for question in graded])
    curve = fit_logistic(rows, truths.tolist(), weights=weights.tolist(), penalty=PENALTY)
    balanced = np.where(truths, weights / weights[truths].sum(), weights / weights[~truths].sum())
    areas = {}
    for name in ("unanswerable", "foreign"):
        told_apart = [True] * len(answerable) + [False] * len(by_kind[name])
        areas[f"auc_{name}"] = metrics.auc([*answerable, *by_kind[name]], told_apart, seed=seed)
    return {
        "min_evidence": round(float(curve.means[0] - curve.bias * curve.deviations[0] / curve.weights[0]), 3),
        "brier_held_out": float(np.average((_held_out(rows, truths, weights, seed) - truths) ** 2, weights=balanced)),
        **{f"n_{name}": len(confidences) for name, confidences in by_kind.items()},
        **{name: area.mean for name, area in areas.items()},
        "intervals_95": {name: [area.low, area.high] for name, area in areas.items()},
        "at": [_at(share, by_kind) for share in SHARES],
    }


def _held_out(rows: Any, truths: Any, weights: Any, seed: int) -> Any:
    """For each question how likely it is answerable, by a curve that was laid without it. Both outcomes are in every fold."""
    random = np.random.default_rng(seed)
    folds = np.empty(len(rows), dtype=int)
    for outcome in (True, False):
        places = random.permutation(np.flatnonzero(truths == outcome))
        folds[places] = np.arange(len(places)) % FOLDS
    chances = np.empty(len(rows))
    for fold in range(FOLDS):
        here = folds == fold
        curve = fit_logistic(rows[~here], truths[~here].tolist(), weights=weights[~here].tolist(), penalty=PENALTY)
        chances[here] = [curve.score(row) for row in rows[here]]
    return chances


def _at(share: float, by_kind: Mapping[str, Sequence[float]]) -> dict[str, float | None]:
    confidences = sorted(by_kind["answerable"], reverse=True)
    threshold = confidences[ceil(share * len(confidences)) - 1]
    refused = {
        f"refused_{name}": float(np.mean(np.array(by_kind[name]) < threshold)) if by_kind[name] else None
        for name in ("unanswerable", "foreign")
    }
    return {"answered": share, "threshold": threshold, **refused}
