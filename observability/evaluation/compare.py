"""Two systems on the same trials: what differs, how surely, and whether the swap may be made.

Every figure is a difference of pairs: the same question to both. Its interval is a percentile bootstrap over the pairs
(Efron 1979), the questions drawn once for all figures. scipy.stats.bootstrap was rejected: scipy is here only because a
dependency brings it, and its default interval (BCa) is undefined where no pair differs, which is the best case of a swap.

Times, and money that is paid by time, are measured and not counted: the same question never takes equally long twice.
So each question is asked three times in turns, the median of its times counts, and a difference within the margin of
`[observability.compare]` is called equal: otherwise a stall of the machine would decide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from foundation.errors import InvalidRequest
from observability.settings import CompareSettings

Row = Mapping[str, Any]
Numbers = npt.NDArray[np.float64]
Judgement = Literal["better", "equal", "worse", "undecided", "unseen", "shown"]
RESAMPLES, BLOCK = 2000, 100
FEWEST = 8
"""Pairs from which an interval is taken for one. Below, all pairs may differ in one way by chance, without any width."""
MOST = 1_000_000
"""More cases than anybody has: the difference lies too near the threshold to be decided by counting."""
DIGITS = 6
"""After the point, in a baseline."""


@dataclass(frozen=True)
class Measure:
    """What is compared. `keys` are the columns of a row that it needs; a pair counts where both systems have them."""

    name: str
    words: str
    keys: tuple[str, ...]
    statistic: Callable[..., Numbers]
    """Of the columns, each of shape (..., cases): one number for each sample of cases."""
    unit: str = "share"
    more_is_better: bool = True
    relative: bool = False
    """Whether the threshold is a share of A's figure."""
    certain: bool = False
    """Judged by the figure alone: one case is too many, or there is only one measurement."""
    timed: bool = False
    of_texts: bool = False
    """Whether it is a figure of what people read, so that it says nothing of drafts that they never saw."""
    of_pairs: bool = False
    """Whether the difference is the statistic of B minus A, pair by pair, and not what the two statistics differ by."""


def _mean(values: Numbers) -> Numbers:
    return np.asarray(values.mean(axis=-1))


def _per_correct(usd: Numbers, correct: Numbers) -> Numbers:
    """Not a number where nothing was correct."""
    right = correct.sum(axis=-1)
    return np.asarray(np.divide(usd.sum(axis=-1), right, out=np.full(right.shape, math.nan), where=right > 0))


def _share(name: str, words: str, **more: Any) -> Measure:
    return Measure(name, words, (name,), _mean, **more)


def _time(name: str, words: str, key: str, percent: int) -> Measure:
    def statistic(values: Numbers) -> Numbers:
        return np.asarray(np.percentile(values, percent, axis=-1))

    return Measure(
        name,
        words,
        (key,),
        statistic,
        unit="ms",
        of_pairs=percent == 50,
        more_is_better=False,
        relative=True,
        timed=True,
    )


MEASURES = (
    _share("recall_at_10", "gold documents among the first ten"),
    _share("ndcg_at_10", "nDCG of the first ten"),
    _share("mrr_at_10", "reciprocal rank of the first gold document"),
    _share("answer_contained", "gold fact in the answer", of_texts=True),
    _share("citation_precision", "cited documents that are gold", of_texts=True),
    _share("citation_recall", "gold documents that are cited", of_texts=True),
    _share("refused", "refused what cannot be answered", of_texts=True),
    _share("tool_right", "right tool, right arguments"),
    _share("passed", "did what it should", of_texts=True),
    _share("leaked", "showed a forbidden document", more_is_better=False, certain=True),
    _time("answer_p50_ms", "time to answer, median", "answer_ms", 50),
    _time("answer_p95_ms", "time to answer, 95th percentile", "answer_ms", 95),
    _time("search_p50_ms", "time to search, median", "search_ms", 50),
    _time("search_p95_ms", "time to search, 95th percentile", "search_ms", 95),
    Measure("usd_per_answer", "cost of an answer", ("usd",), _mean, "USD", more_is_better=False, relative=True, timed=True),
    Measure(
        "usd_per_correct_answer", "cost of a correct answer", ("usd", "passed"), _per_correct, "USD",
        more_is_better=False, relative=True, timed=True,
    ),
)  # fmt: skip
PEAK = Measure(
    "peak_rss_mb", "most memory held", (), _mean, "MB", more_is_better=False, relative=True, certain=True, timed=True
)
BETTER = {measure.name: 1 if measure.more_is_better else -1 for measure in (*MEASURES, PEAK)}
"""The sign of a gain."""
DRAFTS = {
    "shown": "shown unmarked",
    "marked": "shown with marks, or with statements left out",
    "discarded": "discarded, quotes shown instead",
    "refused": "refused, nothing shown",
}
"""What can become of a text that the chat model wrote, in words."""
UNSEEN = frozenset({"discarded", "refused"})
WRITERS = ("models.chat.", "models.fallbacks", "models.tenants.", "orchestration.agent.", "prompts.")
"""What a stack says of whoever writes the drafts."""


