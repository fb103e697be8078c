"""The figure is the ratio of requests a second, round by round, and a pause is a pause."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from foundation import tracing
from lab.bench.telemetry import GOALS, cost, pause, verdict
from observability.settings import ObservabilitySettings
from observability.telemetry import setup


class Bench:
    """A clock that each block moves on: by 2 s with telemetry, by 1 s without it, the export by half a second."""

    def __init__(self) -> None:
        self.now, self.traced, self.order = 0.0, True, ""

    def block(self) -> None:
        self.now += 2 if self.traced else 1
        self.order += "t" if self.traced else "u"

    def flush(self) -> None:
        self.now += 0.5

    @contextmanager
    def paused(self) -> Iterator[None]:
        self.traced = False
        yield
        self.traced = True


def test_a_round_does_both_and_the_order_alternates_and_the_export_counts() -> None:
    bench = Bench()
    found = cost(bench.block, paused=bench.paused, flush=bench.flush, rounds=4, clock=lambda: bench.now)
    assert (found["ratio"], found["ratio_low"], found["ratio_high"]) == (0.4, 0.4, 0.4)
    assert (found["traced_s"], found["untraced_s"], found["rounds"]) == (2.5, 1.0, 4)
    assert bench.order == "tuuttuuttu"


def test_both_kinds_must_reach_their_goal() -> None:
    reached = {kind: {"ratio": goal} for kind, goal in GOALS.items()}
    assert verdict(reached)
    assert not verdict({**reached, "answer": {"ratio": 0.94}})


def test_nothing_is_traced_in_a_pause_and_everything_after_it() -> None:
    exporter = InMemorySpanExporter()
    with setup.start(ObservabilitySettings(), [exporter], manifest_id="m") as running:
        for name in ("before", "in", "after"):
            if name == "in":
                with pause(running), tracing.span(name, layer="serving"):
                    pass
            else:
                with tracing.span(name, layer="serving"):
                    pass
        running.flush()
    assert [span.name for span in exporter.get_finished_spans()] == ["before", "after"]
