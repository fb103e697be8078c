"""How much memory this process has held."""

from __future__ import annotations

import platform
import resource


def peak_rss_mb() -> float:
    """The most memory that this process has held so far, in megabytes; parser children are not in it."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if platform.system() == "Darwin" else peak / 1024
