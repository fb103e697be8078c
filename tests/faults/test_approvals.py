"""Approvals across restarts, lost files, locks and time."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from foundation.errors import Conflict, Gone, NotFound, StoreUnavailable
from foundation.stores import sqlite_file
from orchestration.actions import Approval, Decision
from orchestration.effects.approvals import SAME_REQUEST, SqliteApprovals, find_duplicates
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer, resume
from tests.doubles.orchestration import AGENTS, LEAD, NORTH, World

SEND = AnswerRequest(question="Please send parcel P-123 now")


@pytest.fixture(params=AGENTS)
async def world(data_dir: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    made = World(data_dir, agents=request.param)
    yield made
    made.close()


def decision_on(waiting: Answer, *, approve: bool = True) -> Decision:
    assert waiting.approval is not None
    return Decision(approval_id=waiting.approval.approval_id, approve=approve)


async def test_a_restart_keeps_what_waits(world: World) -> None:
    waiting = await answer(world.agent(), SEND, NORTH)
    reopened = SqliteApprovals(world.folder / "approvals.sqlite", world.clock)
    assert [one.approval_id for one in await reopened.pending("north")] == [decision_on(waiting).approval_id]
    assert await reopened.pending("south") == []
    reopened.close()


async def test_who_lost_the_reply_that_an_effect_waits_asks_the_same_again_and_gets_it(world: World) -> None:
    announced: list[Approval] = []
    world.announce = announced.append
    agent = world.agent()
    first = await answer(agent, SEND, NORTH)
    again = SEND.model_copy(update={"thread_id": first.thread_id})
    for _ in range(2):
        repeated = await answer(agent, again, NORTH)
        assert (repeated.status, decision_on(repeated)) == ("waiting", decision_on(first))
        assert (repeated.answer_id, repeated.text) == (first.answer_id, first.text)
    assert await world.approvals.pending("north") == announced
    assert len(announced) == 1
    if world.agents != "tool_calling":  # that one goes on beside it
        with pytest.raises(Conflict, match="waits for a decision"):
            await answer(agent, again.model_copy(update={"question": "Please send parcel P-111 now"}), NORTH)
    done = await resume(agent, decision_on(first), LEAD)
    assert (done.status, len(world.depot.sent)) == ("answered", 1)
    with pytest.raises(Conflict):
        await resume(agent, decision_on(first), LEAD)
    assert len(world.depot.sent) == 1


async def test_a_request_that_a_client_sends_twice_makes_one_approval_and_one_effect(world: World) -> None:
    announced: list[Approval] = []
    world.announce = announced.append
    agent = world.agent()
    first = await answer(agent, SEND, NORTH)
    for _ in range(2):
        again = await answer(agent, SEND, NORTH)  # no thread_id and no key, as a stock client does
        assert (again.status, decision_on(again)) == ("waiting", decision_on(first))
        assert "You sent the same request at 09:00:00 UTC" in again.text
    assert await world.approvals.pending("north") == announced
    assert len(announced) == 1
    done = await resume(agent, decision_on(first), LEAD)
    late = await answer(agent, SEND, NORTH)
    assert (done.status, late.status, len(world.depot.sent)) == ("answered", "refused", 1)
    assert "lena approved it; it is not done twice" in late.text


async def test_decisions_are_listed_in_their_tenant_the_latest_first(world: World) -> None:
    agent = world.agent()
    for approve in (True, False):
        waiting = await answer(agent, SEND, NORTH)
        world.clock.time += SAME_REQUEST  # else the second one waits on the first
        await resume(agent, decision_on(waiting, approve=approve), LEAD)
    decided = await world.approvals.decided("north", limit=5)
    assert [one.status for one in decided] == ["rejected", "approved"]
    assert await world.approvals.decided("north", limit=1) == decided[:1]
    assert await world.approvals.decided("south", limit=5) == []


async def test_the_approver_reads_the_request_with_what_completed_it(world: World) -> None:
    agent = world.agent()
    back = await answer(agent, AnswerRequest(question="Please send the parcel now"), NORTH)
    assert back.text.startswith("Please tell me")
    await answer(agent, AnswerRequest(question="P-123", thread_id=back.thread_id), NORTH)
    assert [one.asked for one in await world.approvals.pending("north")] == ["Please send the parcel now\nP-123"]


async def test_what_was_asked_for_before_in_the_same_words_is_known_as_such(world: World) -> None:
    agent = world.agent()
    first = await answer(agent, SEND, NORTH)
    world.clock.time += SAME_REQUEST
    second = await answer(agent, SEND, NORTH)
    other = await answer(agent, AnswerRequest(question="Please send parcel P-111 now"), NORTH)
    pending = await world.approvals.pending("north")
    assert [one.asked for one in pending] == [SEND.question, SEND.question, "Please send parcel P-111 now"]
    assert second.approval
    assert other.approval
    assert {known: one.approval_id for known, one in find_duplicates(pending, []).items()} == {
        second.approval.approval_id: decision_on(first).approval_id
    }
    await resume(agent, decision_on(first, approve=False), LEAD)
    left = [await world.approvals.pending("north"), await world.approvals.decided("north", limit=9)]
    assert find_duplicates(*left) == {}, "what was rejected was not done"
    granted = decision_on(second).model_copy(update={"arguments": other.approval.arguments})
    await resume(agent, granted, LEAD)
    left = [await world.approvals.pending("north"), await world.approvals.decided("north", limit=9)]
    assert list(find_duplicates(*left)) == [other.approval.approval_id], "what was granted is what was done"


async def test_two_processes_that_decide_at_once_have_one_winner(world: World) -> None:
    """Each store has its own connection, as two processes would."""
    waiting = await answer(world.agent(), SEND, NORTH)
    stores = [SqliteApprovals(world.folder / "approvals.sqlite", world.clock) for _ in range(2)]
    outcomes = await asyncio.gather(
        *(store.decide(decision_on(waiting, approve=n == 0), LEAD) for n, store in enumerate(stores)),
        return_exceptions=True,
    )
    for store in stores:
        store.close()
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Approval", "Conflict"]


async def test_two_simultaneous_approvals_make_one_effect(world: World) -> None:
    agent = world.agent()
    waiting = await answer(agent, SEND, NORTH)
    outcomes = await asyncio.gather(
        *(resume(agent, decision_on(waiting), LEAD) for _ in range(4)), return_exceptions=True
    )
    assert sum(isinstance(outcome, Answer) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 3
    assert len(world.depot.sent) == 1


async def test_an_approval_in_its_last_second_counts_and_one_after_it_does_not(world: World) -> None:
    agent = world.agent()
    first = await answer(agent, SEND, NORTH)
    second = await answer(agent, AnswerRequest(question="Please send parcel P-111 now"), NORTH)
    world.clock.forward(hours=24, seconds=-1)
    assert (await resume(agent, decision_on(first), LEAD)).status == "answered"
    world.clock.forward(seconds=1)
    with pytest.raises(Gone):
        await resume(agent, decision_on(second), LEAD)
    assert await world.approvals.pending("north") == []
    assert len(world.depot.sent) == 1


async def test_a_conversation_that_waits_goes_on_beside_it_and_one_with_a_plan_once_it_is_decided_or_expired(
    world: World,
) -> None:
    agent = world.agent()
    waiting = await answer(agent, SEND, NORTH)
    more = AnswerRequest(question="Where is parcel P-123?", thread_id=waiting.thread_id)
    assert waiting.approval is not None
    if world.agents == "tool_calling":
        assert (await answer(agent, more, NORTH)).status == "answered"
        assert (await resume(agent, decision_on(waiting), LEAD)).approval.status == "approved"  # type: ignore[union-attr]
        return
    with pytest.raises(Conflict) as refused:
        await answer(agent, more, NORTH)
    assert waiting.approval.reason in str(refused.value)
    assert not re.search(r"[0-9a-f]{8}", str(refused.value)), "a person reads it"
    world.clock.forward(hours=24)
    assert (await answer(agent, more, NORTH)).status == "answered"


async def test_lost_checkpoints_are_reported_and_nothing_is_decided(world: World) -> None:
    waiting = await answer(world.agent(), SEND, NORTH)
    world.saver.close()
    for file in world.folder.glob("checkpoints.sqlite*"):
        file.unlink()
    fresh = World(world.folder, agents=world.agents)
    with pytest.raises(NotFound, match="lost"):
        await resume(fresh.agent(), decision_on(waiting), LEAD)
    with pytest.raises(NotFound):
        await answer(fresh.agent(), AnswerRequest(question="And now?", thread_id=waiting.thread_id), NORTH)
    stored = await fresh.approvals.get(decision_on(waiting).approval_id, "north")
    assert isinstance(stored, Approval)
    assert stored.status == "pending"
    fresh.close()


@pytest.mark.parametrize("file", ["approvals.sqlite", "effects.sqlite", "checkpoints.sqlite"])
async def test_a_locked_store_stops_the_effect_and_the_same_approval_works_afterwards(
    data_dir: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT_S", 0.2)
    world = World(data_dir)
    world.saver.conn.execute("PRAGMA busy_timeout = 200")
    waiting = await answer(world.agent(), SEND, NORTH)
    holder = sqlite3.connect(data_dir / file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable):
        await resume(world.agent(), decision_on(waiting), LEAD)
    holder.execute("ROLLBACK")
    holder.close()
    assert (await resume(world.agent(), decision_on(waiting), LEAD)).status == "answered"
    assert len(world.depot.sent) == 1
    world.close()
