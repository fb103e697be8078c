"""Time that goes wrong: a tool that acts after it was given up (B24), and a clock that is set by an hour in the middle (B27)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig

from foundation.clock import SteadyTime, SystemClock
from foundation.errors import BudgetExceeded, Gone
from orchestration.actions import Decision
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer, resume
from orchestration.run.spending import SqliteSpending
from orchestration.settings import BudgetSettings
from serving.caches.memory import MemoryCache
from tests.doubles.orchestration import AGENTS, LEAD, NORTH, Depot, SetClock, World

SEND = AnswerRequest(question="Please send parcel P-123 now")
WEIGHT = AnswerRequest(question="How many kilograms may a parcel weigh at most?")
SOON_S = 60


@pytest.fixture(params=AGENTS)
async def world(data_dir: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    made = World(data_dir, agents=request.param)
    yield made
    made.close()


def yes_to(waiting: Answer) -> Decision:
    assert waiting.approval is not None
    return Decision(approval_id=waiting.approval.approval_id, approve=True)


@dataclass
class SlowDepot(Depot):
    """Sends when it is let go, whether or not anybody still waits."""

    let_go: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def send_parcel(self, parcel_id: str, reason: str, config: RunnableConfig) -> tuple[str, dict[str, Any]]:
        self.let_go.wait(SOON_S)
        try:
            return super().send_parcel(parcel_id, reason, config)
        finally:
            self.ended.set()


async def test_b24_an_effect_that_was_given_up_and_then_happened_is_never_tried_again(world: World) -> None:
    depot = SlowDepot()
    tools = depot.tools()
    next(tool for tool in tools if tool.name == "send_parcel").metadata |= {"timeout_s": 1}  # type: ignore[operator]
    world.tools = tools
    waiting = await answer(world.agent(), SEND, NORTH)
    told = await resume(world.agent(), yes_to(waiting), LEAD)
    assert (told.status, told.stop_reason) == ("failed", "error")
    assert "did not end in time" in told.text
    assert depot.sent == []

    depot.let_go.set()
    assert await asyncio.to_thread(depot.ended.wait, SOON_S)
    assert len(depot.sent) == 1
    assert (
        "failed" in [step["outcome"] for step in told.plan["steps"]]
        if told.plan
        else [step.outcome for step in told.steps]
    )
    again = await world.executor().call(
        "send_parcel",
        {"parcel_id": "P-123", "reason": SEND.question},
        principal=NORTH,
        run_id=waiting.answer_id,
        thread_id=waiting.thread_id,
        step=0 if world.agents == "tool_calling" else 1,
        approval=await world.approvals.get(yes_to(waiting).approval_id, "north"),
    )
    assert (again.status, again.reason) == ("failed", "unknown")
    assert len(depot.sent) == 1


@pytest.mark.parametrize("hours", [1, -1])
async def test_b27_a_clock_that_is_set_neither_ends_a_run_nor_prolongs_it(world: World, hours: int) -> None:
    clock = SetClock()
    world.clock, world.budget = clock, BudgetSettings(seconds=10)
    search = world.retriever.retrieve

    def set_meanwhile(*given: Any, **more: Any) -> Any:
        clock.off = timedelta(hours=hours)
        return search(*given, **more)

    world.retriever.retrieve = set_meanwhile  # type: ignore[method-assign]
    assert (await answer(world.agent(), WEIGHT, NORTH)).status == "answered"

    def slowly(*given: Any, **more: Any) -> Any:
        clock.forward(seconds=11)
        return set_meanwhile(*given, **more)

    world.retriever.retrieve = slowly  # type: ignore[method-assign]
    assert (await answer(world.agent(), WEIGHT, NORTH)).stop_reason == "budget"


@pytest.mark.parametrize("hours", [1, -1])
async def test_b27_an_approval_keeps_its_end_when_the_clock_is_set(data_dir: Path, hours: int) -> None:
    clock = SetClock()
    world = World(data_dir, clock=clock)
    other = SEND.model_copy(update={"question": "Please send parcel P-111 now"})
    first, second = await answer(world.agent(), SEND, NORTH), await answer(world.agent(), other, NORTH)
    clock.off = timedelta(hours=hours)
    assert (await resume(world.agent(), yes_to(first), LEAD)).status == "answered"
    clock.off = timedelta(hours=24)
    with pytest.raises(Gone):
        await resume(world.agent(), yes_to(second), LEAD)
    assert len(world.depot.sent) == 1
    world.close()


async def test_an_approval_that_was_seen_to_be_late_stays_so_when_the_clock_is_set_back(data_dir: Path) -> None:
    """Seen in the list, when it was decided, or when it was looked up; a later process finds it so, too."""
    clock = SetClock()
    world = World(data_dir, clock=clock)
    store = world.approvals
    for see in (
        lambda _: store.pending("north"),
        lambda late: store.get(late.approval_id, "north"),
        lambda late: store.decide(Decision(approval_id=late.approval_id, approve=True), LEAD),
    ):
        clock.off = timedelta()
        waiting = await answer(world.agent(), SEND, NORTH)
        assert waiting.approval is not None
        clock.off = timedelta(days=1)
        with suppress(Gone):
            await see(waiting.approval)
        clock.off = timedelta(hours=-1)
        with pytest.raises(Gone):
            await resume(world.agent(), yes_to(waiting), LEAD)
        assert waiting.approval.approval_id not in [one.approval_id for one in await store.pending("north")]
    assert (store.waiting(), world.depot.sent) == (0, [])
    world.close()


@pytest.mark.parametrize("hours", [-1, 24, 48])
async def test_what_was_spent_in_a_day_stays_spent_when_the_clock_is_set(data_dir: Path, hours: int) -> None:
    clock = SetClock()
    limits = BudgetSettings(tenant_day={"tokens": 100})
    with closing(SqliteSpending(data_dir / "spending.sqlite", limits, clock)) as spending:
        held = await spending.reserve(NORTH, tokens=90, usd=None)
        clock.off = timedelta(hours=hours)
        with pytest.raises(BudgetExceeded):
            await spending.reserve(NORTH, tokens=20, usd=None)
        await spending.settle(held, tokens=95, usd=None)
        with pytest.raises(BudgetExceeded):
            await spending.reserve(NORTH, tokens=20, usd=None)
        clock.forward(days=1)
        await spending.reserve(NORTH, tokens=90, usd=None)


@pytest.mark.parametrize("hours", [-1, 24, 48])
async def test_sessions_and_windows_of_quotas_last_as_long_as_before_when_the_clock_is_set(hours: int) -> None:
    clock = SetClock()
    cache = MemoryCache(clock)
    await cache.set("north", "session", b"ada", ttl_s=3600)
    assert (await cache.take("north", "quota", 2, limit=2, window_s=3600)).allowed
    clock.off = timedelta(hours=hours)
    assert await cache.get("north", "session") == b"ada"
    assert not (await cache.take("north", "quota", 1, limit=2, window_s=3600)).allowed
    clock.forward(hours=2)
    assert await cache.get("north", "session") is None
    assert (await cache.take("north", "quota", 2, limit=2, window_s=3600)).allowed


def test_the_machines_steady_time_is_wall_time_that_only_runs_forward() -> None:
    steady = SteadyTime(SystemClock())
    first, second = steady.now(), steady.now()
    assert first <= second
    assert abs(second - SystemClock().now()) < timedelta(minutes=1)
