"""Stand-ins for outcomes where no person has recorded any yet: what an evaluation makes of them, and they say so."""

from __future__ import annotations

from datetime import datetime

from observability.evaluation.golden_set import REFUSALS, CaseScore, Report
from observability.stores.outcomes import Outcome, Verdict


def outcomes_of(report: Report, *, at: datetime) -> list[Outcome]:
    """Stand-ins for outcomes, from an evaluation instead of from people; their origin says so.

    A right answer counts as accepted, a prepared effect as edited (a person still has to decide), a refusal as
    escalated, right or not, because a person then does the work, and everything else as rejected.
    """
    return [
        Outcome(row.answer_id or row.case.id, _verdict_of(row), at, "evaluation", "golden set") for row in report.rows
    ]


def _verdict_of(row: CaseScore) -> Verdict:
    if row.status in REFUSALS and not row.measures.get("leaked"):
        return "escalated"
    if not row.passed:
        return "rejected"
    return "edited" if row.status == "waiting" else "accepted"
