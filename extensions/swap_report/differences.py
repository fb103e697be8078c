"""The difference between two systems in one figure: its interval, and whether it is an allowed loss."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from observability.evaluation.baseline import Difference
from observability.evaluation.metrics import Numbers, interval_of

Judgement = Literal["better", "equal", "worse", "undecided", "unseen", "shown"]
# Minimum pairs for an interval. With fewer, all may differ in the same way by chance, and the interval has no width.
FEWEST = 8
# More cases than anybody has: beyond, the difference is too near the threshold to be decided by more cases
MOST = 1_000_000


@dataclass(frozen=True)
class Measure:
    """A measure to compare. `keys` are the columns it needs; a pair counts where both systems have them."""

    name: str
    words: str
    keys: tuple[str, ...]
    statistic: Callable[..., Numbers]
    """Maps the columns, each of shape (..., cases), to one number per sample of cases."""
    unit: str = "share"
    more_is_better: bool = True
    relative: bool = False
    """Time, money or memory: it varies between runs, and the threshold is a fraction of A's value."""
    certain: bool = False
    """Judge the value alone, without interval: one case is too many, or there is only one measurement."""
    of_texts: bool = False
    """Whether it measures texts that people read, so that it says nothing about drafts they never saw."""
    of_pairs: bool = False
    """Whether to take the statistic of the pairwise differences B - A, not the difference of the statistics."""


def _mean(values: Numbers) -> Numbers:
    return np.asarray(values.mean(axis=-1))


def _per_correct(usd: Numbers, correct: Numbers) -> Numbers:
    # where nothing was correct, NaN
    right = correct.sum(axis=-1)
    return np.asarray(np.divide(usd.sum(axis=-1), right, out=np.full(right.shape, math.nan), where=right > 0))


def _share(name: str, words: str, **more: Any) -> Measure:
    return Measure(name, words, (name,), _mean, **more)


def _time(name: str, words: str, key: str, percent: int) -> Measure:
    def statistic(values: Numbers) -> Numbers:
        return np.asarray(np.percentile(values, percent, axis=-1))

    return Measure(name, words, (key,), statistic, "ms", more_is_better=False, relative=True, of_pairs=percent == 50)


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
    Measure("usd_per_answer", "cost of an answer", ("usd",), _mean, "USD", more_is_better=False, relative=True),
    Measure(
        "usd_per_correct_answer", "cost of a correct answer", ("usd", "passed"), _per_correct, "USD",
        more_is_better=False, relative=True,
    ),
)  # fmt: skip


PEAK = Measure(
    "peak_rss_mb", "most memory held", ("peak_rss_mb",), _mean, "MB", more_is_better=False, relative=True, certain=True
)


# Sign of a gain, by measure
BETTER = {measure.name: 1 if measure.more_is_better else -1 for measure in (*MEASURES, PEAK)}


@dataclass(frozen=True, kw_only=True)
class SwapDifference(Difference):
    """A measure of both systems. For a median time, `diff` is the median of the pairwise differences: how much longer the same question took."""

    unit: str
    verdict: Judgement
    more_needed: int | None = None
    """Additional cases that would probably decide an "undecided" one; `None` where no number would."""


def difference_of(
    measure: Measure, ours: Sequence[Numbers], theirs: Sequence[Numbers], allowed: float | None, *, seed: int
) -> SwapDifference:
    """Compare the columns of both systems against the allowed loss. A single pair has no interval."""
    n = len(ours[0])
    a, b = (float(measure.statistic(*columns)) for columns in (ours, theirs))
    # a sample without a right answer has no cost per right answer
    low, high = interval_of(
        lambda at: _apart(measure, [it[at] for it in ours], [it[at] for it in theirs]), n, seed=seed
    )
    diff = float(_apart(measure, ours, theirs))
    threshold = None if allowed is None or math.isnan(a) else allowed * abs(a) if measure.relative else allowed
    verdict, more = _judge(measure, diff, low=low, high=high, threshold=threshold, a=a, n=n)
    return SwapDifference(
        a=a,
        b=b,
        diff=diff,
        low=low,
        high=high,
        n=n,
        threshold=threshold,
        unit=measure.unit,
        verdict=verdict,
        more_needed=more,
    )


def _apart(measure: Measure, ours: Sequence[Numbers], theirs: Sequence[Numbers]) -> Numbers:
    if measure.of_pairs:
        return measure.statistic(*(their - our for our, their in zip(ours, theirs, strict=True)))
    return measure.statistic(*theirs) - measure.statistic(*ours)


def _judge(
    measure: Measure, diff: float, *, low: float | None, high: float | None, threshold: float | None, a: float, n: int
) -> tuple[Judgement, int | None]:
    """Return the verdict. Worse: surely lost more than allowed. Equal: surely did not. Better: surely gained enough."""
    if threshold is None or math.isnan(diff):
        return "shown", None
    # a relative measure must gain as much as it might lose: a quarter is allowed, so B is better at four fifths of A
    enough = threshold * abs(a) / (abs(a) + threshold) if measure.relative and a else 0.0
    sign = 1 if measure.more_is_better else -1
    gain = sign * diff
    if not measure.certain and n < FEWEST:
        return "undecided", FEWEST - n
    if measure.certain or low is None or high is None:
        return ("worse" if gain < -threshold else "better" if gain > enough else "equal"), None
    least, most = sorted((sign * low, sign * high))
    if least >= -threshold:
        return ("better" if least > enough else "equal"), None
    if most < -threshold:
        return "worse", None
    # Intervals narrow with the root of the number of cases; this one must get narrower than the way to the threshold.
    way, half = abs(gain + threshold), max(gain - least, most - gain)
    needed = math.inf if way == 0 else n * (half / way) ** 2
    return "undecided", math.ceil(needed - n) if needed < MOST else None
