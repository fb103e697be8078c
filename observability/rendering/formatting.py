"""Look of tables and of figures in them."""

from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal

from rich.markup import escape
from rich.table import Table

from foundation.output.rendering import plain


def grid(
    columns: Sequence[str], rows: Iterable[Sequence[object]] = (), *, right: Collection[str] = (), no_wrap: bool = False
) -> Table:
    """Return a table without lines, with numbers in the columns of `right`. Cells are escaped."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in columns:
        table.add_column(escape(name), justify="right" if name in right else "left", overflow="fold", no_wrap=no_wrap)
    for row in rows:
        table.add_row(*(escape(plain(value)) for value in row))
    return table


def figure(value: float | None, *, signed: bool = False) -> str:
    """Format a figure with four digits that count, in full, as money in dollars can be small; `None` is empty.

    >>> figure(5.072e-06), figure(1234.56), figure(-0.05, signed=True), figure(2.0, signed=True)
    ('0.000005072', '1235', '-0.05', '+2')
    """
    if value is None:
        return ""
    return f"{Decimal(f'{value:.3e}').normalize():{'+' if signed else ''}f}"


def table(title: str, note: str) -> Table:
    """Return a table of labelled lines. The caller escapes foreign text in the lines it adds."""
    table = grid((title, note))
    table.columns[0].no_wrap = True
    return table
