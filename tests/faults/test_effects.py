"""The process dies between an effect and what is known about it: the effect happens once, whatever comes after."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from foundation.errors import Conflict
from orchestration.answering import answer, resume
from orchestration.contract import Answer, AnswerRequest, Decision
from tests.doubles.effects_child import CUSTOMER, LEAD, desk

KILLED = 137


def refunds(folder: Path) -> int:
    with sqlite3.connect(folder / "desk.sqlite") as database:
        count: int = database.execute("SELECT count(*) FROM refunds WHERE order_id = 'QM-10017'").fetchone()[0]
    database.close()
    return count


async def ask_for_a_refund(folder: Path) -> Answer:
    world = desk(folder)
    waiting = await answer(world.agent(), AnswerRequest(question="Please refund order QM-10017"), CUSTOMER)
    world.close()
    assert (waiting.status, refunds(folder)) == ("waiting", 0)
    return waiting


def approve_and_die(folder: Path, approval_id: str, point: str, *flags: str) -> None:
    command = [sys.executable, "-m", "tests.doubles.effects_child", str(folder), approval_id, *flags]
    child = subprocess.run(
        command, env=os.environ | {"SIXPLY_CRASH_AT": point}, check=False, timeout=240, capture_output=True
    )
    assert child.returncode == KILLED, child.stderr.decode()[-2000:]


@pytest.mark.parametrize(("point", "already_done"), [("before_effect", 0), ("after_effect", 1), ("after_ledger", 1)])
async def test_a_crash_around_an_approved_effect_repeats_nothing(data_dir: Path, point: str, already_done: int) -> None:
    waiting = await ask_for_a_refund(data_dir)
    assert waiting.approval is not None
    await asyncio.to_thread(approve_and_die, data_dir, waiting.approval.approval_id, point)
    assert refunds(data_dir) == already_done

    world = desk(data_dir)
    decision = Decision(approval_id=waiting.approval.approval_id, approve=True)
    with pytest.raises(Conflict):
        await resume(world.agent(), decision.model_copy(update={"approve": False}), LEAD)
    done = await resume(world.agent(), decision, LEAD)
    assert (done.status, done.text) == ("answered", "Order QM-10017 has been refunded: 178.00 USD.")
    with pytest.raises(Conflict):
        await resume(world.agent(), decision, LEAD)
    assert refunds(data_dir) == 1
    world.close()


async def test_an_effect_of_unknown_fate_is_not_tried_again_where_the_tool_cannot_recognise_it(data_dir: Path) -> None:
    waiting = await ask_for_a_refund(data_dir)
    assert waiting.approval is not None
    await asyncio.to_thread(approve_and_die, data_dir, waiting.approval.approval_id, "after_effect", "once-only")
    world = desk(data_dir, idempotent=False)
    told = await resume(world.agent(), Decision(approval_id=waiting.approval.approval_id, approve=True), LEAD)
    assert (told.status, told.stop_reason) == ("failed", "error")
    assert "A person must look" in told.text
    assert refunds(data_dir) == 1
    world.close()
