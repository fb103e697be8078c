"""The process dies anywhere in a run: it goes on from its last step, and an effect happens once, whatever comes after."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import Conflict
from orchestration.actions import Decision
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer, resume
from tests.doubles.effects_child import CUSTOMER, LEAD, QUESTION, desk

DONE = "Order QM-10017 has been refunded: 178.00 USD."
WHILE_A_CALL_IS_APPROVED = {
    "decided": 0,
    "tool_begun": 0,
    "before_effect": 0,
    "after_effect": 1,
    "after_ledger": 1,
    "tool_done": 1,
    "model_begun": 1,
    "model_done": 1,
}
"""Each point with the refunds that have happened by then."""

Kill = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def kill() -> Iterator[Kill]:
    """Do something in a process of its own that is killed at a point; what it had said of its steps until then."""
    command = [sys.executable, "-m", "tests.doubles.effects_child"]
    nursery = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    answers, orders = nursery.stdout, nursery.stdin

    def killed(folder: Path, act: str, point: str, **order: Any) -> list[dict[str, Any]]:
        print(
            json.dumps({"idempotent": True, **order, "folder": str(folder), "act": act, "point": point}),
            file=orders,
            flush=True,
        )
        said: list[dict[str, Any]] = []
        for line in answers:
            told = json.loads(line)
            if "ended" in told:
                assert told["ended"] == -signal.SIGKILL
                return said
            said.append(told)
        raise AssertionError("the nursery of processes ended")

    yield killed
    orders.close()
    nursery.wait(60)
    answers.close()


def refunds(folder: Path) -> int:
    with sqlite3.connect(folder / "desk.sqlite") as database:
        count: int = database.execute("SELECT count(*) FROM refunds WHERE order_id = 'QM-10017'").fetchone()[0]
    database.close()
    return count


async def ask_for_a_refund(folder: Path, agent: str) -> Answer:
    world = desk(folder, agent)
    waiting = await answer(world.agent(), AnswerRequest(question=QUESTION), CUSTOMER)
    world.close()
    assert (waiting.status, refunds(folder)) == ("waiting", 0)
    return waiting


@pytest.mark.parametrize("point", ["model_begun", "model_done", "tool_begun", "approval_asked"])
async def test_a_model_that_calls_tools_goes_on_where_it_was_cut_off(data_dir: Path, kill: Kill, point: str) -> None:
    before = await asyncio.to_thread(kill, data_dir, "ask", point, agent="tool_calling")
    world = desk(data_dir, "tool_calling")
    thread_id = before[-1]["thread_id"] if before else None
    waiting = await answer(world.agent(), AnswerRequest(question=QUESTION, thread_id=thread_id), CUSTOMER)
    assert (waiting.status, refunds(data_dir)) == ("waiting", 0)
    pending = await world.approvals.pending("alder-clinics")
    assert [approval.approval_id for approval in pending] == [waiting.approval and waiting.approval.approval_id]
    assert (await resume(world.agent(), Decision(approval_id=pending[0].approval_id, approve=True), LEAD)).text == DONE
    assert refunds(data_dir) == 1
    world.close()


@pytest.mark.parametrize(("point", "already_done"), WHILE_A_CALL_IS_APPROVED.items())
async def test_an_approved_call_of_a_model_happens_once_wherever_the_process_dies(
    data_dir: Path, kill: Kill, point: str, already_done: int
) -> None:
    waiting = await ask_for_a_refund(data_dir, "tool_calling")
    assert waiting.approval is not None
    decision = Decision(approval_id=waiting.approval.approval_id, approve=True)
    await asyncio.to_thread(kill, data_dir, "approve", point, agent="tool_calling", id=decision.approval_id)
    assert refunds(data_dir) == already_done
    world = desk(data_dir, "tool_calling")
    done = await resume(world.agent(), decision, LEAD)
    assert (done.status, done.text) == ("answered", DONE)
    with pytest.raises(Conflict):
        await resume(world.agent(), decision, LEAD)
    assert refunds(data_dir) == 1
    world.close()
