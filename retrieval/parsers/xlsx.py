"""Excel workbooks: each sheet under its name, its rows with their column names; the values as they were last computed.

Hidden sheets are left out, as everything is that a reader does not see.
"""

from __future__ import annotations

import datetime as dt
import io
import posixpath
import re
import zipfile
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain, islice
from typing import Any

from foundation.errors import DocumentRefused
from retrieval.contract import Parsed, ParseLimits
from retrieval.drawings import FORMAT_CONDITION, FORMAT_LITERAL, is_share, parse_xml, words
from retrieval.packages import check_package, malformed, mended
from retrieval.plain_text import Draft

_WHAT = "Excel workbook"
_MOST_ROWS = 1_048_576
"""Excel's own limit. A file may number its rows as it likes, and each missing one is walked through."""
_AROUND_THE_CELLS = (
    (re.compile(r"xl/worksheets/.*\.xml"), rb"(</(?:\w+:)?sheetData>).*(</(?:\w+:)?worksheet>)", rb"\1\2"),
    (
        re.compile(r"xl/styles\.xml"),
        rb"<((?:\w+:)?)cellStyles\b.*</(?:\w+:)?cellStyles>",
        rb'<\1cellStyles><\1cellStyle name="Normal" xfId="0" builtinId="0"/></\1cellStyles>',
    ),
    (re.compile(r"xl/workbook\.xml"), rb"<((?:\w+:)?)definedNames\b.*</(?:\w+:)?definedNames>", b""),
)
"""Rules and names that say nothing of a cell's value, and that openpyxl may refuse a workbook for."""
_SECTION = re.compile(r"(?:\"[^\"]*\"|[\\_*].|[^;])*")
"""The format of positive numbers, which is the first one."""
_PIECE = re.compile(r"\"([^\"]*)\"|\\(.)|\[\$([^\]-]*)[^\]]*\]|[_*].|\[[^\]]*\]|([$€£¥₹\s])")
"""What stands around the digits: words, signs, currencies, the room that another sign takes, the look."""
_DIGIT = re.compile(r"[0#?]")
_SCALED = re.compile(r"[0#?],+(?![0#?])")
_SIGNS_AT_THE_NUMBER = ("$", "£", "¥", "₹")
_SAYS_SOMETHING = re.compile(r"[^\s().,:;/+'-]")


class XlsxParser:
    suffixes: tuple[str, ...] = (".xlsx", ".xlsm")
    version = "xlsx 4"

    def __init__(self, limits: ParseLimits) -> None:
        self._limits = limits

    def parse(self, content: bytes, name: str) -> Parsed:
        check_package(content, name, _WHAT)
        content = mended(content)
        try:
            return self._read(content, name)
        except _TROUBLES:
            try:
                return self._read(_cells_alone(content), name)
            except _TROUBLES as error:
                raise malformed(name, _WHAT, error) from error

    def _read(self, content: bytes, name: str) -> Parsed:
        from openpyxl import load_workbook

        workbook = load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)
        sheets = [sheet for sheet in workbook.worksheets if sheet.sheet_state == "visible"]
        if len(sheets) > self._limits.pages:
            raise DocumentRefused(
                f'"{name}" has {len(sheets)} sheets, more than {self._limits.pages}. Split it, or raise '
                f"retrieval.parsing.max_pages.",
                reason="too_many_pages",
            )
        draft = Draft(name, self._limits)
        with zipfile.ZipFile(io.BytesIO(content)) as package:
            present = frozenset(package.namelist())
            for number, sheet in enumerate(sheets, start=1):
                sheet.reset_dimensions()  # a file may claim any; without them only the cells that exist are walked through
                _add_sheet(draft, sheet, _text_boxes(package, present, sheet), number)
        return draft.finish(title=workbook.properties.title, pages=len(sheets))


def build(limits: ParseLimits) -> XlsxParser:
    return XlsxParser(limits)


_TROUBLES = (zipfile.BadZipFile, LookupError, ValueError, TypeError, AttributeError, OverflowError)


