"""One line in the log for each approval that waits: whoever reads the log decides it on the page or by `make approvals`."""

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
    """Needs nothing and reaches nobody who does not look."""

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
