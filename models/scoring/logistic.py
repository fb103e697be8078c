"""Logistic regression over signs: fitting, storage as JSON, probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LogisticCurve:
    """A fitted curve: weights of the signs, standardised by their mean and deviation in training."""

    means: Rows
    deviations: Rows
    weights: Rows
    bias: float

    def score(self, row: Rows) -> float:
        """Return the probability, from 0 to 1, of one row of signs."""
        return float(1 / (1 + np.exp(-(self.weights @ ((row - self.means) / self.deviations) + self.bias))))

    @classmethod
    def of(cls, stored: dict[str, Any], names: Sequence[str]) -> LogisticCurve:
        """Return the curve from a file's values, by the names of the signs. Raises KeyError, TypeError: a sign is missing, or the bias."""
        signs = [stored["signs"][name] for name in names]
        means, deviations, weights = (
            np.array([sign[key] for sign in signs]) for key in ("mean", "deviation", "weight")
        )
        return cls(means, deviations, weights, stored["bias"])


def fit_logistic(
    rows: Rows, truths: Sequence[bool], *, weights: Sequence[float] | None = None, penalty: float = 1.0
) -> LogisticCurve:
    """Fit the curve by maximum penalised likelihood. Both outcomes have equal total weight; within one, rows weigh by `weights`."""
    from scipy.optimize import minimize

    truth = np.asarray(truths, dtype=np.float64)
    means, deviations = rows.mean(axis=0), rows.std(axis=0)
    deviations = np.where(deviations > 0, deviations, 1.0)
    columns = np.hstack([(rows - means) / deviations, np.ones((len(rows), 1))])
    row_weights = np.ones(len(rows)) if weights is None else np.asarray(weights, dtype=np.float64)
    sums = {outcome: max(float(row_weights[truth == outcome].sum()), 1e-9) for outcome in (0, 1)}
    balance = len(rows) / 2 * row_weights / np.where(truth == 1, sums[1], sums[0])

    def loss(coefficients: Rows) -> tuple[float, Rows]:
        logits = columns @ coefficients
        losses = np.logaddexp(0, logits) - truth * logits
        gradient = columns.T @ (balance * (1 / (1 + np.exp(-logits)) - truth))
        shrunk = np.append(coefficients[:-1], 0.0)
        return float(balance @ losses + penalty / 2 * shrunk @ shrunk), gradient + penalty * shrunk

    solution = minimize(loss, np.zeros(columns.shape[1]), jac=True, method="L-BFGS-B").x
    return LogisticCurve(means, deviations, solution[:-1], float(solution[-1]))
