"""Plots by the ECharts that NiceGUI brings, in the colours of the page, each with its figures for who cannot see it.

Colours are variables of look.css, which SVG resolves, so that light and dark need nothing more. Never put a text of others
where ECharts or NiceGUI expects a key or a formatter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import html, ui

LINE = {"lineStyle": {"color": "var(--line)"}}
FEW = 5
TEXT = {"color": "var(--dim)", "fontSize": 11}


class Plot:
    """A figure with its title; `show` may be called again with other figures."""

    def __init__(self, title: str, *, says: str = "") -> None:
        with html.figure().classes("plot"):
            html.figcaption(title)
            self._says = ui.label(says).classes("dim")
            self._chart = ui.echart({}, renderer="svg").classes("chart").props("role=img")
        self._title = title

    def bars(
        self,
        names: Sequence[str],
        series: Mapping[str, tuple[str, Sequence[float]]],
        *,
        says: str,
        legend: bool = False,
        whole: bool = True,
    ) -> None:
        """Upright bars, one a name; of several series stacked. `series`: what it is -> its colour and its values."""
        self._show(
            {
                "xAxis": _axis("category", data=list(names), axisTick={"show": False}, **_labels(names)),
                "series": [
                    _series("bar", name, colour, values, stack="all", barMaxWidth=28)
                    for name, (colour, values) in series.items()
                ],
            },
            legend=legend,
            says=says,
            whole=whole,
        )

    def lines(self, names: Sequence[str], series: Mapping[str, tuple[str, Sequence[float]]], *, says: str) -> None:
        """A line for each series, over the names."""
        self._show(
            {
                "xAxis": _axis("category", data=list(names), axisTick={"show": False}, boundaryGap=False),
                "series": [
                    _series("line", name, colour, values, showSymbol=False, lineStyle={"width": 2, "color": colour})
                    for name, (colour, values) in series.items()
                ],
            },
            legend=True,
            says=says,
            whole=True,
        )

    def points(self, points: Sequence[tuple[str, float]], colour: str, *, says: str) -> None:
        """A point for each (moment, value)."""
        self._show(
            {"xAxis": _axis("time"), "series": [_series("scatter", "", colour, list(points), symbolSize=6)]},
            says=says,
        )

    def _show(self, options: dict[str, Any], *, says: str, legend: bool = False, whole: bool = False) -> None:
        self._says.text = says
        self._chart.props["aria-label"] = f"{self._title}: {says}"
        self._chart.options.clear()
        self._chart.options.update(
            {
                "animation": False,
                "textStyle": {"fontFamily": "Roboto, system-ui, sans-serif"},
                "grid": {"left": 44, "right": 12, "top": 28 if legend else 12, "bottom": 24},
                "legend": {
                    "show": legend,
                    "top": 0,
                    "right": 0,
                    "itemWidth": 10,
                    "itemHeight": 10,
                    "icon": "circle",
                    "textStyle": TEXT,
                },
                "tooltip": {
                    "trigger": "axis",
                    "renderMode": "richText",
                    "backgroundColor": "var(--card)",
                    "borderColor": "var(--line)",
                    "textStyle": {"color": "var(--ink)", "fontSize": 12},
                    "axisPointer": {"lineStyle": {"color": "var(--dim)"}},
                },
                "yAxis": _axis("value", min=0, splitNumber=3, splitLine=LINE, **({"minInterval": 1} if whole else {})),
                **options,
            }
        )
        self._chart.update()


def _labels(names: Sequence[str]) -> dict[str, Any]:
    """A few names are all written; of many those that find room."""
    return {"axisLabel": {**TEXT, "interval": 0}} if len(names) <= FEW else {}


def _axis(kind: str, **more: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "axisLine": LINE,
        "axisLabel": {**TEXT, "hideOverlap": True},
        "splitLine": {"show": False},
        **more,
    }


def _series(kind: str, name: str, colour: str, values: Sequence[Any], **more: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "name": name,
        "data": list(values),
        "itemStyle": {"color": colour},
        "emphasis": {"disabled": True},
        **more,
    }
