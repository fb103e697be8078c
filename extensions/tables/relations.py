"""What a typed query is asked of, and what it gives: tables, columns and measures as SQL, and the rows of an answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from foundation.errors import InvalidRequest

# (statement with `?` for each value, values) -> all its rows. Raises InvalidRequest: it took too long
Run = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]


def quote(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


@dataclass(frozen=True)
class SqlColumn:
    """A column of a relation, as SQL. A table of a document has each cell as text, as a number, and its unit."""

    name: str
    text: str
    number: str = ""
    """SQL of its number; empty: it is no number."""
    unit: str | None = ""
    """Unit of all its numbers; `None`: each has its own, in `unit_sql`."""
    unit_sql: str = ""
    """SQL of a cell's unit; empty: the column is a database's, whose numbers are numbers."""
    unclear: str = ""
    """A figure of it that may be two numbers."""


@dataclass(frozen=True, kw_only=True)
class Relation:
    """A table of a document, or of a database, as far as the caller may see it."""

    label: str
    """Its id."""
    origin: str
    """The document or table that declared measures name."""
    fields: Sequence[SqlColumn]
    source: str
    """SQL behind FROM."""
    rights: str = ""
    """SQL of the rows that the caller may see; empty: all of `source`."""
    rights_values: Sequence[Any] = ()
    row: str = ""
    """SQL of a row's number; empty: it has none."""
    totals: Sequence[int] = ()
    """Rows that are the sums of those above them, by their place from 0."""
    trouble: str = ""
    """Why nothing may be counted in it."""

    def field(self, name: str) -> SqlColumn:
        """Raises InvalidRequest: it has no such column."""
        for each in self.fields:
            if each.name.casefold().split() == name.casefold().split():
                return each
        names = ", ".join(each.name for each in self.fields)
        raise InvalidRequest(f'{self.label} has no column "{name}". Its columns: {names}.')


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What is calculated: SQL, its unit, and the columns that it reads."""

    name: str
    sql: str
    unit: str = ""
    reads: Sequence[SqlColumn] = ()


# The declared measure of a name, as far as the caller may see it
Declared = Callable[[str], Measure | None]


@dataclass(kw_only=True)
class Reply:
    """The rows of an answer, with the names of their columns and the query."""

    columns: Sequence[str]
    rows: list[tuple[Any, ...]]
    statement: str
    values: Sequence[Any]
    notes: list[str] = field(default_factory=list)
    row_numbers: Sequence[int] = ()
    """Rows of the table that it rests on, from 1; the first of them where they are many."""
    matched: int = 0
    """Rows of the table that meet the conditions."""
