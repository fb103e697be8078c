"""Whose answers the value report counts: people's, or those of the latest evaluation until people have recorded some."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from extensions.feedback.store import Outcome, OutcomeStore
from extensions.value.worth import evaluation_file, worth
from observability.evaluation.golden_set import GOLDEN_SET
from observability.stores.costs import CostLedger
from orchestration.events import Charge
from serving.settings import Settings, load
from tests.doubles import stacks

CONTRACT = Path(__file__).parents[2] / "doubles" / "outcomes.toml"
NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)


class Desk:
    """The stores behind a value report."""

    def __init__(self, settings: Settings, outcomes: OutcomeStore, costs: CostLedger) -> None:
        self.settings, self.outcomes, self.costs = settings, outcomes, costs

    def answer(self, answer_id: str, subject: str) -> None:
        paid: dict[str, Any] = {"usd": Decimal("0.001"), "basis": "double", "part": "p", "trace_id": None, "at": NOW}
        self.costs.record(Charge(kind="chat", tenant="acme", answer_id=answer_id, subject=subject, **paid))
        self.costs.record(Charge(kind="machine", tenant="acme", answer_id=answer_id, **paid))

    def judge(self, answer_id: str) -> None:
        self.outcomes.record(Outcome(answer_id, "accepted", NOW))

    def evaluate(self, *answer_ids: str) -> None:
        for answer_id in answer_ids:
            self.answer(answer_id, GOLDEN_SET)
        path = evaluation_file(self.settings)
        path.parent.mkdir(parents=True, exist_ok=True)
        row = {"id": "c", "status": "answered", "passed": 1.0, "leaked": 0.0, "effect_done": False}
        rows = [row | {"answer_id": one} for one in answer_ids]
        path.write_text(json.dumps({"rows": rows}))

    def counts(self) -> dict[str, int]:
        found = worth(self.settings, self.outcomes, self.costs).counts
        return {name: count for name, count in found.items() if count}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    contract = f'\n[observability]\noutcomes_file = "{CONTRACT}"\n'
    settings = load(stacks.stack(tmp_path, contract)).settings
    home = settings.foundation.data_dir
    home.mkdir(parents=True)
    with ExitStack() as opened:
        outcomes = opened.enter_context(closing(OutcomeStore(home / "outcomes.sqlite")))
        yield Desk(settings, outcomes, opened.enter_context(closing(CostLedger(home / "costs.sqlite"))))


def test_an_evaluation_that_is_run_again_replaces_the_earlier_one_as_evidence(desk: Desk) -> None:
    desk.evaluate("old-1", "old-2", "old-3")
    desk.evaluate("new-1", "new-2")
    assert desk.counts() == {"accepted": 2}
    floors = worth(desk.settings, desk.outcomes, desk.costs).floors
    assert {floor.n for floor in floors if floor.risk} == {2}


def test_questions_of_a_golden_set_are_no_traffic_also_where_no_outcome_stands_for_them(desk: Desk) -> None:
    desk.evaluate("e-1")
    for number in range(5):
        desk.answer(f"frontier-{number}", GOLDEN_SET)
    for number in range(3):
        desk.answer(f"a-{number}", "ada")
    desk.judge("a-0")
    assert desk.counts() == {"accepted": 1, "unknown": 2}


def test_without_an_evaluation_nothing_stands_in(desk: Desk) -> None:
    desk.answer("a-0", "ada")
    assert desk.counts() == {}
