"""Python's garbage collector, set for a process that makes some hundred thousand objects at its start and keeps them."""

from __future__ import annotations

import atexit
import gc

THRESHOLD = 10_000
"""New objects after which the collector looks at the young ones, instead of 700."""


def keep_what_is_imported() -> None:
    """Let the collector look at modules and classes less often, and not at all when the process ends.

    The end of a process looks several times through all that is left. Files and databases are closed before that, by
    whoever opened them, and the memory goes back as a whole.
    """
    gc.set_threshold(THRESHOLD)
    atexit.register(gc.freeze)
