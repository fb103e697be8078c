"""Answers to people of a period, each with its figures, from the spans and costs that are kept, and what people said of them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from extensions.reports.span_names import ANSWER_SUPPORT, QUESTION_SIGNATURE
from foundation import names
from observability.evaluation.golden_set import GOLDEN_SET
from observability.stores import history
from observability.stores.costs import CostLedger
from observability.stores.spans import SpanRow, SpanStore


@dataclass(frozen=True, slots=True)
class AnswerFigures:
    """One answer with its figures. Values that were not measured are `None`."""

    at_ns: int
    tenant: str
    manifest_id: str
    values: Mapping[str, float | None]
    signature: tuple[float, ...] | None


def read_answers(
    spans: SpanStore,
    costs: CostLedger,
    verdicts: Mapping[str, str],
    *,
    since: datetime,
    until: datetime,
    tenant: str | None = None,
) -> list[AnswerFigures]:
    """Return every answer to people of a period, oldest first, from the spans of its agent, searches and grading. `verdicts` are what people said, by answer."""
    paid = history.answers(costs, since=since)
    rows = history.between(
        spans, nanoseconds(since), nanoseconds(until), naming=(names.STATUS, names.TOP_SCORE, names.CONFIDENCE)
    )
    best = _largest(rows, names.TOP_SCORE)
    sure = _largest(rows, names.CONFIDENCE)
    parts: defaultdict[str, list[SpanRow]] = defaultdict(list)
    for row in rows:
        ended = row.attribute(names.OPERATION) == names.INVOKE_AGENT and row.attribute(names.STATUS) is not None
        if ended and tenant in (None, row.attribute(names.TENANT)):
            parts[str(row.attribute(names.ANSWER_ID) or row.span_id)].append(row)
    answered = []
    for answer_id, runs in parts.items():
        # a run that waited for a person has two agent spans and is one answer
        first, row = runs[0], runs[-1]
        status = row.attribute(names.STATUS)
        cost, verdict = paid.get(answer_id), verdicts.get(answer_id)
        if cost is not None and cost.subject == GOLDEN_SET:
            continue
        signature = first.attribute(QUESTION_SIGNATURE)
        answered.append(
            AnswerFigures(
                at_ns=first.start_ns,
                tenant=str(row.attribute(names.TENANT) or ""),
                manifest_id=row.manifest_id or "",
                values={
                    "answered": float(status == "answered"),
                    "abstained": float(status in ("abstained", "refused")),
                    "failed": float(status == "failed"),
                    "confidence": sure.get(row.trace_id),
                    "top_score": best.get(row.trace_id),
                    "support": row.attribute(ANSWER_SUPPORT),
                    "seconds": sum(run.ms for run in runs) / 1000,
                    "usd": None if cost is None or cost.usd is None else float(cost.usd),
                    "accepted": None if verdict is None else float(verdict == "accepted"),
                    "rejected": None if verdict is None else float(verdict == "rejected"),
                },
                signature=tuple(signature) if signature else None,
            )
        )
    return sorted(answered, key=lambda answer: answer.at_ns)


def _largest(rows: Sequence[SpanRow], attribute: str) -> dict[str, float]:
    largest: dict[str, float] = {}
    for row in rows:
        if (value := row.attribute(attribute)) is not None:
            largest[row.trace_id] = max(float(value), largest.get(row.trace_id, float("-inf")))
    return largest


def nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1e9)
