"""Changes since last week, from the local stores: quality, questions, retrieval, refusals, time, cost, parts."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from extensions.feedback.store import Outcome, verdicts_of
from extensions.reports.answers import AnswerFigures, nanoseconds, read_answers
from observability.evaluation import metrics
from observability.stores.costs import CostLedger
from observability.stores.spans import SpanStore

# Minimum answers in each period for a verdict
FEWEST = 30
RELABELLED, MOST = 400, 400
# 99 % instead of the usual 95: with a dozen figures a week, every second week would raise a false alarm.
LEVEL = 0.99

Judgement = Literal["moved", "as before", "too few"]


@dataclass(frozen=True, slots=True)
class Figure:
    """The means of a figure before and now, and their difference with its 99 % interval.

    Of "questions", `now` is the distance between those before and now, `before` the largest that is likely by chance.
    """

    words: str
    before: float | None
    now: float | None
    low: float | None
    high: float | None
    n_before: int
    n_now: int
    verdict: Judgement


@dataclass(frozen=True)
class Drift:
    """The drift report. `notes` name other changes: of the running parts, of tenants."""

    days: float
    figures: Mapping[str, Figure]
    notes: tuple[str, ...]

    @property
    def moved_figures(self) -> list[str]:
        return [name for name, figure in self.figures.items() if figure.verdict == "moved"]

    @property
    def conclusion(self) -> str:
        if self.moved_figures:
            return f"moved: {', '.join(self.moved_figures)}"
        if {figure.verdict for figure in self.figures.values()} == {"too few"}:
            return f"nothing can be said: it takes {FEWEST} answers before and {FEWEST} now"
        return "nothing moved"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"moved": self.moved_figures}


FIGURES = {
    "answered": "questions answered",
    "abstained": "abstained or refused",
    "failed": "failed",
    "confidence": "confidence in the evidence",
    "top_score": "best score of a search",
    "support": "written sentences supported by what they cite",
    "seconds": "seconds to answer",
    "usd": "USD of an answer",
    "accepted": "accepted, of the judged ones",
    "rejected": "rejected, of the judged ones",
}


def drift(
    spans: SpanStore,
    costs: CostLedger,
    outcomes: Sequence[Outcome],
    *,
    now: datetime,
    days: float = 7,
    seed: int = 7,
    changed: Callable[[str, str], Sequence[str]] = lambda *_: (),
) -> Drift:
    """Compare the last `days` with the same time before, for all tenants. `changed(old, new)` lists the
    differences between the runs of two manifests; it is called for each manifest that was new in one of the periods.
    """
    middle, begin = now - timedelta(days=days), now - timedelta(days=2 * days)
    rows = read_answers(spans, costs, verdicts_of(outcomes), since=begin, until=now)
    before, after = ([row for row in rows if (row.at_ns >= nanoseconds(middle)) is late] for late in (False, True))
    random = np.random.default_rng(seed)
    figures = {name: _figure(name, words, before, after, random) for name, words in FIGURES.items()}
    figures["questions"] = _questions(before, after, random)
    return Drift(days, figures, (*_notes(before, after), *_parts(rows, changed)))


def _figure(
    name: str, words: str, before: Sequence[AnswerFigures], after: Sequence[AnswerFigures], random: np.random.Generator
) -> Figure:
    values_before, values_after = (
        np.array([value for row in rows if (value := row.values[name]) is not None], dtype=np.float64)
        for rows in (before, after)
    )
    a, b = (float(values.mean()) if len(values) else None for values in (values_before, values_after))
    n = len(values_before), len(values_after)
    if min(n) < FEWEST:
        return Figure(words, a, b, None, None, *n, "too few")
    moves = metrics.resample_means(values_after, seed=random) - metrics.resample_means(values_before, seed=random)
    low, high = map(float, np.quantile(moves, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    return Figure(words, a, b, low, high, *n, "moved" if low > 0 or high < 0 else "as before")


def _questions(before: Sequence[AnswerFigures], after: Sequence[AnswerFigures], random: np.random.Generator) -> Figure:
    from scipy.spatial.distance import cdist

    # energy distance with a permutation test (Székely and Rizzo 2004): relabelled at random, it shows what chance does
    words = "distance of the questions (before: most by chance)"
    ours, theirs = (_some([row.signature for row in rows if row.signature], random) for rows in (before, after))
    n = len(ours), len(theirs)
    if min(n) < FEWEST:
        return Figure(words, None, None, None, None, *n, "too few")
    both = np.concatenate([ours, theirs])
    apart, first = cdist(both, both), np.arange(len(both)) < n[0]

    def energy(first: npt.NDArray[np.bool_]) -> float:
        """Return twice the mean distance between the two samples, less the mean distances within them."""
        across, ours, theirs = apart[first][:, ~first], apart[first][:, first], apart[~first][:, ~first]
        return float(2 * across.mean() - ours.mean() - theirs.mean())

    distance = energy(first)
    by_chance = float(np.quantile([energy(random.permutation(first)) for _ in range(RELABELLED)], LEVEL))
    return Figure(words, by_chance, distance, None, None, *n, "moved" if distance > by_chance else "as before")


def _some(signatures: Sequence[tuple[float, ...]], random: np.random.Generator) -> npt.NDArray[np.float64]:
    # the distance matrix grows with the square
    all_ = np.array(signatures, dtype=np.float64)
    return all_ if len(all_) <= MOST else all_[random.choice(len(all_), MOST, replace=False)]


def _notes(before: Sequence[AnswerFigures], after: Sequence[AnswerFigures]) -> list[str]:
    notes = []
    kinds = {"run manifest": lambda row: row.manifest_id[:12], "tenant": lambda row: row.tenant}
    for words, of in kinds.items():
        ours, theirs = (Counter(map(of, rows)) for rows in (before, after))
        come, gone = sorted(theirs.keys() - ours.keys()), sorted(ours.keys() - theirs.keys())
        if come and before:
            notes.append(f"new {words}: {', '.join(f'{name} ({theirs[name]} answers)' for name in come)}")
        if gone and after:
            notes.append(f"{words} no longer seen: {', '.join(gone)}")
    return notes


def _parts(rows: Sequence[AnswerFigures], changed: Callable[[str, str], Sequence[str]]) -> Iterator[str]:
    seen = {row.manifest_id for row in rows[:1]}
    for last, row in pairwise(rows):
        if row.manifest_id not in seen:
            seen.add(row.manifest_id)
            since = datetime.fromtimestamp(row.at_ns / 1e9, UTC)
            for line in changed(last.manifest_id, row.manifest_id):
                yield f"{row.manifest_id[:12]}, since {since:%Y-%m-%d %H:%M} UTC: {line}"
