"""A logistic curve fitted to signs, and how well a score tells right from wrong at every threshold."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.scoring.logistic import LogisticCurve, Rows
from observability.evaluation.metrics import Estimate, draws


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


def auc(scores: Sequence[float], truths: Sequence[bool], *, seed: int = 7) -> Estimate:
    """Return the probability that a true case scores above a false one (ties count half), with its bootstrap interval.

    >>> auc([0.9, 0.4, 0.6, 0.1], [True, True, False, False]).mean
    0.75
    """
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(truths, dtype=bool)

    def area(of: npt.NDArray[np.int_]) -> float:
        high, low = values[of][truth[of]], np.sort(values[of][~truth[of]])
        beaten = np.searchsorted(low, high), np.searchsorted(low, high, side="right")
        return float(np.mean(beaten)) / len(low) if len(high) and len(low) else np.nan

    whole = area(np.arange(len(values)))
    if np.isnan(whole):
        return Estimate(None, None, None, len(values))
    areas = [area(row) for block in draws(len(values), seed=seed, resamples=300) for row in block]
    low, high = np.nanpercentile(areas, [2.5, 97.5])  # a sample of one outcome alone has no area
    return Estimate(whole, float(low), float(high), len(values))