def _cells_alone(content: bytes) -> bytes:
    """The package with nothing but the cells, their styles and their strings."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as package, zipfile.ZipFile(out, "w") as written:
        for name in package.namelist():
            member = package.read(name)
            for where, what, instead in _AROUND_THE_CELLS:
                member = re.sub(what, instead, member, flags=re.DOTALL) if where.fullmatch(name) else member
            written.writestr(name, member)
    return out.getvalue()


def _text_boxes(package: zipfile.ZipFile, present: frozenset[str], sheet: Any) -> list[str]:
    """The paragraphs of the shapes that lie on a sheet. The names of all members are `present`."""
    folder, sheet_name = posixpath.split(str(sheet._worksheet_path))  # noqa: SLF001 - not offered otherwise
    found: list[str] = []
    relations = f"{folder}/_rels/{sheet_name}.rels"
    for one in parse_xml(package.read(relations)) if relations in present else []:
        if one.get("Type", "").endswith("/drawing"):
            drawing = posixpath.normpath(posixpath.join("/", folder, one.get("Target", ""))).lstrip("/")
            shapes: Iterable[Any] = parse_xml(package.read(drawing)) if drawing in present else []
            found += [words(paragraph) for shape in shapes for paragraph in shape.iterfind(".//{*}txBody/{*}p")]
    return found


def _add_sheet(draft: Draft, sheet: Any, boxes: list[str], number: int) -> None:
    """A sheet without a value adds nothing, not even its name."""
    rows = _rows(sheet)
    first = next((row for row in rows if any(row)), None)
    if first is None and not any(map(str.strip, boxes)):
        return
    draft.add("heading", sheet.title, level=2, page=number)
    draft.sheet(chain([first or []], rows), page=number)
    for text in boxes:
        draft.add("paragraph", text, page=number)


def _rows(sheet: Any) -> Iterator[list[str]]:
    for row in islice(sheet.iter_rows(), _MOST_ROWS):
        yield [_words(cell) for cell in row]


def _words(cell: Any) -> str:
    """The value as the sheet shows it, where that changes its meaning: dates without midnight, shares as per cent, numbers
    with their unit or leading zeros."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, dt.datetime) and value.time() == dt.time():
        return value.date().isoformat()
    if isinstance(value, dt.timedelta):
        minutes, seconds = divmod(round(abs(value).total_seconds()), 60)
        sign = "-" if value < dt.timedelta() else ""
        return f"{sign}{minutes // 60}:{minutes % 60:02}" + (f":{seconds:02}" if seconds else "")
    if isinstance(value, int | float):
        return _number(value, str(cell.number_format or ""))
    return str(value)


def _number(value: float, told: str) -> str:
    """`told` is a format, such as `#,##0.00 "EUR"`."""
    if is_share(told):
        return f"{value * 100:.10g} %"
    number = f"{value:.15g}" if isinstance(value, float) else str(value)
    before, after, width = _around(told)
    return f"{before}{number.zfill(width) if number.isdecimal() else number}{after}"


@lru_cache(maxsize=1024)
def _around(told: str) -> tuple[str, str, int]:
    """What a format shows before and after a positive number, and how many digits a whole one has at least. Nothing where it
    scales the number or depends on it, since its unit is then not that of the value."""
    section = _SECTION.match(told)
    shown = section[0] if section is not None else ""
    plain = FORMAT_LITERAL.sub("", shown)
    digits = [place.start() for place in _DIGIT.finditer(_PIECE.sub(lambda found: "_" * len(found[0]), shown))]
    if not digits or _SCALED.search(plain) or FORMAT_CONDITION.search(plain):
        return "", "", 0
    first, last = digits[0], digits[-1] + 1
    if _spoken(shown[first:last]).strip():
        return "", "", 0
    zeros = re.fullmatch("[#,]*(0{2,})", shown[first:last])
    before, after = _spoken(shown[:first]), _spoken(shown[last:]).strip()
    if before.strip() in _SIGNS_AT_THE_NUMBER:
        before = before.strip()
    elif before.strip() == "€" or re.search(r"\[\$[^\]-]", shown[:first]):
        before = f"{before.strip()} "
    return before if before.strip() else "", f" {after}" if after else "", len(zeros[1]) if zeros is not None else 0


def _spoken(told: str) -> str:
    """The words in a part of a format, or nothing where they are signs alone."""
    words = "".join(next(filter(None, found.groups()), "") for found in _PIECE.finditer(told))
    return words if _SAYS_SOMETHING.search(words) else ""
