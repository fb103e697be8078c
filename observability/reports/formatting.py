"""Look of tables and pages, and the format of amounts of money and volumes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from importlib import resources
from typing import Any

from rich.markup import escape
from rich.table import Table

from foundation.output.rendering import plain


def grid(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Collection[str] = ()) -> Table:
    """Return a table without lines, with numbers in the columns of `right`. Cells are escaped."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in columns:
        table.add_column(escape(name), justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(plain(value)) for value in row))
    return table


def table(title: str, note: str) -> Table:
    """Return a table of labelled lines. The caller escapes foreign text in the lines it adds."""
    table = grid((title, note), ())
    table.columns[0].no_wrap = True
    return table


def render_page(package: str, template: str, **values: Any) -> str:
    """Render an HTML page that loads nothing, from a template beside the code. Values are escaped."""
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
    written = f"{amount:z,.2f}" if cents else f"{amount:z,.0f}"  # z: no minus sign on what rounds to 0
    return f"-${written[1:]}" if written.startswith("-") else f"${written}"
