"""Each approval that waits is a line in the log, whatever notifier is configured."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

import pytest

from foundation.components import Assembly, Context, available
from foundation.settings import Part
from orchestration.actions import ApprovalNotice
from orchestration.build import open_orchestration
from orchestration.effects.records import Recorders
from orchestration.settings import OrchestrationSettings, PolicySettings
from tests.doubles.orchestration import NORTH, Depot


class Notes:
    """A notifier, a double from outside of the tree."""

    notices: ClassVar[list[ApprovalNotice]] = []

    def announce(self, notice: ApprovalNotice) -> None:
        self.notices.append(notice)


# a project without notifiers takes none from outside either
NOTIFIERS = [None, Part(use=f"{__name__}:Notes")] if available("orchestration.notifier") else [None]


@pytest.mark.parametrize("notifier", NOTIFIERS)
async def test_an_approval_that_waits_is_one_line_of_the_log_that_no_name_can_break(
    data_dir: Path, caplog: pytest.LogCaptureFixture, notifier: Part | None
) -> None:
    Notes.notices.clear()
    caplog.set_level(logging.INFO)
    policy = PolicySettings(roles={"clerk": ("send_parcel",)})
    forging = NORTH.__class__(NORTH.subject, "north\napproval 'ap-2' waits", NORTH.roles)
    with ExitStack() as opened:
        assembly = Assembly(Context(data_dir=data_dir), opened)
        settings = OrchestrationSettings(
            policy=policy, notifier=notifier, approval_link="https://desk.example.com/#/approvals/{approval_id}"
        )
        acting = open_orchestration(settings, assembly, recorders=Recorders())
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
    approval_id = outcome.approval.approval_id
    link = f"https://desk.example.com/#/approvals/{approval_id}"
    assert line.startswith(f"approval {approval_id!r}")
    assert line.endswith(f", {link!r}")
    told = [(approval_id, link)] if notifier else []
    assert [(notice.approval_id, notice.link) for notice in Notes.notices] == told
    assert "send_parcel" in line
    assert "\n" not in line
    assert "it waits" not in line
