"""Places where fault tests kill the process, by name: `SIXPLY_CRASH_AT=after_effect`. Otherwise nothing happens.

The executor has approval_asked, decided, before_effect, after_effect and after_ledger; each step of an agent has its name
with _begun and _done; a reindex has before_adopt; ingest and index have those of `WRITING`.
"""

from __future__ import annotations

import os
import signal

WRITING = ("before_commit", "after_commit", "mid_index", "before_index_sequence")
"""On the way of a document into the ledger and on into the index, in this order."""


def crash_point(name: str) -> None:
    """End the process here and now by SIGKILL, without any clean-up, if the environment names this point."""
    if os.environ.get("SIXPLY_CRASH_AT") == name:
        os.kill(os.getpid(), signal.SIGKILL)
