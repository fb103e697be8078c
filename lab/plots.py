"""Curves between two axes as SVG text, for the notes and reports of the lab."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from extensions.plots import svg


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    title: str,
    x_label: str,
    y_label: str,
) -> str:
    """Draw a line per series of (x, y), with the ends of both axes labelled."""
    points = [point for curve in series.values() for point in curve] or [(0.0, 0.0)]
    xs, ys = [x for x, _ in points], [0.0, *(y for _, y in points)]
    axes = {"left": 70, "right": svg.WIDTH - 20, "top": 44, "bottom": 250, "x_label": x_label, "y_label": y_label}
    axes |= {
        "least_x": svg.plain(min(xs)),
        "most_x": svg.plain(max(xs)),
        "least_y": svg.plain(min(ys)),
        "most_y": svg.plain(max(ys)),
    }
    across, up = svg.scale(xs, 70, svg.WIDTH - 20), svg.scale(ys, 250, 44)
    curves = [
        {
            "name": name,
            "colour": svg.COLOURS[number % len(svg.COLOURS)],
            "points": [{"x": across(x), "y": up(y), "says": f"{svg.plain(x)}, {svg.plain(y)}"} for x, y in curve],
        }
        for number, (name, curve) in enumerate(series.items())
    ]
    values = {"title": title, "width": svg.WIDTH, "height": 275, "grey": svg.GREY, "axes": axes, "curves": curves}
    return svg.render_page("lab", "curves.svg", **values)
