"""The value of recorded outcomes under the outcome contract."""

from __future__ import annotations

import json as jsons
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from observability.stores.costs import CostLedger
    from observability.stores.outcomes import OutcomeStore
    from observability.value.value_report import ValueReport
    from serving.settings import Settings


def worth(settings: Settings, outcomes: OutcomeStore, costs: CostLedger) -> ValueReport:
    """Return the value of recorded outcomes under the contract; without outcomes, of their stand-ins. Raises
    InvalidSetting, UnknownSetting: the contract is missing or not valid.
    """
    from observability.value import roi
    from observability.value.outcome_contract import load_contract

    contract = load_contract(settings.observability.outcomes_file)
    recorded = outcomes.all(origin="production")
    stand_ins = outcomes.all(origin="evaluation")
    answers = costs.answers()
    evaluated = {outcome.answer_id for outcome in stand_ins}
    # an evaluation's questions are no traffic, and traffic is no evaluation
    answers = {answer: cost for answer, cost in answers.items() if (answer in evaluated) is not bool(recorded)}
    evaluation, floors = evaluation_file(settings), {}
    if evaluation.exists():
        floors = roi.measured_floors(jsons.loads(evaluation.read_text(encoding="utf-8"))["rows"])
    return roi.value_report(contract, recorded or stand_ins, answers, measured=floors, seed=settings.foundation.seed)


def evaluation_file(settings: Settings) -> Path:
    return settings.foundation.data_dir / "reports" / "evaluation.json"
