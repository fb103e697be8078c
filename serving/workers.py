"""Whether the process that has taken something still lives: for claims in files that processes of one machine share."""

from __future__ import annotations

import os

import psutil

SAME_START_S = 2.0
"""Two readings of when a process began differ by less, whatever was done to the clock."""


def this_worker() -> str:
    return f"{os.getpid()}:{psutil.Process().create_time()}"


def worker_lives(worker: str) -> bool:
    """Whether it is still that process, and not only one that has got its number since."""
    pid, _, begun = worker.partition(":")
    try:
        return abs(psutil.Process(int(pid)).create_time() - float(begun)) < SAME_START_S
    except psutil.NoSuchProcess:
        return False
