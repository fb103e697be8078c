"""Tables that say nowhere what they are: column names told from values, captions above, empty columns."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from retrieval.formats.text_blocks import Draft, filled_rows

# Raise it when the output changes: it is part of the version of each parser that uses this file
TABLES_VERSION = 1
_YEAR = re.compile(r"(?<![\d.,])(?:19|20)\d\d(?![\d.,]*\d)")


def add_table(
    draft: Draft, rows: Sequence[Sequence[str]], *, header: bool | None = None, page: int | None = None
) -> None:
    """Append a table. `header`: whether its first row has the names of its columns; `None`: its looks decide."""
    filled = filled_rows(rows)
    while header is None and filled and _is_caption(filled) and names_periods(filled[1]):
        draft.add("paragraph", next(filter(None, filled.pop(0))), page=page)
    if header is None:
        # In doubt no: a wrong name makes a row false, a missing one only terse
        header = looks_like_header(filled) and (len(filled[0]) > 2 or _has_figures(filled[1:]))
    if header and filled:
        filled[1:] = [_join_signs(filled[0], row) for row in filled[1:]]
    draft.table(filled, header=header, page=page)


def add_sheet(draft: Draft, rows: Iterable[Sequence[str]], *, page: int | None = None) -> None:
    """Append a sheet's tables, which blank rows separate, with the captions above them. Raises DocumentRefused."""
    table: list[list[str]] = []
    for row in rows:
        if any(cell.strip() for cell in row):
            table.append([cell.strip() for cell in row])
        elif table:
            _add_captioned(draft, table, page)
            table = []
        if len(table) > draft.limits.blocks + 1:
            break  # `add` counts them, without the head, and refuses
    _add_captioned(draft, table, page)


def _add_captioned(draft: Draft, table: list[list[str]], page: int | None) -> None:
    while table and _is_caption(table):
        draft.add("paragraph", next(cell for cell in table.pop(0) if cell), page=page)
    cells = _without_empty_columns(table)
    draft.table(cells, header=looks_like_header(cells), page=page)


def looks_like_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row looks like column names: short, distinct, without figures, with rows below."""
    first = [cell for cell in rows[0] if cell] if rows else []
    return (
        len(rows) > 1
        and len(rows[0]) > 1
        and len(first) >= (len(rows[0]) + 1) // 2
        and len(set(first)) == len(first)
        and not any(len(cell) > 60 or cell.endswith(".") for cell in first)
        and (not any(map(begins_with_figure, first)) or names_periods(rows[0]))
    )


def names_periods(row: Sequence[str]) -> bool:
    """Whether the cells behind the first are periods, as in "Cash | 2031 | 2030". Bare years could be amounts: only years that
    follow one another, or three with equal steps, are periods.
    """
    first, *others = row or ("",)
    periods = list(dict.fromkeys(cell for cell in others if begins_with_figure(cell)))
    bare = [int(cell) for cell in periods if _YEAR.fullmatch(cell)]
    steps = {after - before for before, after in pairwise(bare)}
    follow = not bare or (len(steps) == 1 and (steps <= {1, -1} or len(bare) > 2))
    return len(periods) > 1 and follow and not begins_with_figure(first) and all(map(_YEAR.search, periods))


def begins_with_figure(cell: str) -> bool:
    return re.match(r"[\W\d]*\d", cell) is not None


def _join_signs(names: Sequence[str], row: Sequence[str]) -> list[str]:
    """Join what stands in cells of its own, such as "$" before and "%" or ")" behind a figure, to the figure below the same name."""
    joined, first = [*row], 0
    for at in range(1, min(len(row), len(names))):
        if names[at] not in ("", names[first]):
            first = at
        elif set(row[at]) <= {")", "%"} or (names[at] and _is_sign(joined[first])):
            joined[first] += row[at]
            joined[at] = ""
    return joined


def _is_sign(cell: str) -> bool:
    return len(cell) == 1 and unicodedata.category(cell) == "Sc"


def _is_caption(rows: Sequence[Sequence[str]]) -> bool:
    widest = max(len([cell for cell in row if cell]) for row in rows[:20])
    return widest > 1 and sum(bool(cell) for cell in rows[0]) == 1 and len(rows) > 1


def _without_empty_columns(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    # Only the first row, which may have the names, is padded: a single wide row would otherwise pad all others
    used_columns = {column for row in rows for column, cell in enumerate(row) if cell}
    rows_cut = [[cell for column, cell in enumerate(row) if column in used_columns] for row in rows]
    if rows_cut:
        rows_cut[0] += [""] * (len(used_columns) - len(rows_cut[0]))
    return rows_cut


def _has_figures(body: Sequence[Sequence[str]]) -> bool:
    filled = Counter(column for row in body for column, cell in enumerate(row) if cell)
    figures = Counter(column for row in body for column, cell in enumerate(row) if re.search(r"\d", cell))
    return any(figures[column] > count / 2 for column, count in filled.items())
