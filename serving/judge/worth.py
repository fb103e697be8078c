"""The value of recorded outcomes under the outcome contract."""

from __future__ import annotations

import json as jsons
from pathlib import Path
from typing import TYPE_CHECKING

from foundation.clock import SystemClock

if TYPE_CHECKING:
    from observability.stores.costs import CostLedger
    from observability.stores.outcomes import OutcomeStore
    from observability.value.value_report import ValueReport
    from serving.settings import Settings


def worth(settings: Settings, outcomes: OutcomeStore, costs: CostLedger) -> ValueReport:
    """Return the value of recorded outcomes under the contract; without outcomes, of their stand-ins. Raises
    InvalidSetting, UnknownSetting: the contract is missing or not valid.
    """
    from observability.evaluation.golden_set import GOLDEN_SET
    from observability.stores import history
    from observability.value import roi
    from observability.value.outcome_contract import load_contract

    contract = load_contract(settings.observability.outcomes_file)
    recorded, answers = outcomes.all(), history.answers(costs)
    evaluation, rows = evaluation_file(settings), []
    if evaluation.exists():
        rows = jsons.loads(evaluation.read_text(encoding="utf-8"))["rows"]
    if recorded:
        # the questions of an evaluation are no traffic
        answers = {answer: cost for answer, cost in answers.items() if cost.subject != GOLDEN_SET}
    else:
        # of the latest evaluation alone: earlier ones asked the same questions, perhaps of other models
        recorded = roi.outcomes_of(rows, at=SystemClock().now())
        answers = {one.answer_id: answers[one.answer_id] for one in recorded if one.answer_id in answers}
    return roi.value_report(
        contract, recorded, answers, measured=roi.measure_floors(rows), seed=settings.foundation.seed
    )


def evaluation_file(settings: Settings) -> Path:
    return settings.foundation.data_dir / "reports" / "evaluation.json"
