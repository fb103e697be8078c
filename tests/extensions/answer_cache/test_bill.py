"""What an answer costs that is given again, and which extensions it takes."""

from pathlib import Path

import pytest

from foundation.errors import UnknownSetting
from serving.settings import load
from tests.doubles.stacks import stack
from tests.integration.test_bill_parity import Open, open_desk, reply

__all__ = ["open_desk"]
GRAPH, ON = 'use = "graph"', ["answer_cache", "planned_agent", "structured"]


async def test_an_answer_that_is_given_again_costs_no_model(open_desk: Open) -> None:
    desk = open_desk(reply(), agent=GRAPH, extensions=ON)
    first, again = await desk.ask(), await desk.ask()
    assert (first.cached, again.cached) == (None, "exact")
    desk.demand_parity()
    assert len(desk.ours) == 1
    [cached] = [row for row in desk.system.observability.costs.all() if row.kind == "cached"]
    assert (cached.usd, cached.answer_id) == (0, again.answer_id)


async def test_off_every_answer_is_made_anew(open_desk: Open) -> None:
    desk = open_desk(reply(), reply(), agent=GRAPH, extensions=["planned_agent", "structured"])
    first, again = await desk.ask(), await desk.ask()
    assert (first.cached, again.cached) == (None, None)
    assert len(desk.ours) == 2


def test_its_section_while_it_is_off_says_how_to_turn_it_on(tmp_path: Path) -> None:
    with pytest.raises(UnknownSetting, match="make add NAME=answer_cache"):
        load(stack(tmp_path, '[answer_cache]\nmode = "exact"\n'))
