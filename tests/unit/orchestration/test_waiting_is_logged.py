"""Each approval that waits is a line in the log, and whoever plugged in as an announcer is told of it."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import Mock

import pytest

from foundation.components import Assembly, Context
from orchestration.actions import Approval
from orchestration.build import open_orchestration
from orchestration.effects.records import Recorders
from orchestration.settings import OrchestrationSettings, PolicySettings
from retrieval.contract import DocumentLedger, Retriever
from tests.doubles.orchestration import NORTH, Depot


async def test_an_approval_that_waits_is_one_line_of_the_log_that_no_name_can_break(
    data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    policy = PolicySettings(roles={"clerk": ("send_parcel",)})
    forging = NORTH.__class__(NORTH.subject, "north\napproval 'ap-2' waits", NORTH.roles)
    with ExitStack() as opened:
        assembly = Assembly(Context(data_dir=data_dir), opened)
        told: list[Approval] = []
        acting = open_orchestration(
            OrchestrationSettings(policy=policy),
            assembly,
            recorders=Recorders(),
            announcers=[told.append],
            ledger=Mock(DocumentLedger),
            retriever=Mock(Retriever),
        )
        executor = acting.executor.__class__(
            tools=Depot().tools(),
            policy=policy,
            approvals=acting.approvals,
            effects=acting.executor._effects,
            recorders=acting.recorders,
            clock=assembly.context.clock,
            announce=acting.executor._announce,
        )
        arguments = {"parcel_id": "P-123", "reason": "it waits"}
        outcome = await executor.call("send_parcel", arguments, principal=forging, run_id="r", thread_id="t", step=0)
    assert outcome.approval is not None
    (line,) = [record.getMessage() for record in caplog.records if record.name == "orchestration.build"]
    assert line.startswith(f"approval {outcome.approval.approval_id!r}")
    assert told == [outcome.approval]
    assert "send_parcel" in line
    assert "\n" not in line
    assert "it waits" not in line
