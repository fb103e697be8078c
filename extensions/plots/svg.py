"""Plots as SVG text, and pages of HTML, for reports in one file that load nothing. The templates escape names from documents."""

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

WIDTH, ROW = 720, 26
# Pixels at the right for the values of rows, and of a sign: more than a sign of 12 pixels takes on average, so that no text is cut off
RIGHT, SIGN = 90, 7
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
    place = scale([0.0, *values, *([] if mark is None else [mark])], _width_of(rows), WIDTH - RIGHT)
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
    place = scale(sums, _width_of([*steps, total]), WIDTH - RIGHT)
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


def _width_of(labels: Iterable[str]) -> int:
    """Return the pixels that the longest label needs; at most half of the plot, as `_lines` breaks what is longer."""
    return min(max((len(label) for label in labels), default=0) * SIGN + 10, WIDTH // 2)


def _lines(text: str, pixels: int) -> list[str]:
    return textwrap.wrap(text, pixels // SIGN, break_long_words=True) or [""]


def _draw(title: str, *, rows: Sequence[Mapping[str, Any]], **values: Any) -> str:
    left, top = _width_of(str(row["label"]) for row in rows), 30 + (len(titles := _lines(title, WIDTH)) - 1) * 16
    row_height = max([ROW, *(12 + 14 * len(_lines(row["label"], left - 10)) for row in rows)])
    labelled = [{**row, "label": _lines(row["label"], left - 10)} for row in rows]
    values |= {"width": WIDTH, "left": left, "right": RIGHT, "row_height": row_height, "rows": labelled, "top": top}
    height = top + 18 + len(rows) * row_height
    return render_page("extensions.plots", "plot.svg", title=title, titles=titles, height=height, **values)


def render_page(package: str, template: str, **values: Any) -> str:
    """Render an HTML page that loads nothing, from a template beside the code. Values are escaped."""
    import jinja2

    source = resources.files(package).joinpath(template).read_text(encoding="utf-8")
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(source).render(values)
