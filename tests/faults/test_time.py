"""Time that goes wrong: a tool that acts after it was given up (B24), and a clock that is set by an hour in the middle (B27)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig

from foundation.errors import Gone
from orchestration.contract import Answer, AnswerRequest, Decision
from orchestration.run.answering import answer, resume
from orchestration.settings import BudgetSettings
from tests.doubles.orchestration import AGENTS, LEAD, NORTH, Depot, ManualClock, World

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
    assert "failed" in [step.outcome for step in (told.plan.steps if told.plan else told.steps)]
    again = await world.executor().call(
        "send_parcel",
        {"parcel_id": "P-123", "reason": SEND.question},
        principal=NORTH,
        run_id=waiting.answer_id,
        thread_id=waiting.thread_id,
        step=1,
        approval=await world.approvals.get(yes_to(waiting).approval_id, "north"),
    )
    assert (again.status, again.reason) == ("failed", "unknown")
    assert len(depot.sent) == 1


@dataclass
class SetClock(ManualClock):
    """A clock whose wall time can be set. The time that only runs forward does not know of it."""

    off: timedelta = timedelta()

    def now(self) -> datetime:
        return self.time + self.off


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
    first, second = await answer(world.agent(), SEND, NORTH), await answer(world.agent(), SEND, NORTH)
    clock.off = timedelta(hours=hours)
    assert (await resume(world.agent(), yes_to(first), LEAD)).status == "answered"
    clock.off = timedelta(hours=24)
    with pytest.raises(Gone):
        await resume(world.agent(), yes_to(second), LEAD)
    assert len(world.depot.sent) == 1
    world.close()
