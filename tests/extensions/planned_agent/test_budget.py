"""Budgets that run out in the middle, also by many runs at once: B26 of the fault matrix."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from extensions.development.scripted_chat import ScriptedChat
from extensions.planned_agent import document_steps
from foundation.machine import deadline
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer
from orchestration.run.spending import SqliteSpending
from orchestration.settings import AnswerSettings, BudgetSettings, DayLimits
from tests.doubles.orchestration import NORTH, SOUTH, World

QUESTION = "How much may a parcel weigh?"
REPLY = "A parcel may weigh at most 30 kilograms [1]."


@pytest.fixture
async def world(data_dir: Path) -> AsyncIterator[World]:
    made = World(data_dir, agents="graph", answers=AnswerSettings(compose="generative"))
    made.chat = ScriptedChat(replies=(REPLY,))
    yield made
    made.close()


def limited(world: World, **limits: DayLimits) -> SqliteSpending:
    world.budget = BudgetSettings(**limits)
    spending = SqliteSpending(world.folder / "spending.sqlite", world.budget, world.clock)
    world.spending = spending
    return spending


async def test_twenty_runs_at_once_overspend_by_at_most_one_call(world: World) -> None:
    limit = 0.002
    spending = limited(world, tenant_day={"usd": limit})
    agent = world.agent()
    given = await asyncio.gather(*(answer(agent, AnswerRequest(question=QUESTION), NORTH) for _ in range(20)))
    calls = [charge.usd for charge in world.till.charges if charge.kind == "chat" and charge.usd]
    stopped = [one for one in given if one.stop_reason == "budget"]
    assert 0 < len(calls) < 20
    assert len(stopped) == 20 - len(calls)
    assert sum(calls) <= Decimal(str(limit)) + max(calls)
    assert await spending.today("north") == (sum(usd * 1_000_000 for usd in calls), sum(calls))
    for one in stopped:
        assert one.status == "answered"  # quoting costs nothing more
        assert one.degraded == ("budget used up: USD of the day",)
    spending.close()


async def test_another_tenant_is_not_stopped_by_it(world: World) -> None:
    spending = limited(world, tenant_day={"tokens": 500})
    agent = world.agent()
    while (given := await answer(agent, AnswerRequest(question=QUESTION), NORTH)).stop_reason != "budget":
        assert given.path == "generative"
    assert (await answer(agent, AnswerRequest(question=QUESTION), SOUTH)).path == "generative"
    spending.close()


async def test_a_request_that_may_cost_nothing_makes_no_call_and_says_why(world: World) -> None:
    given = await answer(world.agent(), AnswerRequest(question=QUESTION, max_usd=0), NORTH)
    assert (given.stop_reason, given.path, given.status) == ("budget", "extractive", "answered")
    assert [charge.kind for charge in world.till.charges] == ["machine"]


@pytest.mark.parametrize(
    ("limits", "what"), [({"steps": 3}, "steps"), ({"tokens": 50}, "tokens"), ({"usd": 0.0001}, "USD")]
)
async def test_each_limit_of_a_request_stops_it_before_the_call_and_is_named(
    limits: dict[str, float], what: str, world: World
) -> None:
    world.budget = BudgetSettings(**limits)
    given = await answer(world.agent(), AnswerRequest(question=QUESTION), NORTH)
    assert (given.stop_reason, given.degraded) == ("budget", (f"budget used up: {what} of one request",))
    assert [charge.kind for charge in world.till.charges] == ["machine"]


@pytest.mark.parametrize("step", ["retrieve", "evidence_of", "verify"])
async def test_the_seconds_of_a_run_end_its_computing(world: World, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def compute_on(*_: Any, **__: Any) -> None:
        while True:
            deadline.check()

    if step == "retrieve":
        monkeypatch.setattr(type(world.parts().retriever), step, compute_on)
    else:
        monkeypatch.setattr(document_steps, step, compute_on)
    world.budget = BudgetSettings(seconds=2)
    given = await answer(world.agent(), AnswerRequest(question=QUESTION), NORTH)
    assert given.stop_reason == "budget"
