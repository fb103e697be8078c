"""The signals that ask a process to stop, for the commands, the server and its supervisor."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def catch_stop_signals(stop: Callable[..., object]) -> dict[signal.Signals, Any]:
    """Call `stop` with the number and the frame on each of them; return the handlers before. Main thread only."""
    # who started us with nohup wants us to outlive the terminal
    caught = [number for number in STOP if signal.getsignal(number) != signal.SIG_IGN or number != signal.SIGHUP]
    return {number: signal.signal(number, stop) for number in caught}
