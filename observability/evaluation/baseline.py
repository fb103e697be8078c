"""Hold today's answers against a baseline: each score before and now, the difference with its interval, and what of it is allowed."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Generic, TypeVar

import numpy as np

from foundation.errors import InvalidRequest
from observability.evaluation.metrics import Numbers, interval_of
from observability.rendering.formatting import figure
from observability.settings import Losses

Row = Mapping[str, Any]
D = TypeVar("D", bound="Difference")
# More is better for all but `leaked`
SCORES = (
    "recall_at_10", "ndcg_at_10", "mrr_at_10", "answer_contained", "citation_precision", "citation_recall", "refused", "tool_right", "passed",
    "leaked",
)  # fmt: skip
# Decimals in a baseline
DIGITS = 6
# A loss of this many standard errors shows at 95 % in four of five comparisons (Cohen, "Statistical Power Analysis", 1988)
STEPS = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)
# Rule of three: of n cases without a change, up to 3/n of all cases may have changed (Hanley and Lippman-Hand, 1983)
UNCHANGED = 3.0
READ_FIRST = 40
# Fields shown for both systems where a case ended differently
SHOWN = (
    "status", "answer", "citations", "drafts", "found", "passed", "recall_at_10", "ndcg_at_10", "answer_ms", "usd", "error"
)  # fmt: skip


@dataclass(frozen=True)
class Side:
    """One system and its results. A case that was asked several times has several rows."""

    name: str
    rows: Sequence[Row]
    corpus: str
    trials: str
    stack: Mapping[str, str]
    figures: Mapping[str, float]
    """Values measured once: open_s, ingest_s, documents, chunks."""
    stored: bool = False
    """Measured in an earlier run, so its times cannot be compared with today's."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A figure of both systems, and B - A with its 95 % interval. `threshold` is the allowed loss."""

    a: float
    b: float
    diff: float
    low: float | None
    high: float | None
    n: int
    threshold: float | None

    @property
    def cells(self) -> tuple[str, ...]:
        """A, B, B - A, the interval and the allowed loss, as reports write them."""
        interval = "" if self.low is None else f"{figure(self.low, signed=True)} to {figure(self.high, signed=True)}"
        allowed = "-" if self.threshold is None else figure(self.threshold)
        return figure(self.a), figure(self.b), figure(self.diff, signed=True), interval, allowed


@dataclass(frozen=True, kw_only=True)
class ScoreDifference(Difference):
    """A score of both systems, and what its cases can see."""

    spread: float
    """Standard deviation of B - A over the cases."""

    @property
    def detects(self) -> float:
        """The smallest loss that shows in four of five such comparisons. It follows from how far the answers of the same case differ."""
        # a share that never moved may still move in what was not asked
        return min(1.0, max(STEPS * self.spread / math.sqrt(self.n), UNCHANGED / self.n))

    @property
    def more(self) -> int | None:
        """Cases to add until the allowed loss is as small; `None` where no loss is allowed, or none is judged."""
        if not self.threshold:
            return None
        needed = math.ceil(max((STEPS * self.spread / self.threshold) ** 2, UNCHANGED / self.threshold))
        return max(0, needed - self.n)


