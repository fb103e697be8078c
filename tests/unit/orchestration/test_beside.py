"""A conversation goes on while an approval of it waits, and what comes of the call is told in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, ToolMessage

from foundation.errors import Conflict, Forbidden
from orchestration.actions import Decision
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer, resume
from tests.doubles.orchestration import LEAD, NORTH, READER, World
from tests.doubles.strong import calls, strong

SEND = ("send_parcel", {"parcel_id": "P-124", "reason": "urgent"})
ASKED = "Where is P-123? And please send P-124, it is urgent."


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, agents="tool_calling")
    yield world
    world.close()


async def begin(world: World, *replies: Any) -> tuple[Any, Answer]:
    """A conversation whose first turn found a parcel and asks to send another one."""
    world.chat = strong(calls(("find_parcel", {"parcel_id": "P-123"}), SEND), *replies)
    agent = world.agent()
    return agent, await answer(agent, AnswerRequest(question=ASKED), NORTH)


def decision(waiting: Answer, *, approve: bool = True, reason: str = "") -> Decision:
    assert waiting.approval is not None
    return Decision(approval_id=waiting.approval.approval_id, approve=approve, reason=reason)


async def test_it_goes_on_beside_what_waits_and_hears_what_came_of_it(world: World) -> None:
    agent, waiting = await begin(world, "At 8.", "P-124 has been sent.", "You are welcome.")
    beside = await answer(agent, AnswerRequest(question="When is it open?", thread_id=waiting.thread_id), NORTH)
    assert (beside.status, beside.text, world.depot.sent) == ("answered", "At 8.", [])
    found, waits = (message.text for message in world.chat.seen[-1] if isinstance(message, ToolMessage))
    assert found.startswith("Parcel P-123 is at the counter"), "what was done beside it is not said to be given up"
    assert "needs the approval of a colleague" in waits
    done = await resume(agent, decision(waiting), LEAD)
    assert (done.status, done.text, done.thread_id) == ("answered", "P-124 has been sent.", waiting.thread_id)
    assert [parcel for parcel, _ in world.depot.sent] == ["P-124"]
    told = world.chat.seen[-1][-1]
    assert isinstance(told, HumanMessage)
    assert "not from the person" in told.text
    assert "Parcel P-124" in told.text
    await answer(agent, AnswerRequest(question="Thank you.", thread_id=waiting.thread_id), NORTH)
    assert any("Parcel P-124" in message.text for message in world.chat.seen[-1])
    turns = await agent.conversations.turns(waiting.thread_id, NORTH)
    assert [turn.text for turn in turns][1:] == ["At 8.", "P-124 has been sent.", "You are welcome."]
    assert turns[2].approval_id == turns[0].approval_id, "whose outcome it is"
    with pytest.raises(Conflict, match="approved by lena already"):
        await resume(agent, decision(waiting), LEAD)


async def test_a_decision_whose_run_broke_off_is_taken_again_and_carried_out_once(world: World) -> None:
    agent, waiting = await begin(world, "At 8.")
    await answer(agent, AnswerRequest(question="When is it open?", thread_id=waiting.thread_id), NORTH)
    await agent._parts.executor.decide(decision(waiting), LEAD)  # the process was killed before it went on
    world.chat = strong("P-124 has been sent.")
    done = await resume(world.agent(), decision(waiting), LEAD)
    assert (done.text, len(world.depot.sent)) == ("P-124 has been sent.", 1)


async def test_two_that_wait_from_two_turns_are_each_decided(world: World) -> None:
    other = ("send_parcel", {"parcel_id": "P-125", "reason": "urgent"})
    agent, first = await begin(world, calls(other), "P-124 is on its way.", "P-125 was not approved.")
    request = AnswerRequest(question="And P-125, urgent as well.", thread_id=first.thread_id)
    second = await answer(agent, request, NORTH)
    assert (first.status, second.status) == ("waiting", "waiting")
    done = await resume(agent, decision(first), LEAD)
    refused = await resume(agent, decision(second, approve=False, reason="not today"), LEAD)
    assert (done.text, refused.text) == ("P-124 is on its way.", "P-125 was not approved.")
    assert [parcel for parcel, _ in world.depot.sent] == ["P-124"]
    assert "did not approve it: not today" in world.chat.seen[-1][-1].text


@pytest.mark.parametrize("beside", [True, False])
async def test_who_asked_withdraws_it_and_nobody_else_does(world: World, *, beside: bool) -> None:
    agent, waiting = await begin(world, *(["At 8."] if beside else []), "Then P-124 stays.")
    if beside:
        await answer(agent, AnswerRequest(question="When is it open?", thread_id=waiting.thread_id), NORTH)
    withdrawn = decision(waiting, approve=False)
    with pytest.raises(Forbidden):
        await resume(agent, withdrawn, READER)
    with pytest.raises(Forbidden):
        await resume(agent, decision(waiting), NORTH)
    done = await resume(agent, withdrawn, NORTH)
    assert (done.text, world.depot.sent) == ("Then P-124 stays.", [])
    assert any("ada withdrew it" in message.text for message in world.chat.seen[-1])
    with pytest.raises(Conflict):
        await resume(agent, decision(waiting), LEAD)


async def test_a_deleted_conversation_leaves_nothing_that_waits(world: World) -> None:
    agent, waiting = await begin(world, "At 8.")
    await answer(agent, AnswerRequest(question="When is it open?", thread_id=waiting.thread_id), NORTH)
    await agent.conversations.delete(waiting.thread_id, NORTH)
    assert await world.approvals.pending("north") == []
    with pytest.raises(Conflict, match="rejected by ada already"):
        await resume(agent, decision(waiting), LEAD)
    assert world.depot.sent == []