@dataclass(frozen=True)
class Side:
    """One system and what it did. A trial asked several times has several rows."""

    name: str
    rows: Sequence[Row]
    corpus: str
    trials: str
    stack: Mapping[str, str]
    figures: Mapping[str, float]
    """What was measured once: peak_rss_mb, open_s, ingest_s, documents, chunks."""
    stored: bool = False
    """Measured in an earlier run: its times say nothing beside today's."""


@dataclass(frozen=True)
class Difference:
    """A figure of both, and B minus A with its 95 % interval. `threshold` is the loss that is allowed, in `unit`.

    Of a median time, `diff` is the median of the pairs' differences: how much longer the same question took.
    """

    a: float
    b: float
    diff: float
    low: float | None
    high: float | None
    n: int
    unit: str
    threshold: float | None
    verdict: Judgement
    more_needed: int | None = None
    """Undecided: so many more cases would probably decide it; `None` where no number would."""


@dataclass(frozen=True)
class Comparison:
    """The whole report."""

    verdict: Judgement
    reason: str
    metrics: Mapping[str, Difference]
    changed: Sequence[Mapping[str, Any]]
    pairs: int
    repeats: int
    drafts: Mapping[str, Mapping[str, int]]
    """For "a" and "b" how many texts the chat model wrote (`n`), and what became of them (`DRAFTS`)."""
    a: Side
    b: Side
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON. `runs` hold every row, so that a side can be compared again later."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "metrics": {name: asdict(difference) for name, difference in self.metrics.items()},
            "pairs": self.pairs,
            "repeats": self.repeats,
            "drafts": {side: dict(counts) for side, counts in self.drafts.items()},
            "notes": list(self.notes),
            "changed": list(self.changed),
            "runs": {"a": asdict(self.a), "b": asdict(self.b)},
        }

    @property
    def exit_code(self) -> int:
        return {"worse": 1, "undecided": 2}.get(self.verdict, 0)


def side_of(report: Mapping[str, Any], name: str) -> Side:
    """The B side of an earlier report: the system that the swap led to.

    Raises:
        InvalidRequest: this is no such report.
    """
    try:
        return Side(**{**report["runs"]["b"], "name": name, "stored": True})
    except (KeyError, TypeError) as error:
        raise InvalidRequest(f"{name} is no report of swap-report: {error} is missing or wrong.") from error


def as_baseline(side: Side) -> dict[str, Any]:
    """What a later run is held against: scores and answers, without times, money and memory of this machine."""
    keys = {"id", "question", "status", "answer", "drafts"} | {
        key for measure in MEASURES if not measure.timed for key in measure.keys
    }
    rows = [{key: _short(row[key]) for key in sorted(keys) if row.get(key) not in (None, [])} for row in side.rows]
    return {"corpus": side.corpus, "trials": side.trials, "stack": dict(side.stack), "rows": rows}


def _short(value: object) -> object:
    return round(value, DIGITS) if isinstance(value, float) else value


def baseline_of(stored: Mapping[str, Any], name: str) -> Side:
    """The side that `as_baseline` wrote.

    Raises:
        InvalidRequest: this is no such file.
    """
    try:
        return Side(name, stored["rows"], stored["corpus"], stored["trials"], stored["stack"], {}, stored=True)
    except (KeyError, TypeError) as error:
        raise InvalidRequest(
            f"{name} is no baseline: {error} is missing or wrong. Write one: make gate RENEW=1"
        ) from error


