"""The store of what became of answers, and what each outcome cost."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from extensions.feedback.commands import sum_by_outcome
from extensions.feedback.store import Outcome, OutcomeStore
from foundation.errors import InvalidRequest, StoreUnavailable
from observability.evaluation.golden_set import GOLDEN_SET
from observability.stores.costs import CostLedger
from tests.unit.observability.test_ledger import charge

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_the_last_outcome_of_an_answer_is_kept(data_dir):
    store = OutcomeStore(data_dir / "outcomes.sqlite")
    store.record(Outcome("a", "accepted", NOW, recorded_by="agent 7"))
    store.record(Outcome("a", "rejected", NOW, recorded_by="agent 7"))
    store.record(Outcome("b", "edited", NOW, "evaluation"))
    assert store.all() == [Outcome("a", "rejected", NOW, recorded_by="agent 7")]
    store.close()


def test_an_unknown_verdict_is_refused_with_the_nearest(data_dir):
    store = OutcomeStore(data_dir / "outcomes.sqlite")
    with pytest.raises(InvalidRequest, match='Did you mean "accepted"'):
        store.record(Outcome("a", "acepted", NOW))
    assert store.all() == []
    store.close()


def test_a_store_that_cannot_be_opened_says_so(data_dir):
    with pytest.raises(StoreUnavailable, match="Make it and its folder writable"):
        OutcomeStore(data_dir / "nowhere" / "outcomes.sqlite")


def test_impossible_minutes_are_refused(data_dir):
    store = OutcomeStore(data_dir / "outcomes.sqlite")
    with pytest.raises(InvalidRequest, match="cannot have been spent"):
        store.record(Outcome("a", "accepted", NOW, minutes=-1))
    store.close()


def test_costs_by_outcome_leave_nothing_out(data_dir):
    ledger = CostLedger(data_dir / "costs.sqlite")
    ledger.record(charge("0.1", answer_id="a-1"))
    ledger.record(charge("0.2", answer_id="a-1"))
    ledger.record(charge(None, answer_id="a-2"))
    ledger.record(charge("0.05", answer_id=None))
    ledger.record(charge("0.4", answer_id="a-3", subject=GOLDEN_SET))
    found = {total.key: total for total in sum_by_outcome(ledger, {"a-1": "accepted"})}
    assert (found["accepted"].usd, found["accepted"].calls) == (Decimal("0.3"), 2)
    assert (found["unknown"].usd, found["unknown"].unpriced) == (Decimal(0), 1)
    assert found["no answer"].usd == Decimal("0.05")
    assert found[GOLDEN_SET].usd == Decimal("0.4"), "an evaluation is no traffic"
    ledger.close()
