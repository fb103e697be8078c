"""A plan that nobody decides: the documents are asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from extensions.planned_agent.steps import PLANNERS, Options
from foundation.components import load
from foundation.settings import Part
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer
from tests.doubles.orchestration import NORTH, World


@pytest.fixture
def world(data_dir: Path) -> Iterator[World]:
    world = World(data_dir, agents="graph")
    yield world
    world.close()


async def test_the_documents_are_asked_whatever_the_request(world: World) -> None:
    parts = world.parts()
    planner = load(PLANNERS, Part(use="fixed"), parts)
    for question in ("Where is parcel P-123?", "Please send it now"):
        made = await planner.plan(question, list(parts.executor.tools), None, allowed=frozenset({"find_parcel"}))
        assert [(step.kind, step.ask) for step in made.steps] == [("answer", question)]


async def test_an_agent_takes_the_planner_that_its_option_names(world: World) -> None:
    request = AnswerRequest(question="Please send parcel P-123 now")
    assert (await answer(world.agent(planner="fixed"), request, NORTH)).plan["made_by"] == "fixed"  # type: ignore[union-attr]
    assert Options().planner == Part(use="classifier")
