"""Excel's binary workbooks: the visible sheets, with dates, shares and units as they are shown."""

import struct
from typing import Any

from extensions.office.drawings import DRAWINGS_VERSION
from extensions.office.ooxml import malformed_document
from extensions.office.xlsx import words_of
from foundation.errors import DocumentRefused
from retrieval.documents import Parsed, ParseLimits
from retrieval.formats.tables import TABLES_VERSION, add_sheet
from retrieval.formats.text_blocks import TEXT_VERSION, Draft, FormatParser


def build(limits: ParseLimits) -> FormatParser:
    return FormatParser((".xls",), f"xls {1 + DRAWINGS_VERSION + TEXT_VERSION + TABLES_VERSION}", _parse, limits)


def _parse(draft: Draft, content: bytes) -> Parsed:
    import xlrd

    try:
        book = xlrd.open_workbook(file_contents=content, formatting_info=True, logfile=_Silent())
    except (
        xlrd.XLRDError,
        xlrd.compdoc.CompDocError,
        LookupError,
        ValueError,
        TypeError,
        AssertionError,
        struct.error,
    ) as error:
        if "encrypted" in str(error):
            raise DocumentRefused(
                f'"{draft.name}" is encrypted. Send it without a password.', reason="encrypted"
            ) from error
        raise malformed_document(draft.name, "Excel workbook", f"{error}. Save it anew") from error
    sheets = [sheet for sheet in book.sheets() if not sheet.visibility]
    draft.count_pages(len(sheets), "sheets")
    for number, sheet in enumerate(sheets, start=1):
        rows = _rows(book, sheet)
        if any(any(row) for row in rows):
            draft.add("heading", sheet.name, level=2, page=number)
            add_sheet(draft, rows, page=number)
    return draft.finish(pages=len(sheets))


class _Silent:
    """xlrd writes what it finds odd."""

    def write(self, text: str) -> None: ...


def _rows(book: Any, sheet: Any) -> list[list[str]]:
    columns = [n for n in range(sheet.ncols) if n not in sheet.colinfo_map or not sheet.colinfo_map[n].hidden]
    rows = [n for n in range(sheet.nrows) if n not in sheet.rowinfo_map or not sheet.rowinfo_map[n].hidden]
    return [
        [_words(book, sheet.cell(row, column)) for column in columns if column < sheet.row_len(row)] for row in rows
    ]


def _words(book: Any, cell: Any) -> str:
    import xlrd

    if cell.ctype == xlrd.XL_CELL_ERROR:
        return str(xlrd.error_text_from_code.get(cell.value, ""))
    number_format = book.format_map[book.xf_list[cell.xf_index].format_key].format_str
    value = cell.value
    if cell.ctype == xlrd.XL_CELL_DATE:
        value = xlrd.xldate_as_datetime(value, book.datemode)
    elif cell.ctype == xlrd.XL_CELL_BOOLEAN:
        value = bool(value)
    elif cell.ctype == xlrd.XL_CELL_NUMBER and value == int(value):
        value = int(value)
    return words_of(value, number_format)
