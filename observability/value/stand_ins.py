"""Stand-ins for outcomes where no person has recorded any yet: what an evaluation makes of them, and they say so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from observability.evaluation.golden_set import CaseScore, Report
from observability.stores.outcomes import Outcome, Verdict


def outcomes_of(report: Report, *, at: datetime) -> list[Outcome]:
    """Stand-ins for outcomes, from an evaluation instead of from people; their origin says so.

    A right answer counts as accepted, a prepared effect as edited (a person still has to decide), a refusal as
    escalated, right or not, because a person then does the work, and everything else as rejected.
    """
    return [
        Outcome(row.answer_id or row.case.id, verdict, at, "evaluation", "golden set")
        for row, verdict in zip(report.rows, _verdicts(report.rows), strict=True)
    ]


def _verdicts(rows: Iterable[CaseScore]) -> Iterator[Verdict]:
    for row in rows:
        if row.measures.get("leaked"):
            yield "rejected"
        elif row.status in ("abstained", "refused", "escalated"):
            yield "escalated"
        elif row.passed:
            yield "edited" if row.status == "waiting" else "accepted"
        else:
            yield "rejected"
