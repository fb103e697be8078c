"""Quality against money and time: chat models alone and in cascades, and the cheapest way that keeps the outcome contract."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from extensions.value.outcome_contract import OutcomeContract
from observability.evaluation.floors import floors_of, measure_floors
from observability.evaluation.golden_set import CaseScore
from observability.evaluation.metrics import Estimate, estimate
from orchestration.events import Answer

# Thresholds that are tried, quantiles of the confidences
STEPS = 8
WhyUp = Callable[[Answer, float], str | None]


@dataclass(frozen=True)
class Point:
    """One way to answer, measured on some cases."""

    name: str
    up_below: float | None
    """Confidence below which the next model is asked; `None` for a model alone."""
    went_up: float
    """Share of the cases that the first model passed on to the next."""
    passed: Estimate
    usd: Estimate
    seconds: Estimate
    usd_per_accepted: float | None
    """Cost of all answers per accepted one; `None` where unknown."""
    broken: tuple[str, ...]
    """Floors of the contract that are not met."""


def draw_frontier(
    models: Mapping[str, Sequence[CaseScore]], why_up: WhyUp, contract: OutcomeContract, *, seed: int
) -> tuple[list[Point], Point | None]:
    """Return the points on one half of the cases, and the one that the other half chose: the cheapest per accepted answer
    that keeps every floor of the contract (`None`: none does). `models` are the cases as each model answered them,
    cheapest first, all in the same order; `why_up` returns why an answer is rejected at a threshold, or `None`.
    """
    answers = [score.answer for scores in models.values() for score in scores if score.answer]
    confidences = sorted(answer.confidence for answer in answers if answer.confidence)
    tried = (confidences[len(confidences) * step // STEPS] for step in range(STEPS) if confidences)
    thresholds = sorted({0.0, *(round(confidence, 3) for confidence in tried)})

    def points_on(half: int) -> list[Point]:
        part = {name: scores[half::2] for name, scores in models.items()}
        points = [_point(name, None, [(one, False) for one in scores], contract, seed) for name, scores in part.items()]
        if len(part) > 1:
            name, tiers = " > ".join(part), list(part.values())
            points += [_point(name, t, _cascade(tiers, why_up, t), contract, seed) for t in thresholds]
        return points

    fitted, shown = points_on(0), points_on(1)
    keeping = [at for at, point in enumerate(fitted) if not point.broken and point.usd_per_accepted is not None]
    return shown, shown[min(keeping, key=lambda at: fitted[at].usd_per_accepted or 0.0)] if keeping else None


def _cascade(tiers: Sequence[Sequence[CaseScore]], why_up: WhyUp, up_below: float) -> list[tuple[CaseScore, bool]]:
    *cheaper, last = tiers
    rows = [(score, False) for score in last]
    # from the last model down: each tier keeps what it accepts and passes the rest on, with what it cost so far
    for tier in reversed(cheaper):
        rows = [
            (score, False)
            if score.answer is not None and why_up(score.answer, up_below) is None
            else (_add_trial(above, score), True)
            for score, (above, _) in zip(tier, rows, strict=True)
        ]
    return rows


def _add_trial(score: CaseScore, trial: CaseScore) -> CaseScore:
    unpriced = score.usd is None or (trial.usd is None and not trial.error)
    paid = None if unpriced else (trial.usd or Decimal(0)) + (score.usd or Decimal(0))
    return replace(score, usd=paid, seconds=trial.seconds + score.seconds)


def _point(
    name: str, up_below: float | None, rows: Sequence[tuple[CaseScore, bool]], contract: OutcomeContract, seed: int
) -> Point:
    scores = [score for score, _ in rows]
    accepted = sum(score.passed for score in scores)
    unpriced = any(score.usd is None and not score.error for score in scores)
    usd = [float(score.usd) for score in scores if score.usd is not None]
    measured = measure_floors([score.as_dict() for score in scores])
    return Point(
        name,
        up_below,
        sum(up for _, up in rows) / len(rows),
        estimate((float(score.passed) for score in scores), seed=seed),
        estimate(usd, seed=seed, share=False),
        estimate((score.seconds for score in scores), seed=seed, share=False),
        sum(usd) / accepted if accepted and not unpriced else None,
        tuple(str(floor) for floor in floors_of(contract, measured) if not floor.met),
    )
