"""What a command says to the garbage collector."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count() > 0))  # registered first, it runs last
from foundation.machine import process
process.keep_what_is_imported()
print(gc.get_threshold()[0] == process.THRESHOLD, gc.isenabled(), gc.get_freeze_count())
"""


def test_garbage_is_still_collected_until_the_process_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=Path(__file__).resolve().parents[3], capture_output=True, text=True,
        timeout=240, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["True True 0", "True"]
