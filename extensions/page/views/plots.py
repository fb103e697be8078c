"""Plots of bars in the colours of the page (variables of look.css, so light and dark work), each with its figures as text for screen readers."""

from collections.abc import Mapping, Sequence

from nicegui import html, ui

from extensions.page.session import refill


class Plot:
    """A titled plot; `show` may be called again with other figures."""

    def __init__(self, title: str) -> None:
        with html.figure().classes("plot"):
            html.figcaption(title)
            self._says = ui.label().classes("dim")
            self._chart = html.div().classes("chart").props("role=img")
            self._below = html.div().classes("below dim")
        self._title = title

    def show(self, names: Sequence[str], series: Mapping[str, tuple[str, Sequence[float]]], *, says: str) -> None:
        """Draw a bar for each name, stacked from the values of all series. `series` maps labels to colour and values."""
        self._says.text = says
        self._chart.props["aria-label"] = f"{self._title}: {says}"
        heights = [0.0] * len(names)
        highest = max(map(sum, zip(*(values for _, values in series.values()), strict=True)), default=0.0)
        with (
            refill(self._chart),
            ui.element("svg").props(f'viewBox="0 0 {max(len(names), 1)} 1" preserveAspectRatio=none'),
        ):
            # one path a series: an element for each bar would make every refresh slow
            for colour, values in series.values():
                path = ""
                for place, value in enumerate(values):
                    height = value / (highest or 1)
                    path += f"M{place + 0.1:g} {1 - heights[place]:.4f}h.8v{-height:.4f}h-.8z"
                    heights[place] += height
                ui.element("path").style(f"fill: {colour}").props["d"] = path
        with refill(self._below):
            html.span(names[0] if names else "")
            for label, (colour, _) in series.items():
                html.span(label).style(f"border-color: {colour}").classes("key" if label else "")
            digits = ",.0f" if highest >= 100 else ".6f" if 0 < highest < 0.001 else ".3g"
            html.span(f"highest {highest:{digits}}")
            html.span(names[-1] if names else "")
