"""Comma, semicolon, tab or bar separated tables: each row becomes one line that says its column names."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from pathlib import PurePath

from foundation.errors import DocumentRefused
from retrieval.contract import Parsed, ParseLimits
from retrieval.formats.text_blocks import TEXT_VERSION, Draft, clean, decode

_TOLD = re.compile(r"\"?sep=([,;\t|])\"?\n")
"""A first line that tells Excel the separator."""


class CsvParser:
    suffixes: tuple[str, ...] = (".csv", ".tsv")
    version = f"csv {3 + TEXT_VERSION}"

    def __init__(self, limits: ParseLimits) -> None:
        self._limits = limits

    def parse(self, content: bytes, name: str) -> Parsed:
        text = clean(decode(content, name))
        # A long cell is no fault; the size of the whole is limited already. The limit is the process's: only ever raised.
        csv.field_size_limit(max(len(text), csv.field_size_limit()))
        delimiter = "\t" if PurePath(name).suffix.lower() == ".tsv" else _delimiter(text)
        if declaration := _TOLD.match(text):
            delimiter, text = declaration[1], text[declaration.end() :]
        rows = _rows(text, delimiter, name)
        draft = Draft(name, self._limits)
        draft.sheet(rows)
        return draft.finish()


def build(limits: ParseLimits) -> CsvParser:
    return CsvParser(limits)


def _delimiter(text: str) -> str:
    """The separator under which the first rows agree best on a number of columns.

    The standard library's Sniffer guesses from letters where a column of prose is present; counting does not.
    """

    def agreement(delimiter: str) -> tuple[int, int]:
        widths = Counter(len(row) for row in _read_rows(text[:20_000], delimiter)[:50] if row)
        width, rows = max(((w, n) for w, n in widths.items() if w > 1), key=lambda pair: pair[1], default=(0, 0))
        return rows, width

    return max(",;\t|", key=agreement)


def _read_rows(text: str, delimiter: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True))


def _rows(text: str, delimiter: str, name: str) -> list[list[str]]:
    try:
        rows = _read_rows(text, delimiter)
    except csv.Error as error:
        raise DocumentRefused(f'"{name}" is not a readable table: {error}.', reason="malformed") from error
    return [[cell.strip() for cell in row] for row in rows if any(cell.strip() for cell in row)]
