"""Notifiers with one fault each, and the promise that must catch it. They write into the log, as the suite reads it."""

from __future__ import annotations

import logging
import time
from typing import Any

from orchestration.actions import ApprovalNotice

logger = logging.getLogger(__name__)


class Healthy:
    """Tells all of the notice in one line."""

    caught_by: str | None = None

    def announce(self, notice: ApprovalNotice) -> Any:
        self.tell(notice.model_dump_json())

    def tell(self, text: str) -> None:
        logger.info("%s", text)


class SaysNothing(Healthy):
    caught_by = "tells_what_waits_and_until_when"

    def announce(self, notice: ApprovalNotice) -> Any:
        del notice


class ForgetsTheTime(Healthy):
    caught_by = "tells_what_waits_and_until_when"

    def announce(self, notice: ApprovalNotice) -> Any:
        self.tell(f"{notice.approval_id} {notice.tenant} {notice.tool} {notice.link}")


class ForgetsTheLink(Healthy):
    caught_by = "tells_where_it_is_decided"

    def announce(self, notice: ApprovalNotice) -> Any:
        super().announce(notice.model_copy(update={"link": ""}))


class SaysItTwice(Healthy):
    caught_by = "tells_it_once"

    def announce(self, notice: ApprovalNotice) -> Any:
        super().announce(notice)
        super().announce(notice)


class RemembersWhatItSaid(Healthy):
    """Takes the second announcement of an approval for a mistake, though it may be the first that arrives."""

    caught_by = "tells_again_what_it_is_given_again"

    def __init__(self) -> None:
        self.told: set[str] = set()

    def announce(self, notice: ApprovalNotice) -> Any:
        if notice.approval_id not in self.told:
            self.told.add(notice.approval_id)
            super().announce(notice)


class BreaksTheLine(Healthy):
    """A name with a line end forges a second line of the log."""

    caught_by = "a_name_forges_no_second_message"

    def tell(self, text: str) -> None:
        for line in text.encode().decode("unicode_escape", "replace").split("\n"):
            logger.info("%s", line)


class ChokesOnUnicode(Healthy):
    caught_by = "takes_any_name"

    def announce(self, notice: ApprovalNotice) -> Any:
        notice.tenant.encode("ascii")
        super().announce(notice)


class AnswersBack(Healthy):
    caught_by = "gives_nothing_back"

    def announce(self, notice: ApprovalNotice) -> Any:
        super().announce(notice)
        return "approved"


class SharesABuffer(Healthy):
    """Two calls at the same time write into the same list."""

    caught_by = "survives_concurrent_calls"
    buffer: list[str] = []  # noqa: RUF012  # the fault

    def announce(self, notice: ApprovalNotice) -> Any:
        self.buffer.clear()
        self.buffer.append(notice.model_dump_json())
        time.sleep(0.002)
        self.tell(self.buffer[0])


BROKEN = [
    SaysNothing, ForgetsTheTime, ForgetsTheLink, SaysItTwice, RemembersWhatItSaid, BreaksTheLine, ChokesOnUnicode,
    AnswersBack, SharesABuffer,
]  # fmt: skip
