"""Places where fault tests kill the process, by name: `SIXPLY_CRASH_AT=after_effect`. Otherwise nothing happens."""

from __future__ import annotations

import os


def crash_point(name: str) -> None:
    """End the process here and now, without any clean-up, if the environment names this point."""
    if os.environ.get("SIXPLY_CRASH_AT") == name:
        os._exit(137)
