"""Announcements of approvals, in a thread beside the run. A failed one changes nothing about its approval."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock, Semaphore

from extensions.notifier.notice import ApprovalNotice
from foundation.errors import SixplyError
from orchestration.actions import Approval

# Most announcements in the queue; an address that is down must not fill the memory
MOST_WAITING = 100

logger = logging.getLogger(__name__)


class Announcer:
    """Passes notices on, one at a time, in a thread of its own. `notify` raises ComponentError: nobody could be told."""

    def __init__(self, notify: Callable[[ApprovalNotice], None], *, link: str = "") -> None:
        self._notify, self._link = notify, link
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="announce-approvals")
        self._room, self._lock = Semaphore(MOST_WAITING), Lock()
        self._failed = 0
        self._closing = self._gives_up = False

    def failed(self) -> int:
        """Return the number of failed announcements since the start; a metric."""
        return self._failed

    def announce(self, approval: Approval) -> None:
        """Queue an announcement. Returns at once and raises nothing."""
        if not self._room.acquire(blocking=False):
            self._note_failure(approval.approval_id, "too many wait to be announced")
            return
        try:
            self._thread.submit(self._tell, approval)
        except RuntimeError:  # the system closes
            self._note_failure(approval.approval_id, "the system is closing")

    def close(self) -> None:
        """Announce what is queued, up to the first failure, so that closing cannot take the time-out of each."""
        self._closing = True
        self._thread.shutdown(wait=True)

    def _tell(self, approval: Approval) -> None:
        failure = "the one before could not be announced, and the system is closing" if self._gives_up else ""
        try:
            if not failure:
                self._notify(notice_of(approval, self._link))
        except SixplyError as error:
            failure = str(error)
        except Exception as error:  # a notifier from outside may raise anything
            failure = type(error).__name__
        self._room.release()
        if failure:
            self._note_failure(approval.approval_id, failure)

    def _note_failure(self, approval_id: str, why: str) -> None:
        with self._lock:
            self._failed += 1
            self._gives_up = self._closing
        logger.warning("approval %r waits, and nobody could be told: %s", approval_id, why)


def notice_of(approval: Approval, link: str) -> ApprovalNotice:
    """Return the notice of an approval, with `{approval_id}` in `link` filled in."""
    fields = {name: getattr(approval, name) for name in ApprovalNotice.model_fields if name != "link"}
    return ApprovalNotice(**fields, link=link.replace("{approval_id}", approval.approval_id))
