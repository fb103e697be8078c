"""A fitted logistic curve from signs to a probability, and how it is read from JSON."""

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