def compare(a: Side, b: Side, allowed: CompareSettings, *, seed: int = 7) -> Comparison:
    """Pair the rows by trial, difference them, judge each figure against the loss that is allowed, and the whole.

    Raises:
        InvalidRequest: the corpora or the trials of the two differ.
    """
    demand_the_same(a, b)
    ours, theirs = _by_trial(a.rows), _by_trial(b.rows)
    thresholds = allowed.model_dump()
    metrics: dict[str, Difference] = {}
    for measure in MEASURES:
        pairs = [
            key
            for key in ours
            if key in theirs and all(_has(ours[key], theirs[key], column) for column in measure.keys)
        ]
        if pairs:
            our_columns, their_columns = (
                [_column(rows, pairs, column) for column in measure.keys] for rows in (ours, theirs)
            )
            allowed_loss = None if _stale(measure, a, b) else thresholds[measure.name]
            metrics[measure.name] = _difference(measure, our_columns, their_columns, allowed_loss, seed=seed)
    if "peak_rss_mb" in a.figures and "peak_rss_mb" in b.figures:
        metrics[PEAK.name] = _peak(a, b, thresholds[PEAK.name])
    drafts = {"a": count_drafts(a.rows), "b": count_drafts(b.rows)}
    metrics = _without_unseen_equals(metrics, a, b)
    verdict, reason = _overall(metrics)
    repeats = max((len([1 for row in b.rows if row["id"] == key]) for key in list(theirs)[:1]), default=0)
    return Comparison(
        verdict,
        reason,
        metrics,
        find_changes(a, b),
        len(ours.keys() & theirs.keys()),
        repeats,
        drafts,
        a,
        b,
        _notes(metrics, a, b),
    )


def demand_the_same(a: Side, b: Side, *, otherwise: str = "Run both on the same data.") -> None:
    """Two runs on different data must not be compared.

    Raises:
        InvalidRequest: the corpora or the trials differ.
    """
    for what, ours, theirs in (("corpus", a.corpus, b.corpus), ("cases", a.trials, b.trials)):
        if ours != theirs:
            raise InvalidRequest(
                f"The {what} of the two runs differ (sha256 {ours[:12]} of {a.name}, {theirs[:12]} of {b.name}), so their "
                f"difference would say nothing about the systems. {otherwise}"
            )


def count_drafts(rows: Sequence[Row]) -> dict[str, int]:
    """How many texts the chat model wrote in these rows, and what became of them.

    >>> count_drafts([{"drafts": ["shown"]}, {"drafts": ["discarded", "shown"]}, {}])
    {'n': 3, 'shown': 2, 'marked': 0, 'discarded': 1, 'refused': 0}
    """
    outcomes = [outcome for row in rows for outcome in row.get("drafts") or ()]
    return {"n": len(outcomes), **{outcome: outcomes.count(outcome) for outcome in DRAFTS}}


def _without_unseen_equals(metrics: Mapping[str, Difference], a: Side, b: Side) -> dict[str, Difference]:
    """The figures, of which none of what people read is equal by drafts that they never saw: these may be better or worse by
    as large a share. Where the same model writes by the same prompts, its drafts differ in nothing."""
    writers = [{key: value for key, value in side.stack.items() if key.startswith(WRITERS)} for side in (a, b)]
    unseen = {row["id"] for side in (a, b) for row in side.rows if UNSEEN.intersection(row.get("drafts") or ())}
    asked = {row["id"] for side in (a, b) for row in side.rows if row.get("asked")}
    share = 0.0 if writers[0] == writers[1] or not asked else len(unseen) / len(asked)
    of_texts = {measure.name for measure in MEASURES if measure.of_texts}
    return {
        name: replace(difference, verdict="unseen")
        if name in of_texts and difference.verdict == "equal" and share > (difference.threshold or 0.0)
        else difference
        for name, difference in metrics.items()
    }


def _by_trial(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """One row a trial: the mean of its repeats for scores, the median for times and money, where a spike is no repeat."""
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row["id"], []).append(row)
    return {key: _join_repeats(repeats) for key, repeats in grouped.items()}


def _join_repeats(repeats: Sequence[Row]) -> dict[str, Any]:
    joined = dict(repeats[0])
    for key in {key for measure in MEASURES for key in measure.keys}:
        values = [row[key] for row in repeats if row.get(key) is not None]
        if values:
            joined[key] = float(np.median(values) if key == "usd" or key.endswith("_ms") else np.mean(values))
    return joined


