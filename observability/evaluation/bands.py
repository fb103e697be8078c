"""How quotes were told, as an answer or as the closest passages, and how far their confidence is from how often they are right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from observability.evaluation.metrics import Estimate, estimate

# Share of what is told as an answer that is to be right
RIGHT = 0.85
# Groups of the calibration error
GROUPS = 10


@dataclass(frozen=True, slots=True)
class Bands:
    """How quotes were told in an evaluation, and how right that was."""

    shown: int
    """Answers quoted from documents."""
    right: Estimate
    """Share that is right of those told as an answer."""
    error: float | None
    """Expected calibration error of the confidence in all that was shown."""

    @property
    def too_often_wrong(self) -> bool:
        """Whether what is told as an answer is surely right less often than it should."""
        return self.right.high is not None and self.right.high < RIGHT

    def __str__(self) -> str:
        if not self.shown:
            return "nothing was quoted from documents"
        told = f"{self.right.n} of {self.shown} quoted answers ({self.right.n / self.shown:.0%}) were told as an answer"
        right = f", right {self.right} of them, at least {RIGHT} is asked" if self.right.n else ""
        return f"{told}{right}; expected calibration error {self.error:.3f}"


def bands_of(rows: Sequence[Mapping[str, Any]]) -> Bands:
    """Return how the quotes in an evaluation's rows were told. What was worked out is no quote, and has no confidence."""
    shown = [row for row in rows if row.get("band") in ("answered", "closest") and row.get("confidence") is not None]
    told = estimate(float(row["passed"]) for row in shown if row["band"] == "answered")
    sure, right = [row["confidence"] for row in shown], [bool(row["passed"]) for row in shown]
    return Bands(len(shown), told, expected_error(sure, right) if shown else None)


def expected_error(confidences: Sequence[float], right: Sequence[bool]) -> float:
    """Return the expected calibration error (Naeini, Cooper and Hauskrecht 2015) over ten groups of equally many, by confidence."""
    order = np.argsort(np.asarray(confidences), kind="stable")
    groups = (group for group in np.array_split(order, GROUPS) if len(group))
    sure, truth = np.asarray(confidences, dtype=np.float64), np.asarray(right, dtype=np.float64)
    return float(sum(len(group) * abs(sure[group].mean() - truth[group].mean()) for group in groups) / len(order))
