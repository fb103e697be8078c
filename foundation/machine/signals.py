"""The signals that ask a process to stop, for the commands, the server and its supervisor."""

from __future__ import annotations

import signal
from collections.abc import Callable

STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def catch_stop_signals(stop: Callable[..., object] = signal.default_int_handler) -> None:
    """Call `stop` with the number and the frame on each of them, or raise KeyboardInterrupt. Main thread only."""
    for number in STOP:
        # who started us with nohup wants us to outlive the terminal
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)
