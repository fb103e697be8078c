"""What a team does that a single agent does not. What both must do is in test_agents.py and tests/contracts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from extensions.development.scripted_chat import ScriptedChat
from extensions.planned_agent.plan import Plan, PlanStep
from observability.settings import ObservabilitySettings
from observability.telemetry import setup
from orchestration.actions import Decision
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer, resume
from orchestration.settings import AnswerSettings, BudgetSettings
from tests.doubles.orchestration import LEAD, NORTH, World

WEIGHT = PlanStep(step_id="1", kind="answer", ask="How many kilograms may a parcel weigh at most?")
HOURS = PlanStep(step_id="2", kind="answer", ask="When does the counter open in the morning?")
PARCEL = PlanStep(
    step_id="3", kind="look_up", ask="Where is P-123?", tool="find_parcel", arguments={"parcel_id": "P-123"}
)
RIGHT, WRONG = "A parcel may weigh at most 30 kilograms [1].", "A parcel may weigh at most 90 kilograms [1]."


@pytest.fixture
async def world(data_dir: Path) -> AsyncIterator[World]:
    made = World(data_dir, agents="examples.team.agent:build")
    yield made
    made.close()


async def done(world: World, *steps: PlanStep, compose: Any = None, **options: Any) -> Answer:
    async def plan(*_: Any, **__: Any) -> Plan:
        return Plan(route="several" if len(steps) > 1 else "answer", steps=steps, made_by="classifier")

    agent: Any = world.agent(**options)
    agent._steps._planners[0].plan = plan
    return await answer(agent, AnswerRequest(question="All of it, please.", compose=compose), NORTH)


def hand_offs(given: Answer, step_id: str) -> list[str]:
    told = [step.detail for step in given.steps if step.name == "hand_off" and f"step {step_id}:" in step.detail]
    return [detail.replace(f", step {step_id}", "") for detail in told]


async def test_each_question_has_its_own_search_and_its_own_part_of_the_answer(world: World) -> None:
    given = await done(world, WEIGHT, HOURS, PARCEL, compose="extractive")
    weight, hours, parcel = given.text.split("\n\n")
    assert ("30 kilograms" in weight, "opens at 8" in hours, parcel) == (True, True, "Parcel P-123 is at the counter.")
    assert sorted(world.retriever.queries) == [WEIGHT.ask, HOURS.ask]
    assert {f"[{citation.marker}]" in given.text for citation in given.citations} == {True}
    assert hand_offs(given, "1") == [
        "supervisor to researcher: find",
        "researcher to writer: write",
        "writer to checker: check",
    ]
    assert hand_offs(given, "3") == ["supervisor to analyst: call"]


async def test_what_the_checker_refuses_goes_back_to_the_writer_who_quotes(world: World) -> None:
    world.chat = ScriptedChat(replies=(WRONG,))
    given = await done(world, WEIGHT, writes=True)
    assert (given.path, "90" in given.text) == ("extractive", False)
    assert hand_offs(given, "1")[-3:] == [
        "writer to checker: check",
        "checker to writer: quote",
        "writer to checker: check",
    ]


async def test_a_draft_that_cannot_be_quoted_instead_makes_the_researcher_look_for_more(world: World) -> None:
    world.answers = AnswerSettings(compose="generative")
    world.chat = ScriptedChat(replies=(WRONG, RIGHT))
    given = await done(world, WEIGHT)
    assert (given.status, "30 kilograms" in given.text) == ("answered", True)
    assert "checker to researcher: find more" in hand_offs(given, "1")


async def test_a_specialist_stops_at_its_own_share_of_the_budget(world: World) -> None:
    """Of 10 steps the researcher may take 2: it has searched and judged once, and may not do so again."""
    world.budget = BudgetSettings(steps=10)
    nothing = PlanStep(step_id="1", kind="answer", ask="Which colour does the director's bicycle have?")
    given = await done(world, nothing, share=0.2)
    assert given.stop_reason == "budget"
    assert [step.name for step in given.steps if step.name in ("retrieve", "grade")] == ["retrieve", "grade"]


async def test_what_all_of_them_cost_is_the_runs(world: World) -> None:
    world.answers = AnswerSettings(compose="generative")
    world.chat = ScriptedChat(replies=(RIGHT, "The counter opens at 8 in the morning [1]."))
    given = await done(world, WEIGHT, HOURS)
    calls = [charge for charge in world.till.charges if charge.kind == "chat"]
    assert len(calls) == 2
    assert given.usage.input_tokens == sum(charge.usage.input_tokens or 0 for charge in calls)
    assert given.cost_usd == sum(charge.usd or 0 for charge in world.till.charges)


async def test_each_piece_of_work_is_a_span_under_the_name_of_who_did_it(world: World) -> None:
    kept = InMemorySpanExporter()
    with setup.start(ObservabilitySettings(), [kept], manifest_id="m-1") as running:
        await done(world, WEIGHT, PARCEL, compose="extractive")
        running.flush()
    spans = {span.context.span_id: span for span in kept.get_finished_spans() if span.context}
    inside = {
        span.name: spans[span.parent.span_id].name
        for span in spans.values()
        if span.parent and span.parent.span_id in spans
    }
    assert {one: inside[one] for one in ("retrieve", "tool", "compose", "verify", "plan")} == {
        "retrieve": "invoke_agent researcher",
        "tool": "invoke_agent analyst",
        "compose": "invoke_agent writer",
        "verify": "invoke_agent checker",
        "plan": "invoke_agent team",
    }


async def test_what_the_graph_left_waiting_goes_on_here(world: World) -> None:
    """A team finds its place in what is known, whoever wrote it; a graph only in its own checkpoints."""
    waiting = await answer(world.agent("graph"), AnswerRequest(question="Please send parcel P-123 now"), NORTH)
    assert waiting.approval is not None
    decision = Decision(approval_id=waiting.approval.approval_id, approve=True)
    assert (await resume(world.agent(), decision, LEAD)).status == "answered"
    assert len(world.depot.sent) == 1
