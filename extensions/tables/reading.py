"""Tables of a parsed document as rows and columns, with units, rows that are totals, and what keeps them from being counted."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property

from extensions.tables.figures import NOTHING, Figure, find_mark, find_unit, is_unclear, read_figure
from retrieval.documents import Parsed, Table
from retrieval.formats.text_blocks import cell_spans


@dataclass(frozen=True, slots=True)
class Row:
    cells: tuple[str, ...]
    start: int
    """Where it stands in the document's text."""
    page: int | None


@dataclass(frozen=True)
class Column:
    """A column: its name, its unit, and what each row has in it."""

    name: str
    unit: str | None
    """Of all its figures; `None`: they have several."""
    numbers: tuple[Decimal | None, ...]
    units: tuple[str, ...]
    unclear: str = ""
    """A figure that may be two numbers; empty: there is none."""
    is_numeric: bool = False
    """Whether at least half of what it has are figures."""


@dataclass(frozen=True)
class Sheet:
    """A table of a document."""

    names: tuple[str, ...]
    rows: tuple[Row, ...]
    above: str
    """The heading and the line above it."""
    mark: str = ""
    """The mark of decimals in its document; empty: unknown."""
    headless: bool = False
    """Whether it has no head, so that its columns are only numbered, and its first row may be one that was not seen."""
    nameless: tuple[int, ...] = ()
    """Columns of a table with a head that have no name there, by their place."""
    cut: bool = False
    """Whether rows of another number of columns stand right before or behind it, as where a PDF's columns could not be told apart."""

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        return tuple(_read_column(self, place) for place in range(len(self.names)))

    @cached_property
    def totals(self) -> tuple[int, ...]:
        """Rows that are the sums of those above them, by their place."""
        return tuple(_find_totals(self))

    @property
    def trouble(self) -> str:
        """Why nothing may be counted in it; empty where nothing speaks against it."""
        if odd := next(filter(None, map(self._odd_row, range(len(self.names)))), 0):
            return f"row {odd} has more cells than the head has names, so that cells may stand under a wrong name"
        if self.headless:
            return "it has no head, so that what its columns are is not said"
        if self.cut:
            return "it is cut into parts, since its columns could not be told apart in all rows"
        twice = next((name for name in self.names if self.names.count(name) > 1), "")
        return f'several columns are named "{twice}", as under a merged head' if twice else ""

    def _odd_row(self, place: int) -> int:
        """Return the first row with a cell in a column that has no name and few cells, from 1; 0: there is none."""
        filled = [number for number, row in enumerate(self.rows, 1) if row.cells[place]]
        is_odd = place in self.nameless and place > 0 and 2 * len(filled) < len(self.rows) + 1
        return filled[0] if is_odd and filled else 0


def read_sheets(parsed: Parsed, *, mark: str = "") -> list[Sheet]:
    """Return the tables of a document. `mark` is that of decimals where the document does not show it."""
    joined = [*_joined(parsed)]
    ends = {table.first + len(table.widths) for table in joined} & {table.first for table in joined}
    sheets = [
        replace(_read_sheet(parsed, table), cut=bool({table.first, table.first + len(table.widths)} & ends))
        for table in joined
    ]
    figures = [figure for sheet in sheets for row in sheet.rows for cell in row.cells if (figure := read_figure(cell))]
    shown = find_mark(figures)
    return [replace(sheet, mark=mark if shown == "" else shown or "") for sheet in sheets]


def _joined(parsed: Parsed) -> Iterator[Table]:
    # a table that goes on on the next page, with its head again or without one
    waiting: Table | None = None
    for table in parsed.tables:
        if waiting is not None and _goes_on(waiting, table, parsed):
            waiting = replace(waiting, widths=(*waiting.widths, *table.widths))
            continue
        if waiting is not None:
            yield waiting
        waiting = table
    if waiting is not None:
        yield waiting


def _goes_on(one: Table, other: Table, parsed: Parsed) -> bool:
    after = one.first + len(one.widths)
    pages = [parsed.blocks[place].page for place in (after - 1, other.first)]
    on_next_page = pages[0] is not None and pages[1] == pages[0] + 1
    alike = other.names in ((), one.names) and _width(one) == _width(other)
    return after == other.first and on_next_page and alike


def _width(table: Table) -> int:
    return max(map(len, (table.names, *table.widths)))


def _read_sheet(parsed: Parsed, table: Table) -> Sheet:
    width = _width(table)
    given = [*table.names, *[""] * (width - len(table.names))]
    names = tuple(name or f"column {place}" for place, name in enumerate(given, 1))
    nameless = tuple(place for place, name in enumerate(given) if table.names and not name)
    rows = []
    for place, widths in enumerate(table.widths, table.first):
        block = parsed.blocks[place]
        text = parsed.text[block.start : block.end]
        cells = [text[start:end] for start, end in cell_spans(table.names, widths)]
        rows.append(Row((*cells, *[""] * (width - len(cells))), block.start, block.page))
    above = [block for block in parsed.blocks[: table.first] if block.kind == "heading"][-1:]
    before = parsed.blocks[table.first - 1 : table.first] if table.first else ()
    above += [block for block in before if block.kind == "paragraph"]
    words = " / ".join(parsed.text[block.start : block.end] for block in above)
    return Sheet(names, tuple(rows), words[:300], headless=not table.names, nameless=nameless)


def _read_column(sheet: Sheet, place: int) -> Column:
    cells = [row.cells[place] for row in sheet.rows]
    figures = [None if cell in NOTHING else read_figure(cell) for cell in cells]
    present: list[Figure] = [figure for figure in figures if figure is not None]
    mark = find_mark(present)
    chosen = sheet.mark if mark == "" else mark or ""
    unclear = next((figure.digits for figure in present if is_unclear(figure)), "") if not chosen else ""
    numbers = [figure.value(chosen or ".") if figure is not None and not unclear else None for figure in figures]
    units = [figure.unit if figure is not None else "" for figure in figures]
    filled = sum(cell not in NOTHING for cell in cells)
    return Column(
        name=sheet.names[place],
        unit=find_unit([figure.unit for figure in present]),
        numbers=tuple(numbers),
        units=tuple(units),
        unclear=unclear,
        is_numeric=bool(present) and 2 * len(present) >= filled,
    )


def _find_totals(sheet: Sheet) -> Iterator[int]:
    last, numeric = len(sheet.rows) - 1, [column.numbers for column in sheet.columns if column.is_numeric]
    sums, counts = [Decimal(0)] * len(numeric), [0] * len(numeric)
    for place in range(len(sheet.rows)):
        found = [(at, number) for at, numbers in enumerate(numeric) if (number := numbers[place]) is not None]
        matches = [number == sums[at] for at, number in found if counts[at] > 1]
        if matches and all(matches) and (place == last or len(matches) > 1):
            yield place
        for at, number in found:
            sums[at] += number
            counts[at] += 1
