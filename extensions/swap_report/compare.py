"""Compare two systems on the same questions: the differences, their intervals, and whether B may replace A."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from extensions.swap_report.differences import MEASURES, PEAK, Judgement, SwapDifference, difference_of
from observability.evaluation import baseline
from observability.evaluation.baseline import DIGITS, Row, Side
from observability.settings import Losses
from serving.judge.trial import WRITERS

# Possible fates of a text that the chat model wrote, with their description
DRAFTS = {
    "shown": "shown unmarked",
    "marked": "shown with marks, or with statements left out",
    "discarded": "discarded, quotes shown instead",
    "refused": "refused, nothing shown",
}
UNSEEN = frozenset({"discarded", "refused"})


@dataclass(frozen=True, kw_only=True)
class Comparison(baseline.Comparison[SwapDifference]):
    verdict: Judgement
    reason: str
    repeats: int
    drafts: Mapping[str, Mapping[str, int]]
    """For "a" and "b", the number of texts that the chat model wrote (`n`), and the numbers of each fate (`DRAFTS`)."""
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        return int(self.verdict == "worse")


def compare(a: Side, b: Side, allowed: Losses, *, seed: int = 7) -> Comparison:
    """Pair the rows by trial, and judge each difference against the allowed loss, then all together. Raises as `baseline.demand_the_same`."""
    baseline.demand_the_same(a, b)
    ours, theirs = _by_trial(a.rows), _by_trial(b.rows)
    metrics: dict[str, SwapDifference] = {}
    for measure in (*MEASURES, PEAK):
        pairs: list[tuple[Row, Row]] = [(ours[key], theirs[key]) for key in ours if key in theirs]
        if measure is PEAK:
            pairs = [(a.figures, b.figures)]
        pairs = [pair for pair in pairs if all(row.get(key) is not None for row in pair for key in measure.keys)]
        if pairs:
            digits = (
                12 if measure.relative else DIGITS
            )  # a baseline, whose scores are rounded, must not differ from itself
            of_a, of_b = (
                [np.array([row[key] for row in rows], dtype=np.float64).round(digits) for key in measure.keys]
                for rows in zip(*pairs, strict=True)
            )
            stale = measure.relative and (a.stored or b.stored)
            allowed_loss = None if stale else allowed[measure.name]
            metrics[measure.name] = difference_of(measure, of_a, of_b, allowed_loss, seed=seed)
    metrics = _without_unseen_equals(metrics, a, b)
    verdict, reason = _overall(metrics)
    return Comparison(
        verdict=verdict,
        reason=reason,
        metrics=metrics,
        changed=baseline.find_changes(a, b),
        pairs=len(ours.keys() & theirs.keys()),
        repeats=max(Counter(row["id"] for row in b.rows).values(), default=0),
        drafts={"a": count_drafts(a.rows), "b": count_drafts(b.rows)},
        a=a,
        b=b,
        notes=_notes(metrics, a, b),
    )


def count_drafts(rows: Sequence[Row]) -> dict[str, int]:
    """Return the number of texts that the chat model wrote in these rows, and the numbers of each fate.

    >>> count_drafts([{"drafts": ["shown"]}, {"drafts": ["discarded", "shown"]}, {}])
    {'n': 3, 'shown': 2, 'marked': 0, 'discarded': 1, 'refused': 0}
    """
    outcomes = [outcome for row in rows for outcome in row.get("drafts") or ()]
    return {"n": len(outcomes), **{outcome: outcomes.count(outcome) for outcome in DRAFTS}}


def _without_unseen_equals(metrics: Mapping[str, SwapDifference], a: Side, b: Side) -> dict[str, SwapDifference]:
    # the same model with the same prompts writes the same drafts
    writers = [{key: value for key, value in side.stack.items() if key.startswith(WRITERS)} for side in (a, b)]
    unseen = {row["id"] for side in (a, b) for row in side.rows if UNSEEN.intersection(row.get("drafts") or ())}
    asked = {row["id"] for side in (a, b) for row in side.rows if row.get("asked")}
    share = 0.0 if writers[0] == writers[1] or not asked else len(unseen) / len(asked)
    of_texts = {measure.name for measure in MEASURES if measure.of_texts}
    # a draft that nobody saw may have been better or worse: the systems may differ by as large a share as that
    return {
        name: replace(difference, verdict="unseen")
        if name in of_texts and difference.verdict == "equal" and share > (difference.threshold or 0.0)
        else difference
        for name, difference in metrics.items()
    }


def _by_trial(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row["id"], []).append(row)
    joined = {key: dict(repeats[0]) for key, repeats in grouped.items()}
    for column in {column for measure in MEASURES for column in measure.keys}:
        # the median of times and money, against spikes
        middle = np.median if column == "usd" or column.endswith("_ms") else np.mean
        for key, repeats in grouped.items():
            if values := [row[column] for row in repeats if row.get(column) is not None]:
                joined[key][column] = float(middle(values))
    return joined


def _overall(metrics: Mapping[str, SwapDifference]) -> tuple[Judgement, str]:
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
            else f"About {more} more cases that have these figures would decide it."
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


def _notes(metrics: Mapping[str, SwapDifference], a: Side, b: Side) -> tuple[str, ...]:
    notes = [
        f"{hidden} of the {counts['n']} texts that the chat model of {side.name} wrote were not shown: no figure here says how good "
        "they are."
        for side in (a, b)
        if (hidden := sum((counts := count_drafts(side.rows))[outcome] for outcome in UNSEEN))
    ]
    blind = [
        f"{name} up to {min(1.0, 3 / figure.n):.1%} (n={figure.n})"
        for name, figure in metrics.items()
        if figure.unit == "share" and figure.low == figure.high == 0 and 3 / figure.n > (figure.threshold or 0.0)
    ]
    if blind:
        notes.append(
            "No case differed, so the interval has no width. Still, of all cases more than is allowed may be lost (rule of three): "
            f"{', '.join(blind)}."
        )
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
