"""A notifier that logs a line for each approval that waits, to be decided on the page or by `make approvals`."""

from __future__ import annotations

import logging

from foundation.components import Context
from foundation.settings import Section
from orchestration.actions import ApprovalNotice
from orchestration.contract import ApprovalNotifier

logger = logging.getLogger(__name__)


class Options(Section):
    pass


class LogNotifier:
    """Logs notices. It needs no set-up, and reaches only those who read the log."""

    def announce(self, notice: ApprovalNotice) -> None:
        logger.info(
            "approval %r of tenant %r waits: %r, until %s%s",
            notice.approval_id,
            notice.tenant,
            notice.tool,
            notice.expires_at.isoformat(timespec="minutes"),
            f", {notice.link!r}" if notice.link else "",
        )


def build(options: Options, context: Context) -> ApprovalNotifier:  # noqa: ARG001  # every adapter has this signature
    return LogNotifier()
