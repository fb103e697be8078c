"""A plan that nobody decides: the tools that are configured, then the documents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from foundation.components import load
from foundation.errors import InvalidSetting
from foundation.settings import Part
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer
from orchestration.settings import OrchestrationSettings
from tests.doubles.orchestration import NORTH, World


@pytest.fixture
def world(data_dir: Path) -> Iterator[World]:
    world = World(data_dir)
    yield world
    world.close()


@pytest.mark.parametrize(("name", "says"), [("find_parcels", "find_parcel"), ("send_parcel", "has an effect")])
def test_a_tool_that_is_not_there_or_has_an_effect_is_refused_at_start(world: World, name: str, says: str) -> None:
    with pytest.raises(InvalidSetting, match=says):
        load("orchestration.planner", Part(use="fixed", tools=[name]), world.parts())


@pytest.mark.parametrize(
    ("question", "plan"),
    [
        ("Where is parcel P-123?", ["find_parcel P-123", "answer"]),
        ("Please send it now", ["answer"]),
    ],
)
async def test_a_tool_is_called_where_all_that_it_needs_is_stated(world: World, question: str, plan: list[str]) -> None:
    parts = world.parts()
    planner = load("orchestration.planner", Part(use="fixed", tools=["find_parcel"]), parts)
    tools = list(parts.executor.tools)
    made = await planner.plan(question, tools, None, allowed=frozenset({"find_parcel"}))
    assert [" ".join([step.tool, *step.arguments.values()]) or "answer" for step in made.steps] == plan


async def test_an_agent_takes_the_planner_of_its_section_and_an_older_name_of_its_own(world: World) -> None:
    request = AnswerRequest(question="Please send parcel P-123 now")
    assert (await answer(world.agent(planner="fixed"), request, NORTH)).plan.made_by == "fixed"  # type: ignore[union-attr]
    assert OrchestrationSettings().planner == Part(use="classifier")
