"""Plots with NiceGUI's ECharts, in the colours of the page, each with its figures as text for screen readers.

Colours are variables of look.css, which SVG resolves, so light and dark work. Never put foreign text where ECharts or
NiceGUI expects a key or a formatter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from nicegui import html, ui

LINE = {"lineStyle": {"color": "var(--line)"}}
FEW = 5
TEXT = {"color": "var(--dim)", "fontSize": 11}
AXIS = {"axisLine": LINE, "axisLabel": {**TEXT, "hideOverlap": True}, "splitLine": {"show": False}}
LEGEND = {"top": 0, "right": 0, "itemWidth": 10, "itemHeight": 10, "icon": "circle", "textStyle": TEXT}
TOOLTIP = {
    "trigger": "axis",
    "renderMode": "richText",
    "backgroundColor": "var(--card)",
    "borderColor": "var(--line)",
    "textStyle": {"color": "var(--ink)", "fontSize": 12},
    "axisPointer": {"lineStyle": {"color": "var(--dim)"}},
}
LOOKS: dict[str, dict[str, Any]] = {
    "bar": {"stack": "all", "barMaxWidth": 28},
    "line": {"showSymbol": False, "lineStyle": {"width": 2}},
    "scatter": {"symbolSize": 6},
}


class Plot:
    """A titled plot; `show` may be called again with other figures."""

    def __init__(self, title: str) -> None:
        with html.figure().classes("plot"):
            html.figcaption(title)
            self._says = ui.label().classes("dim")
            self._chart = ui.echart({}, renderer="svg").classes("chart").props("role=img")
        self._title = title

    def show(
        self,
        kind: Literal["bar", "line", "scatter"],
        names: Sequence[str],
        series: Mapping[str, tuple[str, Sequence[Any]]],
        *,
        says: str,
        legend: bool = False,
        whole: bool = True,
    ) -> None:
        """Draw bars (several series stacked) or lines with a value for each name; or, without names, a point for
        each (moment, value). `series` maps labels to colour and values. `whole`: only whole numbers on the axis.
        """
        if kind == "scatter":
            across: dict[str, Any] = AXIS | {"type": "time"}
        else:
            across = AXIS | {"type": "category", "data": list(names), "axisTick": {"show": False}}
            across |= {"boundaryGap": kind == "bar"}
            across |= {"axisLabel": {**TEXT, "interval": 0}} if len(names) <= FEW else {}
        rows = [
            LOOKS[kind] | {"type": kind, "name": name, "data": list(values), "emphasis": {"disabled": True}}
            for name, (_, values) in series.items()
        ]
        up = AXIS | {"type": "value", "min": 0, "splitNumber": 3, "splitLine": {"show": True, **LINE}}
        self._says.text = says
        self._chart.props["aria-label"] = f"{self._title}: {says}"
        self._chart.options.clear()
        self._chart.options.update(
            {
                "animation": False,
                "color": [colour for colour, _ in series.values()],
                "textStyle": {"fontFamily": "Roboto, system-ui, sans-serif"},
                "grid": {"left": 44, "right": 12, "top": 28 if legend else 12, "bottom": 24},
                "legend": {"show": legend, **LEGEND},
                "tooltip": TOOLTIP,
                "xAxis": across,
                "yAxis": up | ({"minInterval": 1} if whole else {}),
                "series": rows,
            }
        )
        self._chart.update()
