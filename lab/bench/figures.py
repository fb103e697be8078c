"""Figures of a benchmark as a table, without the long ones, which stand in its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serving.cli import terminal

_NOT_SHOWN = {"rows", "foreign_rows", "rounds", "stack", "intervals_95", "risk_coverage"}


def show_figures(figures: Mapping[str, Any], json: Path | None) -> None:
    if not terminal.write_json(json, figures):
        rows = [(name, f"{value:.4g}" if isinstance(value, float) else value) for name, value in figures.items()]
        terminal.show_table(["figure", ""], [row for row in rows if row[0] not in _NOT_SHOWN])


def format_share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def standalone(drawn: str) -> str:
    """Return a plot of `extensions.plots.svg` as the text of an SVG file."""
    return drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"
