"""What telemetry costs: the same requests with it and without it, in turns, in one process.

Each round does a block of requests traced, its export included, and the same block untraced; which of the two comes first
alternates. A ratio is the requests a second of the one over those of the other, round by round, so that what else the
machine does in between weighs on both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from observability.telemetry import setup
from observability.telemetry.setup import Telemetry

GOALS = {"search": 0.90, "answer": 0.95}
"""Of the untraced requests a second, at least so many traced."""


@contextmanager
def pause(running: Telemetry) -> Iterator[None]:
    """Trace nothing inside, as if telemetry had never been set up."""
    with setup._lock:
        setup._open.remove(running)
        setup._forget_langchain()
    try:
        yield
    finally:
        with setup._lock:
            setup._open.append(running)
            setup._observe_langchain(capture_content=running.capture_content)


def cost(
    block: Callable[[], object],
    *,
    paused: Callable[[], AbstractContextManager[None]],
    flush: Callable[[], object],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Figures of one kind of request. `block` does a number of them; the first of each kind warms up and does not count."""

    def seconds(*, traced: bool) -> float:
        with nullcontext() if traced else paused():
            begun = clock()
            block()
            if traced:
                flush()
            return clock() - begun

    pairs = []
    for number in range(rounds + 1):
        first = number % 2 == 0
        taken = {traced: seconds(traced=traced) for traced in (first, not first)}
        pairs.append((taken[True], taken[False]))
    ratios = sorted(untraced / traced for traced, untraced in pairs[1:])
    return {
        "ratio": statistics.median(ratios),
        "ratio_low": ratios[len(ratios) // 4],
        "ratio_high": ratios[-1 - len(ratios) // 4],
        "rounds": rounds,
        "traced_s": statistics.median(traced for traced, _ in pairs[1:]),
        "untraced_s": statistics.median(untraced for _, untraced in pairs[1:]),
    }


def verdict(figures: Mapping[str, Mapping[str, Any]]) -> bool:
    return all(figures[kind]["ratio"] >= goal for kind, goal in GOALS.items())
