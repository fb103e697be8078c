"""The value of recorded outcomes under the outcome contract."""

from __future__ import annotations

import json as jsons
from typing import TYPE_CHECKING

from foundation.clock import SystemClock
from serving.judge.trial import evaluation_file

if TYPE_CHECKING:
    from extensions.feedback.store import OutcomeStore
    from extensions.value.value_report import ValueReport
    from observability.stores.costs import CostLedger
    from serving.settings import Settings


def worth(settings: Settings, outcomes: OutcomeStore, costs: CostLedger) -> ValueReport:
    """Return the value of recorded outcomes under the contract; without outcomes, of their stand-ins. Raises
    InvalidSetting, UnknownSetting: the contract is missing or not valid.
    """
    from extensions.value import roi
    from extensions.value.outcome_contract import load_contract
    from observability.evaluation.floors import measure_floors
    from observability.evaluation.golden_set import GOLDEN_SET
    from observability.stores import history

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
    return roi.value_report(contract, recorded, answers, measured=measure_floors(rows), seed=settings.foundation.seed)
