"""Memory usage of this process."""

from __future__ import annotations

import platform
import resource


def peak_rss_mb() -> float:
    """Return the peak memory of this process in megabytes, without its parser children."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if platform.system() == "Darwin" else peak / 1024