@dataclass(frozen=True, kw_only=True)
class Comparison(Generic[D]):
    metrics: Mapping[str, D]
    changed: Sequence[Mapping[str, Any]]
    pairs: int
    a: Side
    b: Side

    @property
    def fallen(self) -> tuple[str, ...]:
        """The scores that lost more than is allowed: as they are, since the same models give nearly the same answers to the same cases."""
        gains = {name: -score.diff if name == "leaked" else score.diff for name, score in self.metrics.items()}
        limits = {name: score.threshold for name, score in self.metrics.items()}
        return tuple(name for name, limit in limits.items() if limit is not None and gains[name] < -limit - 1e-9)

    @property
    def inconclusive(self) -> tuple[str, ...]:
        """The scores that lost no more than is allowed on these cases, and whose interval reaches beyond it. A single leak is no matter of chance."""
        judged = {name: score for name, score in self.metrics.items() if name not in {"leaked", *self.fallen}}
        return tuple(
            name
            for name, score in judged.items()
            if score.threshold is not None and score.low is not None and score.low < -score.threshold - 1e-9
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON. `runs` holds every row, so that a side can be compared again later."""
        content = asdict(self)
        return content | {"runs": {"a": content.pop("a"), "b": content.pop("b")}}


def as_baseline(side: Side) -> dict[str, Any]:
    """Return what later runs are compared with: scores and answers, without times, money and memory."""
    keys = {"id", "question", "status", "answer", "drafts", *SCORES}

    def shorten(row: Row) -> dict[str, Any]:
        values = {key: value for key in sorted(keys) if (value := row.get(key)) not in (None, [])}
        return {key: round(value, DIGITS) if isinstance(value, float) else value for key, value in values.items()}

    rows = [shorten(row) for row in side.rows]
    return {"corpus": side.corpus, "trials": side.trials, "stack": dict(side.stack), "rows": rows}


def baseline_of(stored: Mapping[str, Any], name: str) -> Side:
    """Return the side that `as_baseline` wrote. Raises InvalidRequest: `stored` is no baseline."""
    try:
        return Side(name, stored["rows"], stored["corpus"], stored["trials"], stored["stack"], {}, stored=True)
    except (KeyError, TypeError) as error:
        raise InvalidRequest(
            f"{name} is no baseline: {error} is missing or wrong. Write one: make gate RENEW=1"
        ) from error


def compare(a: Side, b: Side, allowed: Losses, *, seed: int = 7) -> Comparison[ScoreDifference]:
    """Pair the rows by case, and hold each score's difference against the allowed loss. Raises as `demand_the_same`."""
    demand_the_same(a, b)
    pairs = pair_rows(a, b)
    metrics: dict[str, ScoreDifference] = {}
    for name in SCORES:
        both = [pair for pair in pairs if all(row.get(name) is not None for row in pair)]
        if both:
            # rounded, so that a baseline does not differ from itself
            ours, theirs = (
                np.array([row[name] for row in rows], np.float64).round(DIGITS) for rows in zip(*both, strict=True)
            )
            metrics[name] = _difference_of(ours, theirs, allowed[name], seed=seed)
    return Comparison(metrics=metrics, changed=find_changes(a, b), pairs=len(pairs), a=a, b=b)


def _difference_of(ours: Numbers, theirs: Numbers, threshold: float | None, *, seed: int) -> ScoreDifference:
    low, high = interval_of(lambda at: theirs[at].mean(axis=-1) - ours[at].mean(axis=-1), len(ours), seed=seed)
    before, now = float(ours.mean()), float(theirs.mean())
    spread = float(np.std(theirs - ours, ddof=1)) if len(ours) > 1 else 1.0
    return ScoreDifference(
        a=before, b=now, diff=now - before, low=low, high=high, n=len(ours), threshold=threshold, spread=spread
    )


def demand_the_same(a: Side, b: Side, *, otherwise: str = "Run both on the same data.") -> None:
    """Raises InvalidRequest: the corpora or the cases differ, so that a comparison would say nothing."""
    for what, ours, theirs in (("corpus", a.corpus, b.corpus), ("cases", a.trials, b.trials)):
        if ours != theirs:
            raise InvalidRequest(
                f"The {what} of the two runs differ (sha256 {ours[:12]} of {a.name}, {theirs[:12]} of {b.name}), so their "
                f"difference would say nothing about the systems. {otherwise}"
            )


def pair_rows(a: Side, b: Side) -> list[tuple[Row, Row]]:
    """Return the first rows of both sides for each case that both have."""
    theirs = {row["id"]: row for row in reversed(b.rows)}
    ours: dict[str, Row] = {}
    for row in a.rows:
        ours.setdefault(row["id"], row)
    return [(row, theirs[key]) for key, row in ours.items() if key in theirs]


def find_changes(a: Side, b: Side) -> list[dict[str, Any]]:
    """Return the cases whose outcome differs, side by side: losses of B first, then its gains."""
    changes = []
    for row_a, row_b in pair_rows(a, b):
        gain = _gain(row_a, row_b)
        if gain or any((row_a.get(key) or None) != (row_b.get(key) or None) for key in ("status", "answer", "drafts")):
            changes.append(
                {
                    "id": row_a["id"],
                    "question": row_a["question"],
                    "gold": list(row_a.get("gold_answers", ())),
                    "gold_documents": list(row_a.get("gold_documents", ())),
                    "gain": gain,
                    "a": {key: row_a[key] for key in SHOWN if row_a.get(key) is not None},
                    "b": {key: row_b[key] for key in SHOWN if row_b.get(key) is not None},
                }
            )
    return sorted(changes, key=lambda change: (change["gain"] >= 0, -abs(change["gain"])))


def read_first(changed: Sequence[Mapping[str, Any]], unread: Collection[str]) -> list[str]:
    """Return the ids of the cases that a person should read first: their answer changed, and either nobody has read the case or the
    scores do not say which answer is better. A case whose answers agree tells nothing about the difference.
    """
    doubtful = [change for change in changed if change["id"] in unread or not change["gain"]]
    return [change["id"] for change in sorted(doubtful, key=lambda change: change["id"] not in unread)][:READ_FIRST]


def _gain(row_a: Row, row_b: Row) -> float:
    passed = (row_b.get("passed") or 0.0) - (row_a.get("passed") or 0.0)
    before, after = (round(row.get("ndcg_at_10") or 0.0, DIGITS) for row in (row_a, row_b))
    return float(passed or (after - before) / 2)
