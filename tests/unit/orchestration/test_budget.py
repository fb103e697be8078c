"""The limits of a run in steps, tokens, money and seconds."""

from __future__ import annotations

from decimal import Decimal

import pytest

from foundation.errors import BudgetExceeded
from orchestration.run.budget import Budget
from orchestration.settings import BudgetSettings
from tests.doubles.orchestration import ManualClock

LIMITS = BudgetSettings(steps=2, tokens=100, usd=0.01, seconds=10)
NOTHING = Decimal(0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_the_step_after_the_last_is_refused(clock: ManualClock) -> None:
    budget = Budget(LIMITS, clock)
    budget.step()
    budget.step()
    with pytest.raises(BudgetExceeded) as refused:
        budget.step()
    assert refused.value.limit == "steps"


def test_what_is_reserved_counts_before_it_is_used(clock: ManualClock) -> None:
    budget = Budget(LIMITS, clock)
    first = budget.reserve(tokens=60, usd=NOTHING)
    with pytest.raises(BudgetExceeded) as refused:
        budget.reserve(tokens=60, usd=NOTHING)
    assert refused.value.limit == "tokens"
    budget.settle(first, tokens=30, usd=NOTHING)
    budget.reserve(tokens=60, usd=NOTHING)


def test_a_call_that_failed_gives_its_reservation_back(clock: ManualClock) -> None:
    budget = Budget(LIMITS, clock)
    budget.settle(budget.reserve(tokens=100, usd=Decimal("0.01")), tokens=0, usd=NOTHING)
    budget.reserve(tokens=100, usd=Decimal("0.01"))


def test_money_is_refused_where_it_does_not_fit(clock: ManualClock) -> None:
    budget = Budget(LIMITS, clock)
    budget.settle(budget.reserve(tokens=1, usd=Decimal("0.004")), tokens=1, usd=Decimal("0.008"))
    with pytest.raises(BudgetExceeded) as refused:
        budget.reserve(tokens=1, usd=Decimal("0.004"))
    assert refused.value.limit == "usd"


def test_an_overspent_budget_admits_no_further_call_not_even_a_free_one(clock: ManualClock) -> None:
    budget = Budget(LIMITS, clock)
    budget.settle(budget.reserve(tokens=1, usd=NOTHING), tokens=1, usd=Decimal("0.02"))
    with pytest.raises(BudgetExceeded):
        budget.reserve(tokens=1, usd=NOTHING)


def test_the_lower_of_the_two_money_limits_holds(clock: ManualClock) -> None:
    with pytest.raises(BudgetExceeded):
        Budget(LIMITS, clock, max_usd=0.001).reserve(tokens=1, usd=Decimal("0.002"))
    with pytest.raises(BudgetExceeded):
        Budget(LIMITS, clock, max_usd=5).reserve(tokens=1, usd=Decimal("0.02"))


def test_a_budget_of_no_money_admits_no_call(clock: ManualClock) -> None:
    with pytest.raises(BudgetExceeded):
        Budget(LIMITS, clock, max_usd=0).reserve(tokens=1, usd=NOTHING)


def test_time_is_up_when_it_is_up(clock: ManualClock) -> None:
    budget = Budget(LIMITS, clock)
    clock.forward(seconds=9)
    assert budget.remaining_s() == pytest.approx(1)
    clock.forward(seconds=1)
    for act in (budget.step, budget.remaining_s, lambda: budget.reserve(tokens=1, usd=NOTHING)):
        with pytest.raises(BudgetExceeded) as refused:
            act()
        assert refused.value.limit == "seconds"
