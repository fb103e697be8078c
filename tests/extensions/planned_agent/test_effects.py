"""The process dies anywhere in a run of an agent that plans: it goes on from its last step, and an effect happens once."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from foundation import names
from foundation.components import Context, load
from foundation.errors import Conflict
from foundation.settings import Part
from observability.reports.layer_bill import layer_bill
from observability.settings import ObservabilitySettings
from observability.stores.spans import SpanStore
from observability.telemetry import setup
from orchestration.actions import Decision
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer, resume
from tests.doubles.effects_child import CUSTOMER, LEAD, QUESTION, desk, records_in
from tests.doubles.orchestration import NORTH, PLANNED, World
from tests.faults.test_effects import DONE, Kill, ask_for_a_refund, kill, refunds

__all__ = ["kill"]

AGENTS = PLANNED
WHILE_ASKING = ("plan_begun", "plan_done", "tool_begun", "approval_asked", "tool_done")
WHILE_APPROVING = {
    "decided": 0,
    "effect_begun": 0,
    "before_effect": 0,
    "after_effect": 1,
    "after_ledger": 1,
    "effect_done": 1,
    "finish_begun": 1,
}
"""Each point with the refunds that have happened by then."""


def names_of(given: Answer) -> list[str]:
    return [step.name for step in given.steps if step.name != "hand_off"]


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("point", WHILE_ASKING)
async def test_a_question_that_was_cut_off_goes_on_from_its_last_step_when_it_is_asked_again(
    data_dir: Path, kill: Kill, point: str, agent: str
) -> None:
    before = await asyncio.to_thread(kill, data_dir, "ask", point, agent=agent)
    world = desk(data_dir, agent)
    thread_id = before[-1]["thread_id"] if before else None
    for lost in await world.approvals.pending("alder-clinics"):
        with pytest.raises(Conflict, match=f"cut off .* ask the same again in conversation {lost.thread_id}"):
            await resume(world.agent(), Decision(approval_id=lost.approval_id, approve=True), LEAD)
    waiting = await answer(world.agent(), AnswerRequest(question=QUESTION, thread_id=thread_id), CUSTOMER)
    assert (waiting.status, refunds(data_dir)) == ("waiting", 0)
    assert names_of(waiting) == ["plan", "tool"]
    pending = await world.approvals.pending("alder-clinics")
    assert [one.approval_id for one in pending] == [waiting.approval and waiting.approval.approval_id]
    assert (await resume(world.agent(), Decision(approval_id=pending[0].approval_id, approve=True), LEAD)).text == DONE
    assert refunds(data_dir) == 1
    world.close()


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize(("point", "already_done"), WHILE_APPROVING.items())
async def test_a_crash_around_an_approved_effect_repeats_nothing_and_the_story_is_one_trace(
    data_dir: Path, kill: Kill, point: str, already_done: int, agent: str
) -> None:
    exporter = load("observability.exporters", Part(use="sqlite"), Context(data_dir=data_dir))
    with setup.start(ObservabilitySettings(), [exporter], manifest_id="m-1") as running:
        waiting = await ask_for_a_refund(data_dir, agent)
        assert waiting.approval is not None
        await asyncio.to_thread(kill, data_dir, "approve", point, agent=agent, id=waiting.approval.approval_id)
        assert refunds(data_dir) == already_done

        world = desk(data_dir, agent)
        decision = Decision(approval_id=waiting.approval.approval_id, approve=True)
        with pytest.raises(Conflict):
            await resume(world.agent(), decision.model_copy(update={"approve": False}), LEAD)
        done = await resume(world.agent(), decision, LEAD)
        assert (done.status, done.text) == ("answered", DONE)
        with pytest.raises(Conflict):
            await resume(world.agent(), decision, LEAD)
        assert refunds(data_dir) == 1
        world.close()
        running.flush()

    assert done.trace_id == waiting.trace_id
    assert names_of(done) == ["plan", "tool", "effect"]
    spans = SpanStore(data_dir / "spans.sqlite").trace(str(waiting.trace_id))
    # with the point after the step, it was the killed process that did it, and its last second of spans is lost
    told = {"plan", "tool"} if point in {"effect_done", "finish_begun"} else {"plan", "tool", "effect"}
    assert told <= {span.name for span in spans}
    called = agent if ":" not in agent else "team"
    went_on = [span.attribute(names.STEPS_BEFORE) for span in spans if span.name == f"invoke_agent {called}"]
    assert went_on[0] is None
    assert all(before.startswith("plan, ") and "tool" in before for before in went_on[1:])
    records = [(record.act, record.outcome) for record in records_in(data_dir)]
    assert ("decision", "decided") in records, "whoever decided is told, wherever the process was killed"
    assert ("tool", "done") in records
    bill = layer_bill(spans, [])
    assert bill.exact
    assert bill.ns >= sum(span.end_ns - span.start_ns for span in spans if span.name == f"invoke_agent {agent}")


async def test_an_effect_of_unknown_fate_is_not_tried_again_where_the_tool_cannot_recognise_it(
    data_dir: Path, kill: Kill
) -> None:
    waiting = await ask_for_a_refund(data_dir, "graph")
    assert waiting.approval is not None
    decision = Decision(approval_id=waiting.approval.approval_id, approve=True)
    await asyncio.to_thread(
        kill, data_dir, "approve", "after_effect", id=decision.approval_id, agent="graph", idempotent=False
    )
    world = desk(data_dir, idempotent=False)
    told = await resume(world.agent(), decision, LEAD)
    assert (told.status, told.stop_reason) == ("failed", "error")
    assert "A person must look" in told.text
    assert refunds(data_dir) == 1
    world.close()


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("point", ["grade_begun", "compose_begun", "verify_begun", "finish_begun"])
async def test_an_answer_from_documents_goes_on_behind_the_last_step_that_had_ended(
    data_dir: Path, kill: Kill, point: str, agent: str
) -> None:
    question = "How many kilograms may a parcel weigh at most?"
    order = {"agent": agent, "question": question, "compose": "extractive"}
    before = await asyncio.to_thread(kill, data_dir, "ask", point, **order)
    world = desk(data_dir, agent)
    again = AnswerRequest(question=question, thread_id=before[-1]["thread_id"])
    done = await answer(world.agent(), again, CUSTOMER)
    assert (done.status, "30 kilograms" in done.text) == ("answered", True)
    assert names_of(done) == ["plan", "retrieve", "grade", "compose", "verify"]
    world.close()


async def test_a_long_answer_is_not_begun_again_either(data_dir: Path) -> None:
    """What was searched is searched once more, since no passage is kept; what was planned is not planned again."""
    world = World(data_dir, agents=PLANNED[0])
    question = "How many kilograms may a parcel weigh at most?"
    async with aclosing(world.agent().stream(AnswerRequest(question=question), NORTH)) as events:  # type: ignore[type-var]
        async for event in events:
            if event.step and event.step.name == "grade":
                break
    again = AnswerRequest(question=question, thread_id=event.thread_id)
    done = await answer(world.agent(), again, NORTH)
    assert (done.status, "30 kilograms" in done.text) == ("answered", True)
    names = [step.name for step in done.steps]
    assert (names[:3], names.count("plan"), names.count("retrieve")) == (["plan", "retrieve", "grade"], 1, 1)
    world.close()
