"""What all runs together may spend in a day."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from foundation.errors import BudgetExceeded, StoreUnavailable
from orchestration.run.spending import SqliteSpending
from orchestration.settings import BudgetSettings, DayLimits
from tests.doubles.orchestration import NORTH, SOUTH, ManualClock

CENT = Decimal("0.01")
Open = Callable[..., SqliteSpending]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def open_(tmp_path: Path, clock: ManualClock) -> Iterator[Open]:
    opened: list[SqliteSpending] = []

    def make(**limits: DayLimits | dict[str, DayLimits]) -> SqliteSpending:
        opened.append(SqliteSpending(tmp_path / "spending.sqlite", BudgetSettings(**limits), clock))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


async def test_what_is_reserved_counts_until_it_is_settled_by_what_was_used(open_: Open) -> None:
    spending = open_(tenant_day={"usd": 0.05, "tokens": 100})
    held = await spending.reserve(NORTH, tokens=90, usd=4 * CENT)
    with pytest.raises(BudgetExceeded, match=r'Tenant "north" has used 0.040000 of 0.05 USD today') as refused:
        await spending.reserve(NORTH, tokens=1, usd=2 * CENT)
    assert refused.value.limit == "usd_per_day"
    with pytest.raises(BudgetExceeded) as refused:
        await spending.reserve(NORTH, tokens=11, usd=CENT)
    assert refused.value.limit == "tokens_per_day"
    await spending.settle(held, tokens=10, usd=CENT)
    assert await spending.today("north") == (10, CENT)
    await spending.reserve(NORTH, tokens=90, usd=4 * CENT)


async def test_a_call_without_a_price_counts_as_the_whole_budget_of_a_request(open_: Open) -> None:
    spending = open_(tenant_day={"usd": 0.9})
    held = await spending.reserve(NORTH, tokens=1, usd=None)
    await spending.settle(held, tokens=1, usd=None)
    assert await spending.today("north") == (1, Decimal("0.5")), "BudgetSettings.usd"
    with pytest.raises(BudgetExceeded):
        await spending.reserve(NORTH, tokens=1, usd=None)


async def test_a_call_that_never_came_about_costs_nothing(open_: Open) -> None:
    spending = open_(tenant_day={"usd": 0.01})
    for _ in range(3):
        await spending.settle(await spending.reserve(NORTH, tokens=1, usd=CENT), tokens=0, usd=Decimal(0))
    assert await spending.today() == (0, Decimal(0))


async def test_tenants_have_a_day_of_their_own_and_share_that_of_the_system(open_: Open) -> None:
    spending = open_(day={"usd": 0.03}, tenant_day={"usd": 0.01}, tenants={"south": {"usd": 0.05}})
    await spending.reserve(NORTH, tokens=1, usd=CENT)
    with pytest.raises(BudgetExceeded, match="north"):
        await spending.reserve(NORTH, tokens=1, usd=CENT)
    await spending.reserve(SOUTH, tokens=1, usd=2 * CENT)
    with pytest.raises(BudgetExceeded, match="The system has used"):
        await spending.reserve(SOUTH, tokens=1, usd=CENT)


async def test_a_new_day_begins_with_nothing_and_a_call_belongs_to_the_day_on_which_it_began(
    open_: Open, clock: ManualClock
) -> None:
    spending = open_(tenant_day={"usd": 0.01})
    clock.forward(hours=14, minutes=59, seconds=59)
    held = await spending.reserve(NORTH, tokens=1, usd=CENT)
    clock.forward(seconds=2)
    await spending.settle(held, tokens=1, usd=CENT)
    assert await spending.today("north") == (0, Decimal(0))
    await spending.reserve(NORTH, tokens=1, usd=CENT)


async def test_it_survives_a_restart_and_forgets_what_a_killed_process_had_reserved(
    open_: Open, clock: ManualClock
) -> None:
    limits = {"usd": 0.02}
    first = open_(tenant_day=limits)
    await first.settle(await first.reserve(NORTH, tokens=1, usd=CENT), tokens=1, usd=CENT)
    await first.reserve(NORTH, tokens=1, usd=CENT)
    first.close()
    second = open_(tenant_day=limits)
    with pytest.raises(BudgetExceeded):
        await second.reserve(NORTH, tokens=1, usd=CENT)
    clock.forward(minutes=10)
    await second.reserve(NORTH, tokens=1, usd=CENT)


async def test_who_settles_after_its_reservation_was_dropped_settles_nobody_elses(
    open_: Open, clock: ManualClock
) -> None:
    spending = open_(tenant_day={"usd": 0.05})
    late = await spending.reserve(NORTH, tokens=1, usd=CENT)
    clock.forward(minutes=10)
    await spending.reserve(SOUTH, tokens=7, usd=4 * CENT)
    await spending.settle(late, tokens=0, usd=Decimal(0))
    assert await spending.today("south") == (7, 4 * CENT)


async def test_what_a_call_used_is_booked_on_its_day_though_its_reservation_was_dropped(
    open_: Open, clock: ManualClock
) -> None:
    spending = open_(tenant_day={"usd": 0.05})
    late = await spending.reserve(NORTH, tokens=9, usd=4 * CENT)
    clock.forward(minutes=10)
    await spending.reserve(SOUTH, tokens=1, usd=CENT)
    assert await spending.today("north") == (0, Decimal(0))
    await spending.settle(late, tokens=9, usd=3 * CENT)
    assert await spending.today("north") == (9, 3 * CENT)
    with pytest.raises(BudgetExceeded):
        await spending.reserve(NORTH, tokens=9, usd=4 * CENT)


async def test_what_could_not_be_booked_in_an_outage_is_booked_before_the_next_call_is_admitted(
    open_: Open, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    spending = open_(tenant_day={"usd": 0.05})
    held = [await spending.reserve(NORTH, tokens=9, usd=2 * CENT) for _ in range(2)]
    down = AsyncMock(side_effect=StoreUnavailable("The database is down."))
    with monkeypatch.context() as outage:
        outage.setattr(spending._file, "run", down)
        for one in held:
            with pytest.raises(StoreUnavailable):
                await spending.settle(one, tokens=9, usd=2 * CENT)
        with pytest.raises(StoreUnavailable):
            await spending.reserve(NORTH, tokens=1, usd=CENT)
    clock.forward(minutes=10)
    with pytest.raises(BudgetExceeded, match=r"0\.040000 of 0\.05"):
        await spending.reserve(NORTH, tokens=9, usd=2 * CENT)
    await spending.reserve(NORTH, tokens=9, usd=CENT)
    assert await spending.today("north") == (27, 5 * CENT)


async def test_two_processes_share_the_limit(open_: Open) -> None:
    both = [open_(tenant_day={"usd": 0.05}) for _ in range(2)]
    calls = (both[number % 2].reserve(NORTH, tokens=1, usd=CENT) for number in range(20))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(outcome, BudgetExceeded) for outcome in outcomes) == 15


async def test_without_limits_nothing_is_kept(open_: Open) -> None:
    spending = open_()
    held = await spending.reserve(NORTH, tokens=10**9, usd=Decimal(10**6))
    await spending.settle(held, tokens=10**9, usd=Decimal(10**6))
    assert (held, await spending.today()) == (None, (0, Decimal(0)))


async def test_money_without_any_limit_left_admits_not_even_a_free_call(open_: Open) -> None:
    with pytest.raises(BudgetExceeded):
        await open_(tenant_day={"usd": 0}).reserve(NORTH, tokens=1, usd=Decimal(0))


async def test_the_share_that_is_used_is_told_for_the_alert(open_: Open, clock: ManualClock) -> None:
    spending = open_(day={"tokens": 1000}, tenants={"north": {"usd": 0.10, "tokens": 100}})
    assert (spending.system_share(), spending.fullest_share()) == (0, 0)
    await spending.settle(await spending.reserve(NORTH, tokens=50, usd=CENT), tokens=50, usd=CENT)
    await spending.reserve(SOUTH, tokens=200, usd=CENT)
    assert (spending.system_share(), spending.fullest_share()) == (0.25, 0.5)
    clock.forward(days=1)
    assert (spending.system_share(), spending.fullest_share()) == (0, 0)


def test_without_a_budget_nothing_is_used_and_a_budget_of_nothing_is(open_: Open) -> None:
    assert open_().system_share() == 0
    assert open_(day={"usd": 0}).system_share() == 1
