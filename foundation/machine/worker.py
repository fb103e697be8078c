"""Whether the process behind a claim still lives, for files that the processes of one machine share."""

import os
from pathlib import Path

import psutil

# two readings of the same start may differ by this
SAME_START_S = 2.0
BOOT_ID, PROCESSES = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")


def this_worker() -> str:
    return f"{os.getpid()}:{_began(os.getpid())}:{_boot()}"


def worker_lives(worker: str) -> bool:
    """Whether the process still runs, and is not another one with the same id."""
    pid, _, tail = worker.partition(":")
    began, _, boot = tail.partition(":")
    try:
        return boot == _boot() and abs(_began(int(pid)) - float(began)) < SAME_START_S
    except psutil.NoSuchProcess:
        return False


def _began(pid: int) -> float:
    """Return a process's start: on Linux since the boot, where setting the clock moves both readings alike."""
    created = psutil.Process(pid).create_time()
    return created - psutil.boot_time() if psutil.LINUX else created


def _boot() -> str:
    """Return the ids of the boot that the start is counted from and of the container that numbers processes; empty on other systems."""
    return f"{BOOT_ID.read_text(encoding='ascii').strip()}-{PROCESSES.stat().st_ino}" if psutil.LINUX else ""
