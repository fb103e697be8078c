"""Shares of a budget, as the members of the team have them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from examples.team.budgets import Share
from foundation.errors import BudgetExceeded
from orchestration.run.budget import Budget
from orchestration.settings import BudgetSettings
from tests.doubles.orchestration import ManualClock

LIMITS = BudgetSettings(steps=2, tokens=100, usd=0.01, seconds=10)
NOTHING = Decimal(0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_a_share_stops_at_its_own_limit_and_at_that_of_the_whole(clock: ManualClock) -> None:
    whole = Budget(LIMITS, clock)
    half, other = Share(whole, 0.5), Share(whole, 1.0)
    half.step()
    with pytest.raises(BudgetExceeded):
        half.step()
    other.step()
    with pytest.raises(BudgetExceeded):
        other.step()
    assert whole.steps == 2


def test_what_the_whole_refuses_is_not_kept_by_the_share(clock: ManualClock) -> None:
    whole = Budget(LIMITS, clock)
    first, second = Share(whole, 0.8), Share(whole, 0.8)
    held = first.reserve(tokens=80, usd=NOTHING)
    with pytest.raises(BudgetExceeded):
        second.reserve(tokens=40, usd=NOTHING)
    first.settle(held, tokens=10, usd=NOTHING)
    second.settle(second.reserve(tokens=80, usd=NOTHING), tokens=80, usd=NOTHING)
    assert (first.tokens, second.tokens, whole.tokens) == (10, 80, 90)
