"""Calibrate the confidence at which a question is more likely answerable than not, `[retrieval.grounding] min_evidence`, by a
logistic curve (Platt 1999) over questions that the documents answer and questions that they do not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil, exp, log
from typing import Any

import numpy as np

from extensions.calibration.curves import auc, fit_logistic
from foundation.errors import InvalidRequest
from observability.evaluation.bands import RIGHT, expected_error
from observability.evaluation.metrics import estimate

# Fewest questions of each kind for a curve
LEAST = 5
# Smallest penalty with which a curve exists where confidences separate both kinds without an error
PENALTY = 0.01
# Parts of the questions, each of which is left out of a fit once
FOLDS = 5
# Fewest answers told as such from which a threshold is read
FEWEST_ANSWERED = 10
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
        areas[f"auc_{name}"] = auc([*answerable, *by_kind[name]], told_apart, seed=seed)
    return {
        "min_evidence": round(float(curve.means[0] - curve.bias * curve.deviations[0] / curve.weights[0]), 3),
        **{f"n_{name}": len(confidences) for name, confidences in by_kind.items()},
        **{name: area.mean for name, area in areas.items()},
        "intervals_95": {name: [area.low, area.high] for name, area in areas.items()},
        "at": [_at(share, by_kind) for share in SHARES],
    }


@dataclass(frozen=True, slots=True)
class Judged:
    """Quotes with the signs of their confidence, and whether they were right."""

    strength: float
    said: bool
    contradicted: bool
    right: bool


def fit_confidence(judged: Sequence[Judged], *, right_at_least: float = RIGHT) -> dict[str, Any]:
    """Fit the curve of `[retrieval.grounding] confidence`, and the least `answered_from` from which on at least this share of what is told as
    an answer is right. Share, right ones and the expected calibration error are of questions that their fifth of the fit left out.
    """
    right = np.array([each.right for each in judged])
    if min(right.sum(), (~right).sum()) < LEAST:
        return {"n_judged": len(judged)}
    held_out = np.zeros(len(judged))
    for fold in range(FOLDS):
        out = np.arange(len(judged)) % FOLDS == fold
        curve = _curve([each for each, left in zip(judged, out, strict=True) if not left])
        held_out[out] = [_sure(each, curve) for each, left in zip(judged, out, strict=True) if left]
    order = np.argsort(-held_out, kind="stable")
    shares = np.cumsum(right[order]) / np.arange(1, len(judged) + 1)
    fitting = [n for n in range(FEWEST_ANSWERED, len(judged) + 1) if shares[n - 1] >= right_at_least]
    most = fitting[-1] if fitting else 0
    return {
        "n_judged": len(judged),
        "confidence": {name: round(value, 2) for name, value in _curve(judged).items()},
        "answered_from": round(float(held_out[order[most - 1]]), 2) if most else 1.0,
        "answered_share": most / len(judged),
        "answered_right": asdict(estimate(right[order[:most]].astype(float))),
        "calibration_error": expected_error(held_out.tolist(), right.tolist()),
    }


def _curve(judged: Sequence[Judged]) -> dict[str, float]:
    # what is contradicted has half of the curve, which it does not shape
    fitted = [each for each in judged if not each.contradicted] or judged
    right = [each.right for each in fitted]
    curve = fit_logistic(np.array([[each.strength, float(each.said)] for each in fitted]), right, penalty=PENALTY)
    weights = curve.weights / curve.deviations
    # the fit weighs right and wrong ones alike; this gives back how many there are of each
    prior = log((sum(right) + 1) / (len(right) - sum(right) + 1))
    bias = curve.bias - float(weights @ curve.means) + prior
    return {"strength": float(weights[0]), "said": float(weights[1]), "bias": bias}


def _sure(each: Judged, curve: Mapping[str, float]) -> float:
    sure = 1 / (1 + exp(-(curve["bias"] + curve["strength"] * each.strength + curve["said"] * each.said)))
    return sure / 2 if each.contradicted else sure


def _at(share: float, by_kind: Mapping[str, Sequence[float]]) -> dict[str, float | None]:
    confidences = sorted(by_kind["answerable"], reverse=True)
    threshold = confidences[ceil(share * len(confidences)) - 1]
    refused = {
        f"refused_{name}": float(np.mean(np.array(by_kind[name]) < threshold)) if by_kind[name] else None
        for name in ("unanswerable", "foreign")
    }
    return {"answered": share, "threshold": threshold, **refused}
