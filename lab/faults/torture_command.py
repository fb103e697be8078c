"""`sixply torture`: kill and damage, print what was lost, and exit by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.faults.torture import Order, torture
from serving.cli import terminal

ZEROS = ("lost", "duplicated", "half", "unreadable", "deaths_while_running", "reembedded")
"""What may not happen, on any machine."""


def run(order: Order, json: Path | None) -> bool:
    """Whether nothing acknowledged was lost or doubled, and every damaged index was noticed."""
    with terminal.progress() as progress:
        report = torture(order, progress)
    if not terminal.write_json(json, report):
        terminal.show_table(["figure", "found", "of"], rows(report))
        if report["misses"]:
            terminal.show_table(list(report["misses"][0]), [tuple(miss.values()) for miss in report["misses"]])
    return not any(report[name] for name in ZEROS) and report["mutations_detected"] == report["mutations"]


def rows(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Each zero beside the number of trials that could have made it something else."""
    of = {
        "lost": f"{report['acknowledged']} acknowledged, {report['asked']} queries, {report['kills']} kills",
        "duplicated": f"{report['asked']} queries",
        "half": f"{report['asked']} queries",
        "unreadable": f"{report['starts']} starts",
        "deaths_while_running": f"{report['mutations_while_running']} mutations under a running process",
        "reembedded": f"{report['starts']} starts and {report['offered_again']} documents offered again",
        "mutations_detected": f"{report['mutations']} mutations of a closed index",
        "disk_full_refused": f"{report['disk_full']} times that files could not grow",
    }
    shown = [name for name in report if name in of or name.startswith(("kills", "ready", "slowest"))]
    return [(name, _told(report[name]), of.get(name, "")) for name in shown]


def _told(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
