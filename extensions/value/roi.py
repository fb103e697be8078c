"""From outcomes, costs and an evaluation to the value report, and to the stand-ins for outcomes until people record some."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from extensions.feedback.store import Outcome, Verdict
from extensions.value.outcome_contract import OutcomeContract
from extensions.value.value_report import ValueReport
from observability.evaluation.floors import floors_of
from observability.evaluation.golden_set import GOLDEN_SET, REFUSALS
from observability.stores.history import AnswerCost


def value_report(
    contract: OutcomeContract,
    outcomes: Iterable[Outcome],
    answers: Mapping[str, AnswerCost],
    *,
    measured: Mapping[str, tuple[float | None, int]] | None = None,
    seed: int = 7,
) -> ValueReport:
    """Return the report, of the `answers` of a period and the values of the floors that were `measured`."""
    by_answer = {outcome.answer_id: outcome for outcome in outcomes}
    return ValueReport(contract, by_answer, answers, floors=floors_of(contract, measured or {}), seed=seed)


def outcomes_of(rows: Sequence[Mapping[str, Any]], *, at: datetime) -> list[Outcome]:
    """Return stand-ins for outcomes from an evaluation's rows; their origin says so.

    Right answers count as accepted, prepared effects as edited (a person still decides), refusals, right or not, as
    escalated (a person does the work), and everything else as rejected.
    """
    return [Outcome(row["answer_id"] or row["id"], _verdict_of(row), at, "evaluation", GOLDEN_SET) for row in rows]


def _verdict_of(row: Mapping[str, Any]) -> Verdict:
    if row["status"] in REFUSALS and not row.get("leaked"):
        return "escalated"
    if not row.get("passed"):
        return "rejected"
    return "edited" if row["status"] == "waiting" else "accepted"
