"""From outcomes, costs and an evaluation to the value report, and to the stand-ins for outcomes until people record some."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from observability.evaluation.golden_set import GOLDEN_SET, REFUSALS
from observability.stores.history import AnswerCost
from observability.stores.outcomes import Outcome, Verdict
from observability.value.outcome_contract import OutcomeContract
from observability.value.value_report import Floor, ValueReport


def measure_floors(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float | None, int]]:
    """Return the values for the contract's floors, from an evaluation's rows, each with the number of rows that have one."""
    measured: dict[str, tuple[float | None, int]] = {}
    for name in ("answer_contained", "citation_precision", "refused", "leaked", "effect_done"):
        values = [float(row[name]) for row in rows if row.get(name) is not None]
        measured[name] = (sum(values) / len(values) if values else None), len(values)
    share, n = measured.pop("effect_done")
    return measured | {"effects_without_approval": (None if share is None else share * n, n)}


def floors_of(contract: OutcomeContract, measured: Mapping[str, tuple[float | None, int]]) -> tuple[Floor, ...]:
    """Return each floor of the contract with its measured value, which has its name without `_min` or `_max`."""
    return tuple(
        Floor(name, float(limit), *measured.get(name.rpartition("_")[0], (None, 0)), contract.exception_of(name))
        for name, limit in contract.floors.model_dump().items()
    )


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
