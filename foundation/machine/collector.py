"""Settings of Python's garbage collector, for a process that creates some hundred thousand objects at its start and keeps them."""

from __future__ import annotations

import atexit
import gc

THRESHOLD = 10_000
"""New objects after which the collector scans the youngest generation, instead of 700."""


def keep_what_is_imported() -> None:
    """Make the collector scan imported modules less often, and not at all at exit.

    Python otherwise scans all objects several times at exit. Files and databases are closed by their owners before
    that, and the memory is freed as a whole.
    """
    gc.set_threshold(THRESHOLD)
    atexit.register(gc.freeze)
