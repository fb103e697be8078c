"""How tables and pages look, and how amounts of money and volumes are written in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from importlib import resources
from typing import Any

from rich.markup import escape
from rich.table import Table

from foundation.output.rendering import plain


def grid(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Collection[str] = ()) -> Table:
    """A table without lines; the columns named in `right` hold numbers. Every cell is shown as the text that it is."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in columns:
        table.add_column(escape(name), justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(plain(value)) for value in row))
    return table


def table(title: str, note: str) -> Table:
    """Lines with a word before each; whoever adds one escapes what is not ours in it."""
    table = grid((title, note), ())
    table.columns[0].no_wrap = True
    return table


def render_page(package: str, template: str, **values: Any) -> str:
    """An HTML page that loads nothing, from a template beside the code. Whatever stands in a value is escaped."""
    import jinja2

    source = resources.files(package).joinpath(template).read_text(encoding="utf-8")
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(source).render(values)


def usd(amount: float | None, *, cents: bool = False) -> str:
    """
    >>> usd(-1234.5), usd(-0.3), usd(-0.3, cents=True)
    ('-$1,234', '$0', '-$0.30')
    """
    if amount is None:
        return "unknown"
    written = f"{amount:z,.2f}" if cents else f"{amount:z,.0f}"  # z: what rounds to nothing has no sign
    return f"-${written[1:]}" if written.startswith("-") else f"${written}"


def hours(amount: float) -> str:
    return f"{amount:z,.0f} hours"


def usd_exact(amount: float | None) -> str:
    """A small amount."""
    return "unknown" if amount is None else f"${amount:.6f}"


def cases(volume: float) -> str:
    return f"{volume:,.0f} cases a month"
