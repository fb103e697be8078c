"""Processes forked from one that has imported everything, since importing takes most of their start."""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any


def fork_for_each_order(libraries: Iterable[str], serve: Callable[[Any], None]) -> None:
    """Read orders from standard input, JSON a line, until it ends. For each fork a process that runs `serve` on the
    order, and print its number.
    """
    for library in libraries:
        importlib.import_module(library)
    gc.collect()
    gc.freeze()  # else each of them looks at a million objects again, and copies the memory they lie in
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them here
    for order in iter(sys.stdin.readline, ""):
        number = os.fork()
        if not number:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            serve(json.loads(order))
            return
        print(number, flush=True)
