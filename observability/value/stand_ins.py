"""Stand-ins for outcomes until people record some, made from an evaluation and marked as such."""

from __future__ import annotations

from datetime import datetime

from observability.evaluation.golden_set import REFUSALS, CaseScore, Report
from observability.stores.outcomes import Outcome, Verdict


def outcomes_of(report: Report, *, at: datetime) -> list[Outcome]:
    """Return stand-ins for outcomes from an evaluation; their origin says so.

    Right answers count as accepted, prepared effects as edited (a person still decides), refusals, right or not, as
    escalated (a person does the work), and everything else as rejected.
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
