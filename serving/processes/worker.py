"""Whether the process that has taken something still lives: for claims in files that processes of one machine share."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

SAME_START_S = 2.0
"""Two readings of when a process began differ by less."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def this_worker() -> str:
    return f"{os.getpid()}:{_began(os.getpid())}:{_boot()}"


def worker_lives(worker: str) -> bool:
    """Whether it is still that process, and not only one that has got its number since."""
    pid, _, tail = worker.partition(":")
    began, _, boot = tail.partition(":")
    try:
        return boot == _boot() and abs(_began(int(pid)) - float(began)) < SAME_START_S
    except psutil.NoSuchProcess:
        return False


def _began(pid: int) -> float:
    """When a process began: since the boot, where the system counts so and a clock that is set moves both readings alike."""
    created = psutil.Process(pid).create_time()
    return created - psutil.boot_time() if psutil.LINUX else created


def _boot() -> str:
    """Which boot that count belongs to; empty where there is no such count."""
    return BOOT_ID.read_text(encoding="ascii").strip() if psutil.LINUX else ""
