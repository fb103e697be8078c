"""Runs of mypy, one at a time: whoever comes second finds in .mypy_cache what the first has learnt of our packages."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".mypy_cache"


def check_types(*files: Path) -> None:
    """Fails with what mypy says of these files, or of the whole tree."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two tests of two processes begin with it at the same moment
        command = [sys.executable, "-m", "mypy", *map(str, files)]
        checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1100)
    assert checked.returncode == 0, checked.stdout + checked.stderr