def _has(ours: Row, theirs: Row, key: str) -> bool:
    return ours.get(key) is not None and theirs.get(key) is not None


def _column(rows: Mapping[str, Row], pairs: Sequence[str], key: str) -> Numbers:
    return np.array([rows[pair][key] for pair in pairs], dtype=np.float64)


def _stale(measure: Measure, a: Side, b: Side) -> bool:
    return measure.timed and (a.stored or b.stored)


def _difference(
    measure: Measure,
    ours: Sequence[Numbers],
    theirs: Sequence[Numbers],
    allowed: float | None,
    *,
    seed: int,
) -> Difference:
    n, random = len(ours[0]), np.random.default_rng(seed)
    a, b = (float(measure.statistic(*columns)) for columns in (ours, theirs))
    draws = (random.integers(0, n, size=(BLOCK, n)) for _ in range(RESAMPLES // BLOCK))
    drawn = [_apart(measure, [column[d] for column in ours], [column[d] for column in theirs]) for d in draws]
    differences = np.concatenate(drawn)
    differences = differences[~np.isnan(differences)]
    low, high = (
        (float(value) for value in np.percentile(differences, [2.5, 97.5])) if len(differences) else (None, None)
    )
    diff, threshold = float(_apart(measure, ours, theirs)), _threshold(measure, a, allowed)
    verdict, more = _judge(measure, diff, low=low, high=high, threshold=threshold, a=a, n=n)
    return Difference(a, b, diff, low, high, n, measure.unit, threshold, verdict, more)


def _apart(measure: Measure, ours: Sequence[Numbers], theirs: Sequence[Numbers]) -> Numbers:
    if measure.of_pairs:
        return measure.statistic(*(their - our for our, their in zip(ours, theirs, strict=True)))
    return measure.statistic(*theirs) - measure.statistic(*ours)


def _threshold(measure: Measure, a: float, allowed: float | None) -> float | None:
    if allowed is None or math.isnan(a):
        return None
    return allowed * abs(a) if measure.relative else allowed


def _judge(
    measure: Measure, diff: float, *, low: float | None, high: float | None, threshold: float | None, a: float, n: int
) -> tuple[Judgement, int | None]:
    """Worse: surely lost more than allowed. Equal: surely did not. Better: surely gained, and may not have lost.

    What is measured must have gained as much as it might have lost: with a quarter allowed, B is better from four fifths
    of A downwards. Otherwise every second run of a system against itself would be better by a hair.
    """
    if threshold is None or math.isnan(diff):
        return "shown", None
    gain, least, most = (diff, low, high) if measure.more_is_better else (-diff, _minus(high), _minus(low))
    enough = threshold * abs(a) / (abs(a) + threshold) if measure.relative and a else 0.0
    if measure.certain or least is None or most is None:
        return ("worse" if gain < -threshold else "better" if gain > enough else "equal"), None
    if diff and n < FEWEST:
        return "undecided", FEWEST - n
    if least >= -threshold:
        return ("better" if least > enough else "equal"), None
    if most < -threshold:
        return "worse", None
    return "undecided", _more_needed(gain, least, most, threshold, n)


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def _more_needed(gain: float, least: float, most: float, threshold: float, n: int) -> int | None:
    """An interval narrows with the root of the number of cases; it must become narrower than the way to the threshold."""
    way = abs(gain + threshold)
    half = max(gain - least, most - gain)
    needed = math.inf if way == 0 else n * (half / way) ** 2
    return math.ceil(needed - n) if needed < MOST else None


def _peak(a: Side, b: Side, allowed: float | None) -> Difference:
    ours, theirs = a.figures[PEAK.name], b.figures[PEAK.name]
    threshold = None if _stale(PEAK, a, b) else _threshold(PEAK, ours, allowed)
    verdict, _ = _judge(PEAK, theirs - ours, low=None, high=None, threshold=threshold, a=ours, n=1)
    return Difference(ours, theirs, theirs - ours, None, None, 1, PEAK.unit, threshold, verdict)


def _overall(metrics: Mapping[str, Difference]) -> tuple[Judgement, str]:
    by: dict[str, list[str]] = {}
    for name, difference in metrics.items():
        by.setdefault(difference.verdict, []).append(name)
    if worse := by.get("worse"):
        return "worse", f"B loses more than [observability.compare] allows on {', '.join(worse)}."
    if open_ := by.get("undecided"):
        needed = [metrics[name].more_needed for name in open_]
        more = max((cases for cases in needed if cases is not None), default=None)
        how = (
            "No number of cases would settle it: a difference lies at its threshold."
            if None in needed
            else f"About {more} more cases would decide it."
        )
        return "undecided", f"The cases are too few to tell on {', '.join(open_)}. {how}"
    if better := by.get("better"):
        return "better", f"B gains on {', '.join(better)}, and loses no more than is allowed on anything."
    if unseen := by.get("unseen"):
        return "undecided", (
            f"People saw the same, but not all that was written, so the two are not equal on {', '.join(unseen)}. Compare them "
            "with an agent that shows what its model writes (docs/agents.md)."
        )
    return "equal", "B loses no more than [observability.compare] allows on anything."


def _notes(metrics: Mapping[str, Difference], a: Side, b: Side) -> tuple[str, ...]:
    notes = [
        f"{hidden} of the {counts['n']} texts that the chat model of {side.name} wrote were not shown: no figure here says how good "
        "they are."
        for side in (a, b)
        if (hidden := sum((counts := count_drafts(side.rows))[outcome] for outcome in UNSEEN))
    ]
    shares = [
        difference
        for difference in metrics.values()
        if difference.unit == "share" and not difference.diff and difference.low == difference.high
    ]
    if shares:
        n = max(difference.n for difference in shares)
        notes.append(f"Where no case of {n} differed, up to {3 / n:.1%} of all cases still may (rule of three).")
    prompts = [{key for key in side.stack if key.startswith("prompts.")} for side in (a, b)]
    notes += [
        f"The prompt {key.removeprefix('prompts.')} is {b.stack.get(key, 'not there')} in B, {a.stack.get(key, 'not there')} in A."
        for key in sorted(prompts[0] | prompts[1])
        if all(prompts) and a.stack.get(key) != b.stack.get(key)
    ]
    if a.stored or b.stored:
        notes.append("One side was measured in an earlier run: times, money and memory are shown and not judged.")
    unpriced = sum(row.get("asked", False) and row.get("usd") is None for side in (a, b) for row in side.rows)
    if unpriced:
        notes.append(
            f"{unpriced} answers have no known price; they are left out of the cost figures, which are too low."
        )
    return tuple(notes)


def find_changes(a: Side, b: Side) -> list[dict[str, Any]]:
    """The trials whose outcome differs, side by side: the ones that B spoils first, then those that it mends."""
    ours, theirs = _first(a.rows), _first(b.rows)
    pairs = [(ours[key], theirs[key]) for key in ours if key in theirs]
    changes = [
        {
            "id": row_a["id"],
            "question": row_a["question"],
            "gold": list(row_a.get("gold_answers", ())),
            "gold_documents": list(row_a.get("gold_documents", ())),
            "gain": _gain(row_a, row_b),
            "a": _select_shown(row_a),
            "b": _select_shown(row_b),
        }
        for row_a, row_b in pairs
        if _gain(row_a, row_b)
        or row_a.get("status") != row_b.get("status")
        or row_a.get("answer") != row_b.get("answer")
        or (row_a.get("drafts") or []) != (row_b.get("drafts") or [])
    ]
    return sorted(changes, key=lambda change: (change["gain"] >= 0, -abs(change["gain"])))


def _first(rows: Sequence[Row]) -> dict[str, Row]:
    return {row["id"]: row for row in reversed(rows)}


def _gain(row_a: Row, row_b: Row) -> float:
    """What B did better on this one: whether it did what it should, and only then how well it searched."""
    passed = (row_b.get("passed") or 0.0) - (row_a.get("passed") or 0.0)
    return float(passed or (_round_score(row_b, "ndcg_at_10") - _round_score(row_a, "ndcg_at_10")) / 2)


def _round_score(row: Row, key: str) -> float:
    """As a baseline keeps it, which must not differ from itself."""
    return round(row.get(key) or 0.0, DIGITS)


def _select_shown(row: Row) -> dict[str, Any]:
    names = (
        "status",
        "answer",
        "citations",
        "drafts",
        "found",
        "passed",
        "recall_at_10",
        "ndcg_at_10",
        "answer_ms",
        "usd",
        "error",
    )
    return {name: row[name] for name in names if row.get(name) is not None}
