"""Look of tables."""

from collections.abc import Collection, Iterable, Sequence

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


def table(title: str, note: str) -> Table:
    """Return a table of labelled lines. The caller escapes foreign text in the lines it adds."""
    table = grid((title, note))
    table.columns[0].no_wrap = True
    return table
