"""Telling people that an approval waits, beside the run: nobody waits for it, and the approval stands whatever comes of it."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from foundation.errors import SixplyError
from orchestration.actions import Approval, ApprovalNotice
from orchestration.contract import ApprovalNotifier

MOST_WAITING = 100
"""Announcements that wait for the one under way: an address that is down must not fill the memory."""

logger = logging.getLogger(__name__)


class Announcer:
    """Hands notices to a notifier, one after another, in a thread of its own.

    A notice holds no arguments and no words of a person: what an approval is about is read where it is decided, by those who may.
    """

    def __init__(self, notifier: ApprovalNotifier, *, link: str = "") -> None:
        self._notifier, self._link = notifier, link
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="announce-approvals")
        self._lock = Lock()
        self._waiting = 0
        self._failed = 0
        self._closing = self._gives_up = False

    def failed(self) -> int:
        """How many could not be announced since the start: a number for operators."""
        return self._failed

    def announce(self, approval: Approval) -> None:
        """Have it announced soon. Returns at once and raises nothing."""
        with self._lock:
            full = self._waiting >= MOST_WAITING
            self._waiting += not full
        if full:
            self._note_failure(approval.approval_id, "too many wait to be announced")
            return
        try:
            self._thread.submit(self._tell, approval)
        except RuntimeError:  # the system closes
            self._note_failure(approval.approval_id, "the system is closing")

    def close(self) -> None:
        """Announce what still waits, up to the first failure: an end must not last as long as all of them may."""
        self._closing = True
        self._thread.shutdown(wait=True)

    def _tell(self, approval: Approval) -> None:
        try:
            if self._gives_up:
                self._note_failure(
                    approval.approval_id, "the one before could not be announced, and the system is closing"
                )
            else:
                self._notifier.announce(notice_of(approval, self._link))
        except SixplyError as error:
            self._note_failure(approval.approval_id, str(error))
        except Exception as error:  # a notifier from outside may raise anything
            self._note_failure(approval.approval_id, type(error).__name__)
        finally:
            with self._lock:
                self._waiting -= 1

    def _note_failure(self, approval_id: str, why: str) -> None:
        with self._lock:
            self._failed += 1
            self._gives_up = self._closing
        logger.warning("approval %r waits, and nobody could be told: %s", approval_id, why)


def notice_of(approval: Approval, link: str) -> ApprovalNotice:
    """What may be told of an approval. `{approval_id}` in the link is filled in."""
    return ApprovalNotice(
        approval_id=approval.approval_id,
        tenant=approval.tenant,
        tool=approval.tool,
        requested_at=approval.requested_at,
        expires_at=approval.expires_at,
        link=link.replace("{approval_id}", approval.approval_id),
    )
