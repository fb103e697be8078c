"""What a system gives up for being right: the risk of its answers at every share of questions that it answers.

One threshold of confidence is one point of a curve. An answer is wrong where the question has none, and otherwise by one of two
measures: no gold document is cited, or no gold answer stands in it. The area under the curve is the mean risk over all
coverages (Geifman, Uziel and El-Yaniv 2019). Refusals at another threshold are read from the confidences that the system had:
what it was at its own threshold is given beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

import numpy as np

from lab import plots

COVERED = 0.85
"""Share of the answerable questions at which refusals are compared."""
POINTS = 40
"""Of a curve, the most that are kept."""
JUDGED_BY = {"document": "citation_recall", "answer": "answer_contained"}
"""Kind of error -> the measure of a row that is 0 where it was made."""

Row = Mapping[str, Any]
"""A row of `bench_answers`."""


@dataclass(frozen=True, slots=True)
class Point:
    """What comes of answering from `threshold` on: the share of questions, how many those are, how many are wrong."""

    threshold: float
    coverage: float
    risk: float
    n: int


@dataclass(frozen=True)
class Curve:
    """Ends where the system itself stops answering."""

    points: tuple[Point, ...]
    area: float | None
    """`None`: it answers nothing."""
    questions: int

    def as_dict(self) -> dict[str, Any]:
        return {"area": self.area, "questions": self.questions, "points": [asdict(point) for point in self.points]}


def curves(rows: Sequence[Row]) -> dict[str, Any]:
    """The curve of each kind of error, and its area by itself."""
    curve_by = {by: curve(rows, by) for by in JUDGED_BY}
    return {
        "risk_coverage": {by: risk_curve.as_dict() for by, risk_curve in curve_by.items()},
        **{f"risk_area_{by}": risk_curve.area for by, risk_curve in curve_by.items()},
    }


def refused_at_85(rows: Sequence[Row], foreign: Sequence[Row]) -> tuple[float | None, dict[str, list[float]]]:
    """The threshold at which `COVERED` of the answerable questions are answered, and who would be refused there: 1 for
    every question that has no answer, or belongs to another corpus, and is below it.
    """
    threshold = threshold_at(COVERED, [row for row in rows if row["answerable"]])
    groups = {"unanswerable": [row for row in rows if not row["answerable"]], "foreign": foreign}
    return threshold, {
        f"refused_{name}_at_85": [] if threshold is None else [float(_confidence(row) < threshold) for row in questions]
        for name, questions in groups.items()
    }


def threshold_at(share: float, rows: Sequence[Row]) -> float | None:
    """The highest confidence from which on at least this share of the questions is answered; `None` where there is none."""
    confidences = sorted((sure for row in rows if (sure := _confidence(row)) >= 0), reverse=True)
    wanted = ceil(share * len(rows))
    return confidences[wanted - 1] if 0 < wanted <= len(confidences) else None


def curve(rows: Sequence[Row], by: str) -> Curve:
    """Over the questions that can be judged by it: those without an answer, and those with a gold one."""
    measure = JUDGED_BY[by]
    judged = [row for row in rows if not row["answerable"] or row[measure] is not None]
    answered = [row for row in judged if row["status"] == "answered" and row["confidence"] is not None]
    if not answered:
        return Curve((), None, len(judged))
    answered.sort(key=lambda row: -row["confidence"])
    sure = np.array([row["confidence"] for row in answered])
    risks = np.cumsum([not row["answerable"] or not row[measure] for row in answered]) / np.arange(1, len(answered) + 1)
    ends = np.append(np.flatnonzero(np.diff(sure)), len(answered) - 1)  # equal confidences are answered together
    drawn = ends[np.unique(np.linspace(0, len(ends) - 1, POINTS).round().astype(int))]
    points = tuple(Point(float(sure[i]), float((i + 1) / len(judged)), float(risks[i]), int(i + 1)) for i in drawn)
    return Curve(points, float(risks[ends].repeat(np.diff(ends, prepend=-1)).mean()), len(judged))


def plot(risk_curves: Mapping[str, Mapping[str, Any]], title: str) -> str:
    """The curves, as in `risk_coverage` of `curves`, as SVG."""
    series = {
        f"{by}, area {risk_curve['area']:.3f}": [(point["coverage"], point["risk"]) for point in risk_curve["points"]]
        for by, risk_curve in risk_curves.items()
        if risk_curve["points"]
    }
    return plots.lines(
        series, title=title, x_label="coverage: share of questions answered", y_label="risk: share of answers wrong"
    )


def _confidence(row: Row) -> float:
    """What never came to be graded was not answered from documents, at any threshold."""
    return -1.0 if row["confidence"] is None else float(row["confidence"])
