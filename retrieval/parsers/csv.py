"""Comma, semicolon, tab or bar separated tables: each row becomes one line that says its column names."""

import csv
import io
import re
from collections import Counter
from pathlib import PurePath

from foundation.errors import DocumentRefused
from retrieval.documents import Parsed, ParseLimits
from retrieval.formats.tables import TABLES_VERSION, add_sheet
from retrieval.formats.text_blocks import TEXT_VERSION, Draft, FormatParser, clean, decode

# A first line that declares the separator for Excel
_TOLD = re.compile(r"\"?sep=([,;\t|])\"?\n")


def build(limits: ParseLimits) -> FormatParser:
    return FormatParser((".csv", ".tsv"), f"csv {3 + TEXT_VERSION + TABLES_VERSION}", _parse, limits)


def _parse(draft: Draft, content: bytes) -> Parsed:
    text = clean(decode(content, draft.name))
    # Long cells are fine, since the whole is limited. The limit is the process's, so it is only raised.
    csv.field_size_limit(max(len(text), csv.field_size_limit()))
    delimiter = "\t" if PurePath(draft.name).suffix.lower() == ".tsv" else _delimiter(text)
    if declaration := _TOLD.match(text):
        delimiter, text = declaration[1], text[declaration.end() :]
    try:
        rows = _read_rows(text, delimiter)
    except csv.Error as error:
        raise DocumentRefused(f'"{draft.name}" is not a readable table: {error}.', reason="malformed") from error
    add_sheet(draft, [row for row in rows if any(cell.strip() for cell in row)])
    return draft.finish()


def _delimiter(text: str) -> str:
    """Return the separator under which the first rows agree best on a number of columns."""

    # the standard library's Sniffer guesses from letters where a column of prose is present
    def agreement(delimiter: str) -> tuple[int, int]:
        widths = Counter(len(row) for row in _read_rows(text[:20_000], delimiter)[:50] if row)
        width, rows = max(((w, n) for w, n in widths.items() if w > 1), key=lambda pair: pair[1], default=(0, 0))
        return rows, width

    return max(",;\t|", key=agreement)


def _read_rows(text: str, delimiter: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True))
