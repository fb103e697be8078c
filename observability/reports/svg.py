"""Plots as SVG text, for reports in one file that load nothing. All texts are escaped, so names from documents are safe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from types import MappingProxyType

WIDTH = 720
ROW = 26
LEFT = 210
"""Pixels for the labels."""
RIGHT = 90
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
    place = _scale([0.0, *values, *([] if mark is None else [mark])])
    drawn = [_upright(place(0.0), len(rows))]
    if mark is not None:
        drawn.append(_upright(place(mark), len(rows), colour=BAD, dashed=True, says=write(mark)))
    for number, (name, (estimate, low, high)) in enumerate(rows.items()):
        y = _middle(number)
        ends = f'x1="{place(low):.1f}" x2="{place(high):.1f}" y1="{y}" y2="{y}"'
        parts = f'<line {ends} stroke="{COLOURS[0]}" stroke-width="4" opacity=".45"/>'
        if estimate is not None:
            parts += f'<circle cx="{place(estimate):.1f}" cy="{y}" r="5" fill="{COLOURS[0]}"/>'
        drawn.append(_row(number, name, parts, "" if estimate is None else write(estimate)))
    return _frame(title, _height(len(rows)), drawn)


def waterfall(
    steps: Mapping[str, float],
    *,
    title: str,
    total: str = "net",
    write: Write = plain,
) -> str:
    """Draw what each step adds to a running sum, and the sum."""
    ends, at = [0.0], 0.0
    for value in steps.values():
        at += value
        ends.append(at)
    place = _scale(ends)
    rows = []
    for number, (name, value) in enumerate(steps.items()):
        bar = _bar(number, place(ends[number]), place(ends[number + 1]), GOOD if value >= 0 else BAD)
        rows.append(_row(number, name, bar, write(value)))
    whole = _bar(len(steps), place(0.0), place(at), COLOURS[0])
    rows.append(_row(len(steps), total, whole, write(at)))
    return _frame(title, _height(len(rows)), [_upright(place(0.0), len(rows)), *rows])


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    whiskers: Mapping[tuple[float, float], tuple[float, float]] = MappingProxyType({}),
) -> str:
    """Draw a line per series of (x, y), with the ends of both axes labelled; `whiskers` are intervals of y."""
    points = [point for curve in series.values() for point in curve] or [(0.0, 0.0)]
    xs, ys = [x for x, _ in points], [0.0, *(y for _, y in points), *(y for ends in whiskers.values() for y in ends)]
    left, right, top, bottom = 70.0, WIDTH - 20.0, 44.0, 250.0
    across, up = _between(min(xs), max(xs), left, right), _between(min(ys), max(ys), bottom, top)
    drawn = [
        f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="{GREY}"/>',
        _text(left - 6, top + 4, plain(max(ys)), anchor="end"),
        _text(left - 6, bottom, plain(min(ys)), anchor="end"),
        _text(left, bottom + 16, plain(min(xs))),
        _text(right, bottom + 16, plain(max(xs)), anchor="end"),
        _text((left + right) / 2, bottom + 16, x_label, anchor="middle"),
        _text(left + 6, top - 10, y_label),
    ]
    for (x, _), (low, high) in whiskers.items():
        drawn.append(f'<path d="M{across(x):.1f} {up(low):.1f}V{up(high):.1f}" stroke="{GREY}"/>')
    for number, (name, curve) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in curve)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y in curve:
            says = escape(f"{name}: {plain(x)}, {plain(y)}")
            at = f'cx="{across(x):.1f}" cy="{up(y):.1f}"'
            drawn.append(f'<circle {at} r="3" fill="{colour}"><title>{says}</title></circle>')
        drawn.append(_text(right - 4, top + 16 * (number + 1), name, anchor="end", colour=colour))
    return _frame(title, 275, drawn)


def standalone(drawn: str) -> str:
    """Return the plot as the text of an SVG file."""
    return drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"


def _text(x: float, y: float, says: str, *, anchor: str = "start", colour: str = "currentColor") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(says)}</text>'


def _scale(values: Sequence[float]) -> Callable[[float], float]:
    return _between(min(values), max(values), LEFT, WIDTH - RIGHT)


def _between(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def _height(rows: int) -> int:
    return 30 + rows * ROW + 18


def _middle(row: int) -> int:
    return 30 + row * ROW + ROW // 2


def _bar(row: int, start: float, end: float, colour: str) -> str:
    x, width = min(start, end), max(abs(end - start), 1.0)
    return f'<rect x="{x:.1f}" y="{_middle(row) - 8}" width="{width:.1f}" height="16" fill="{colour}"/>'


def _row(row: int, label: str, drawn: str, value: str) -> str:
    y = _middle(row) + 4
    return _text(LEFT - 8, y, label, anchor="end") + drawn + _text(WIDTH - RIGHT + 6, y, value)


def _upright(x: float, rows: int, *, colour: str = GREY, dashed: bool = False, says: str = "") -> str:
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    text = _text(x, _middle(rows) - 2, says, anchor="middle", colour=colour)
    line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="30" y2="{30 + rows * ROW}" stroke="{colour}"{dash}/>'
    return line + (text if says else "")


def _frame(title: str, height: int, drawn: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="currentColor">'
        f'<text x="0" y="16" font-weight="600">{escape(title)}</text>{"".join(drawn)}</svg>'
    )
