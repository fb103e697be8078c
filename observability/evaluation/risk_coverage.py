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

from observability.reports import svg

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
    found = {by: curve(rows, by) for by in JUDGED_BY}
    return {
        "risk_coverage": {by: one.as_dict() for by, one in found.items()},
        **{f"risk_area_{by}": one.area for by, one in found.items()},
    }


def refused_at_85(rows: Sequence[Row], foreign: Sequence[Row]) -> tuple[float | None, dict[str, list[float]]]:
    """The threshold at which `COVERED` of the answerable questions are answered, and who would be refused there: 1 for
    every question that has no answer, or belongs to another corpus, and is below it."""
    threshold = threshold_at(COVERED, [row for row in rows if row["answerable"]])
    asked = {"unanswerable": [row for row in rows if not row["answerable"]], "foreign": foreign}
    return threshold, {
        f"refused_{name}_at_85": [] if threshold is None else [float(_confidence(row) < threshold) for row in each]
        for name, each in asked.items()
    }


def threshold_at(share: float, rows: Sequence[Row]) -> float | None:
    """The highest confidence from which on at least this share of the questions is answered; `None` where there is none."""
    known = sorted((sure for row in rows if (sure := _confidence(row)) >= 0), reverse=True)
    wanted = ceil(share * len(rows))
    return known[wanted - 1] if 0 < wanted <= len(known) else None


def curve(rows: Sequence[Row], by: str) -> Curve:
    """Over the questions that can be judged by it: those without an answer, and those with a gold one."""
    measure = JUDGED_BY[by]
    judged = [row for row in rows if not row["answerable"] or row[measure] is not None]
    given = [row for row in judged if row["status"] == "answered" and row["confidence"] is not None]
    if not given:
        return Curve((), None, len(judged))
    given.sort(key=lambda row: -row["confidence"])
    sure = np.array([row["confidence"] for row in given])
    risks = np.cumsum([not row["answerable"] or not row[measure] for row in given]) / np.arange(1, len(given) + 1)
    ends = np.append(np.flatnonzero(np.diff(sure)), len(given) - 1)  # equal confidences are answered together
    kept = ends[np.unique(np.linspace(0, len(ends) - 1, POINTS).round().astype(int))]
    points = tuple(Point(float(sure[i]), float((i + 1) / len(judged)), float(risks[i]), int(i + 1)) for i in kept)
    return Curve(points, float(risks[ends].repeat(np.diff(ends, prepend=-1)).mean()), len(judged))


def plot(found: Mapping[str, Mapping[str, Any]], title: str) -> str:
    """The curves, as in `risk_coverage` of `curves`, as SVG."""
    series = {
        f"{by}, area {one['area']:.3f}": [(point["coverage"], point["risk"]) for point in one["points"]]
        for by, one in found.items()
        if one["points"]
    }
    return svg.lines(
        series, title=title, x_label="coverage: share of questions answered", y_label="risk: share of answers wrong"
    )


def _confidence(row: Row) -> float:
    """What never came to be graded was not answered from documents, at any threshold."""
    return -1.0 if row["confidence"] is None else float(row["confidence"])
