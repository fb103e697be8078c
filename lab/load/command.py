"""`sixply load`: run the load test, print what it found beside the goals, and draw it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foundation.errors import ComponentError
from lab import plots
from lab.bench.figures import standalone
from lab.load.report import Order, measure
from serving.cli import terminal

GOALS: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("p99 of answers, 10 times overloaded, to at rest", ("overload", "admitted_p99_ratio"), 2.0),
    ("p99 of rejections, ms", ("overload", "rejected_p99_ms"), 100.0),
    ("5xx other than 503 and 504", ("overload", "other_5xx"), 0),
    ("requests without a reply", ("overload", "no_reply"), 0),
    ("rejections without Retry-After", ("overload", "without_retry_after"), 0),
    ("growth of memory, share", ("overload", "rss_growth"), 0.2),
    ("recovered after, s", ("overload", "recovery_s"), 5.0),
    ("tasks left by callers who hung up", ("aborts", "tasks_left"), 0),
    ("places left by them", ("aborts", "slots_left"), 0),
    ("upstream requests left by them", ("aborts", "upstream_left"), 0),
    ("streams that ended without an event on SIGTERM", ("sigterm", "without_last_event"), 0),
    ("exit after SIGTERM with the default grace, s", ("sigterm", "exit_s_of_default_grace"), 16.0),
    ("HTTP's own milliseconds for a search, p50", ("overhead", "search", "own_ms"), 0.5),
    ("HTTP's own milliseconds for an answer, p50", ("overhead", "answer", "own_ms"), 5.0),
)
"""What is promised: name, place in the report, and the most it may be. Those of 0 hold on any machine."""


def run(order: Order, *, plots_in: Path | None, json: Path | None) -> bool:
    """Measure, then `show`."""
    with terminal.progress() as progress:
        report = asyncio.run(measure(order, progress))
    return show(report, plots_in=plots_in, json=json)


def show(report: Mapping[str, Any], *, plots_in: Path | None, json: Path | None) -> bool:
    """Whether what does not depend on the machine's speed held: no lost reply, no other 5xx, nothing left behind.

    Raises:
        ComponentError: a part of the measurement failed; what was measured before it has been shown and written.
    """
    if "overload" not in report:
        raise ComponentError(report.get("failed") or "This is no report of make load: it has no overload.")
    if plots_in is not None:
        for name, drawn in drawings(report).items():
            terminal.write_text(plots_in / f"{name}.svg", standalone(drawn))
    if not terminal.write_json(json, report):
        terminal.show_table(["offered/s", "answered/s", "p50 ms", "p99 ms", "rejected", "of"], _rows(report))
        terminal.show_table(["promise", "found", "at most", ""], goals(report))
        found = report["knee"]
        knee = f"{found['offered_per_s']:.1f} a second" if found else "below the first step: measure for more SECONDS"
        terminal.console().print(f"The knee: {knee}.")
    if "failed" in report:
        raise ComponentError(report["failed"])
    return all(found <= most for _, found, most in _found(report) if not most)


def goals(report: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """A row for each promise that was measured."""
    return [
        (name, f"{found:.3g}", f"{most:g}", "kept" if found <= most else "MISSED")
        for name, found, most in _found(report)
    ]


def drawings(report: Mapping[str, Any]) -> dict[str, str]:
    """SVG by file name: latency and answers against offered load."""
    steps = _steps(report)
    knee = report["knee"]
    says = f", knee at {knee['offered_per_s']:.1f}/s" if knee else ""

    def against(key: str) -> list[tuple[float, float]]:
        return [(step["offered_per_s"], step[key]) for step in steps if step[key] is not None]

    return {
        "load-latency": plots.lines(
            {"p50": against("p50_ms"), "p99": against("p99_ms"), "p99 of rejections": against("rejected_p99_ms")},
            title=f"Latency against offered load{says}",
            x_label="requests offered a second",
            y_label="ms, from due to the end of the reply",
        ),
        "load-answered": plots.lines(
            {
                "answered": against("answered_per_s"),
                "rejected": [(one["offered_per_s"], one["statuses"].get("503", 0) / one["seconds"]) for one in steps],
            },
            title="What becomes of the offered load",
            x_label="requests offered a second",
            y_label="a second",
        ),
    }


def _steps(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [report["at_rest"], *report["sweep"], report["overload"]]


def _rows(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    def written(value: float | None) -> str:
        return "" if value is None else f"{value:.0f}"

    return [
        (
            f"{step['offered_per_s']:.1f}",
            f"{step['answered_per_s']:.1f}",
            written(step["p50_ms"]),
            written(step["p99_ms"]),
            str(step["statuses"].get("503", 0)),
            str(step["n"]),
        )
        for step in _steps(report)
    ]


def _found(report: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    rows = []
    for name, path, most in GOALS:
        value: Any = report
        for step in path:
            value = value.get(step) if value is not None else None
        if value is not None:
            rows.append((name, float(value), most))
    return rows
