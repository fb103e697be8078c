"""Settings of Python's garbage collector, for a process that creates some hundred thousand objects at its start and keeps them."""

from __future__ import annotations

import atexit
import gc

# New objects after which the collector scans the youngest generation, instead of 700
THRESHOLD = 10_000


def keep_what_is_imported() -> None:
    gc.set_threshold(THRESHOLD)
    # Python scans all objects several times at exit (a second for a server), though owners close their files
    atexit.register(gc.freeze)
