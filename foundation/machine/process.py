"""This process: its memory, its garbage collector, and the signals that ask it to stop."""

import atexit
import gc
import platform
import resource
import signal
from collections.abc import Callable

# New objects after which the collector scans the youngest generation, instead of 700
THRESHOLD = 10_000
STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def peak_rss_mb() -> float:
    """Return the peak memory of this process in megabytes, without its parser children."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if platform.system() == "Darwin" else peak / 1024


def keep_what_is_imported() -> None:
    """Let the collector scan less, for a process that creates some hundred thousand objects at its start and keeps them."""
    gc.set_threshold(THRESHOLD)
    # Python scans all objects several times at exit (a second for a server), though owners close their files
    atexit.register(gc.freeze)


def catch_stop_signals(stop: Callable[..., object] = signal.default_int_handler) -> None:
    """Call `stop` with the number and the frame on each of `STOP`, or raise KeyboardInterrupt. Main thread only."""
    for number in STOP:
        # who started us with nohup wants us to outlive the terminal
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)
