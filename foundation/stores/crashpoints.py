"""Named points at which fault tests kill the process: `SIXPLY_CRASH_AT=after_effect`. Otherwise they do nothing.

The executor has approval_asked, decided, before_effect, after_effect and after_ledger; each step of an agent has its name
with _begun and _done; a reindex has before_adopt; ingest and index have those of `WRITING`.
"""

import os
import signal

# Points on a document's way into the ledger and the index, in this order
WRITING = ("before_commit", "after_commit", "mid_index", "before_index_sequence")


def crash_point(name: str) -> None:
    """Kill the process by SIGKILL, without clean-up, if the environment names this point."""
    if os.environ.get("SIXPLY_CRASH_AT") == name:
        os.kill(os.getpid(), signal.SIGKILL)
