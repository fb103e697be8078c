"""Plots as SVG text, and pages of HTML, for reports in one file that load nothing. The templates escape names from documents."""

from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any

WIDTH, ROW = 720, 26
# Pixels for the labels of rows, and for their values
LEFT, RIGHT = 210, 90
COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#805ad5", "#b83280", "#4a5568")
GOOD, BAD, GREY = "#2f855a", "#c53030", "#a0aec0"

Write = Callable[[float], str]


def plain(value: float) -> str:
    return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def ranges(
    rows: Mapping[str, tuple[float | None, float, float]],
    *,
    title: str,
    mark: float | None = None,
    write: Write = plain,
) -> str:
    """Draw (estimate, low, high) as a point on its interval, one per row; `mark` is a threshold through all rows."""
    values = [value for row in rows.values() for value in row if value is not None]
    place = scale([0.0, *values, *([] if mark is None else [mark])], LEFT, WIDTH - RIGHT)
    uprights = [{"x": place(0.0), "colour": GREY}]
    if mark is not None:
        uprights.append({"x": place(mark), "colour": BAD, "says": write(mark)})
    drawn = []
    for label, (estimate, low, high) in rows.items():
        point = {} if estimate is None else {"point": place(estimate), "says": write(estimate)}
        drawn.append({"label": label, "ends": (place(low), place(high)), "colour": COLOURS[0], **point})
    return _draw(title, rows=drawn, uprights=uprights)


def waterfall(steps: Mapping[str, float], *, title: str, total: str = "net", write: Write = plain) -> str:
    """Draw what each step adds to a running sum, and the sum."""
    sums = [0.0]
    for value in steps.values():
        sums.append(sums[-1] + value)
    place = scale(sums, LEFT, WIDTH - RIGHT)
    rows = [
        {"label": label, "bar": (place(before), place(before + value)), "colour": GOOD if value >= 0 else BAD, "says": write(value)}
        for before, (label, value) in zip(sums, steps.items(), strict=False)
    ]  # fmt: skip
    rows.append({"label": total, "bar": (place(0.0), place(sums[-1])), "colour": COLOURS[0], "says": write(sums[-1])})
    return _draw(title, rows=rows, uprights=[{"x": place(0.0), "colour": GREY}])


def scale(values: Sequence[float], start: float, end: float) -> Callable[[float], float]:
    """Return the map of values to pixels, the least at `start` and the largest at `end`."""
    low, span = min(values), (max(values) - min(values)) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def _draw(title: str, *, rows: Sequence[Mapping[str, Any]], **values: Any) -> str:
    values |= {"width": WIDTH, "left": LEFT, "right": RIGHT, "row_height": ROW, "rows": rows}
    height = 48 + len(rows) * ROW
    return render_page("observability.rendering", "plot.svg", title=title, height=height, **values)


def render_page(package: str, template: str, **values: Any) -> str:
    """Render an HTML page that loads nothing, from a template beside the code. Values are escaped."""
    import jinja2

    source = resources.files(package).joinpath(template).read_text(encoding="utf-8")
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(source).render(values)
