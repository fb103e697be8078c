"""What an object costs is on the bill, and a stop ends the writing of one at once."""
# ruff: noqa: F401, F811 - a fixture of test_bill_parity.py

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from extensions.development.scripted_chat import ScriptedChat
from extensions.objects.objects import Objects
from foundation.errors import Stopped
from tests.doubles.orchestration import NORTH, World
from tests.doubles.provider import metered
from tests.integration.test_bill_parity import ADA, FACT, Open, open_desk


@pytest.fixture
async def world(data_dir: Path) -> AsyncIterator[World]:
    made = World(data_dir)
    yield made
    made.close()


class Lamp(BaseModel):
    """A lamp."""

    colour_of_the_shade: Literal["jade", "onyx"]


async def test_an_object_and_its_repair_are_two_calls_on_the_bill(open_desk: Open) -> None:
    desk = open_desk(
        metered('{"colour_of_the_shade": "pink"}', read=411, wrote=7),
        metered('{"colour_of_the_shade": "jade"}', read=437, wrote=9),
        extensions=["objects", "structured"],
    )
    given = await Objects.of(desk.system).answer_as(Lamp, "Which colour?", ADA, text=FACT)
    assert given.object == Lamp(colour_of_the_shade="jade")
    desk.demand_parity()
    assert given.cost_usd == sum(row.usd for row in desk.system.observability.costs.of_answer(given.answer_id))


async def test_an_object_that_a_model_writes_for_a_stopped_tenant_is_left_at_once(world: World) -> None:
    begun = asyncio.Event()

    class Waiting(ScriptedChat):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            begun.set()
            await asyncio.sleep(600)

    class Wanted(BaseModel):
        code: str = Field(pattern=r"^X-\d{9}$")

    world.chat = Waiting()
    stopped: list[str] = []

    def demand(kind: str, name: str = "") -> None:
        if name in stopped:
            raise Stopped(f"{kind} {name} is stopped.")

    objects = Objects(world.parts(), demand, world.recorders)
    asked = asyncio.create_task(objects.answer_as(Wanted, "Which code?", NORTH, text="None stands here."))
    await asyncio.wait_for(begun.wait(), 60)
    stopped.append("north")
    with pytest.raises(Stopped):
        await asked
