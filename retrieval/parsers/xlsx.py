"""Excel workbooks: each sheet under its name, its rows with their column names; the values as they were last computed.

Hidden sheets are left out, as everything is that a reader does not see.
"""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from foundation.errors import DocumentRefused
from retrieval.contract import Parsed, ParseLimits
from retrieval.packages import check_package, malformed, mended
from retrieval.plain_text import Draft

_WHAT = "Excel workbook"
_MOST_ROWS = 1_048_576
"""Excel's own limit. A file may number its rows as it likes, and each missing one is walked through."""


class XlsxParser:
    suffixes: tuple[str, ...] = (".xlsx", ".xlsm")
    version = "xlsx 2"

    def __init__(self, limits: ParseLimits) -> None:
        self._limits = limits

    def parse(self, content: bytes, name: str) -> Parsed:
        check_package(content, name, _WHAT)
        workbook = _open(mended(content), name)
        sheets = [sheet for sheet in workbook.worksheets if sheet.sheet_state == "visible"]
        if len(sheets) > self._limits.pages:
            raise DocumentRefused(
                f'"{name}" has {len(sheets)} sheets, more than {self._limits.pages}. Split it, or raise '
                f"retrieval.parsing.max_pages.",
                reason="too_many_pages",
            )
        draft = Draft(name, self._limits)
        for number, sheet in enumerate(sheets, start=1):
            sheet.reset_dimensions()  # a file may claim any; without them only the cells that exist are walked through
            _add_sheet(draft, sheet, number)
        return draft.finish(title=workbook.properties.title, pages=len(sheets))


def build(limits: ParseLimits) -> XlsxParser:
    return XlsxParser(limits)


def _open(content: bytes, name: str) -> Any:
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        return load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError) as error:
        raise malformed(name, _WHAT, error) from error


def _add_sheet(draft: Draft, sheet: Any, number: int) -> None:
    """A sheet without a value adds nothing, not even its name."""
    rows = _rows(sheet)
    first = next((row for row in rows if any(row)), None)
    if first is None:
        return
    draft.add("heading", sheet.title, level=2, page=number)
    draft.sheet(chain([first], rows), page=number)


def _rows(sheet: Any) -> Iterator[list[str]]:
    for row in islice(sheet.iter_rows(), _MOST_ROWS):
        yield [_words(cell) for cell in row]


def _words(cell: Any) -> str:
    """The value as the sheet shows it, where that changes its meaning: dates without midnight, shares as per cent."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, dt.datetime) and value.time() == dt.time():
        return value.date().isoformat()
    if isinstance(value, float):
        percent = "%" in (cell.number_format or "")
        return f"{value * 100:.10g} %" if percent else f"{value:.15g}"
    return str(value)
