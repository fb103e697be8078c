"""What an answer of several calls costs: a plan, its repair, a retry, and what is written."""

from __future__ import annotations

import json

import pytest

from tests.doubles.orchestration import PLANNED
from tests.doubles.provider import metered, status
from tests.integration.test_bill_parity import QUESTIONS, Open, open_desk, reply

__all__ = ["open_desk"]


def plan_of(*asks: str) -> str:
    steps = [{"kind": "answer", "ask": ask, "after": []} for ask in asks]
    return json.dumps({"decision": "work", "steps": steps, "missing": [], "reason": "two questions"})


@pytest.mark.parametrize("agent", PLANNED)
async def test_a_plan_its_repair_a_retry_and_what_is_written_are_charged_call_by_call(
    agent: str, open_desk: Open
) -> None:
    desk = open_desk(
        metered("Let me see.", read=901, wrote=4),
        metered(plan_of(*QUESTIONS[:2]), read=953, wrote=61, cached=896),
        status(503),
        reply(read=1001, wrote=11),
        reply(read=1013, wrote=17),
        agent=f'use = "{agent}"\nplanner = "model"',
        extensions=["planned_agent", "structured"],
    )
    given = await desk.ask(" And: ".join(QUESTIONS[:2]))
    assert (given.status, given.plan and given.plan["made_by"]) == ("answered", "model")
    assert len(desk.provider.billed) == (3 if agent == "graph" else 4)  # the team writes for each question
    assert len(desk.provider.requests) == len(desk.provider.billed) + 1  # the one that failed
    desk.demand_parity()
    assert {row.answer_id for row in desk.ours} == {given.answer_id}
    assert given.cost_usd == sum(row.usd for row in desk.system.observability.costs.of_answer(given.answer_id))
    assert given.usage.input_tokens == sum(one["read"] for one in desk.theirs)
    assert given.usage.output_tokens == sum(one["wrote"] for one in desk.theirs)
