"""Excel workbooks: each sheet under its name, its rows with their column names; the values as they were last computed.

Hidden sheets, rows, columns and shapes are left out, folded and filtered rows are not: a click shows them.
"""

import datetime as dt
import io
import posixpath
import re
import string
import zipfile
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from typing import Any
from xml.parsers import expat

from extensions.office.drawings import (
    DRAWINGS_VERSION,
    FORMAT_CONDITION,
    FORMAT_LITERAL,
    is_share,
    parse_xml,
    whole_number,
    words,
)
from extensions.office.ooxml import OOXML_VERSION, check_package, malformed_document, mend
from retrieval.documents import Parsed, ParseLimits
from retrieval.formats.tables import TABLES_VERSION, add_sheet
from retrieval.formats.text_blocks import TEXT_VERSION, Draft, FormatParser

# Most rows, Excel's own limit. A file may number its rows at will, and every missing one costs time.
_MOST_ROWS = 1_048_576
_MOST_COLUMNS = 16_384
# (member, pattern, replacement) for rules and names that openpyxl may refuse a workbook for and that no value depends
# on. A pattern runs from the first to the last of them, so that it stays linear.
_AROUND_THE_CELLS = (
    (re.compile(r"xl/worksheets/.*\.xml"), rb"\A(?>(.*?</(?:\w+:)?sheetData>)).*(</(?:\w+:)?worksheet>)", rb"\1\2"),
    (
        re.compile(r"xl/styles\.xml"),
        rb"\A(?>(.*?)<((?:\w+:)?)cellStyles\b).*</(?:\w+:)?cellStyles>",
        rb'\1<\2cellStyles><\2cellStyle name="Normal" xfId="0" builtinId="0"/></\2cellStyles>',
    ),
    (re.compile(r"xl/workbook\.xml"), rb"\A(?>(.*?)<(?:\w+:)?definedNames\b).*</(?:\w+:)?definedNames>", rb"\1"),
)
# A section of a number format, up to a semicolon: first that of positive numbers, then of negative ones
_SECTION = re.compile(r"(?:\"[^\"]*\"|[\\_*].|[^;])*")
# Parts of a format around the digits: words, signs, currencies, padding, looks
_PIECE = re.compile(r"\"([^\"]*)\"|\\(.)|\[\$([^\]-]{0,255}+)[^\]]{0,255}+\]|[_*].|\[[^\]]{0,255}+\]|([$€£¥₹\s])")
_DIGIT = re.compile(r"[0#?]")
_SCALED = re.compile(r"[0#?],+(?![0#?])")
_SIGNS_AT_THE_NUMBER = ("$", "£", "¥", "₹")
_TRUE = ("1", "true")
_SAYS_SOMETHING = re.compile(r"[^\s().,:;/+'-]")


_TROUBLES = (zipfile.BadZipFile, LookupError, ValueError, TypeError, AttributeError, OverflowError)


def build(limits: ParseLimits) -> FormatParser:
    version = f"xlsx {6 + DRAWINGS_VERSION + OOXML_VERSION + TEXT_VERSION + TABLES_VERSION}"
    return FormatParser((".xlsx", ".xlsm"), version, _parse, limits)


def _parse(draft: Draft, content: bytes) -> Parsed:
    check_package(content, draft.name, "Excel workbook")
    content = mend(content)
    try:
        return _read_workbook(draft, content)
    except _TROUBLES:
        try:
            return _read_workbook(Draft(draft.name, draft.limits), _cells_alone(content))
        except _TROUBLES as error:
            raise malformed_document(draft.name, "Excel workbook", error) from error


def _read_workbook(draft: Draft, content: bytes) -> Parsed:
    from openpyxl import load_workbook

    workbook = load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)
    sheets = [sheet for sheet in workbook.worksheets if sheet.sheet_state == "visible"]
    draft.count_pages(len(sheets), "sheets")
    with zipfile.ZipFile(io.BytesIO(content)) as package:
        present = frozenset(package.namelist())
        for number, sheet in enumerate(sheets, start=1):
            sheet.reset_dimensions()  # a file may claim any; without them only the cells that exist are walked through
            _add_sheet(draft, sheet, _Members(package, present, str(sheet._worksheet_path)), number)  # noqa: SLF001 - not offered otherwise
    return draft.finish(title=workbook.properties.title, pages=len(sheets))


def _cells_alone(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as package, zipfile.ZipFile(out, "w") as written:
        for name in package.namelist():
            member = package.read(name)
            for where, what, instead in _AROUND_THE_CELLS:
                member = re.sub(what, instead, member, flags=re.DOTALL) if where.fullmatch(name) else member
            written.writestr(name, member)
    return out.getvalue()


@dataclass(frozen=True, slots=True)
class _Members:
    package: zipfile.ZipFile
    present: frozenset[str]
    sheet: str

    def related_roots(self, kind: str) -> Iterator[Any]:
        """Yield the root of each related member of a kind, such as "table", once, however often it is named."""
        folder, name = posixpath.split(self.sheet)
        relations = f"{folder}/_rels/{name}.rels"
        names: dict[str, None] = {}
        for relation in parse_xml(self.package.read(relations)) if relations in self.present else []:
            member = posixpath.normpath(posixpath.join("/", folder, relation.get("Target", ""))).lstrip("/")
            if relation.get("Type", "").endswith(f"/{kind}") and member in self.present:
                names[member] = None
        for member in names:
            yield parse_xml(self.package.read(member))


def _text_boxes(drawing: Any) -> list[str]:
    paragraphs: list[str] = []
    waiting = [drawing]
    while waiting:
        shape = waiting.pop()
        properties = shape.find("*/{*}cNvPr")
        if properties is not None and properties.get("hidden") in _TRUE:
            continue
        paragraphs += [words(paragraph) for paragraph in shape.iterfind("{*}txBody/{*}p")]
        waiting += reversed(shape)
    return paragraphs


def _hidden_lines(members: _Members) -> tuple[Collection[int], Collection[int]]:
    # openpyxl does not report them when it reads row by row; folded and filtered rows count as shown
    rows: list[int] = []
    columns: set[int] = set()
    filtered = [
        auto_filter.get("ref", "")
        for table in members.related_roots("table")
        for auto_filter in table.iterfind("{*}autoFilter")
        if auto_filter.find("{*}filterColumn") is not None
    ]
    row, last, filter_at = 0, 0, ""

    def begin(tag: str, attributes: dict[str, str]) -> None:
        nonlocal row, last, filter_at
        hidden = attributes.get("hidden") in _TRUE and attributes.get("outlineLevel", "0") == "0"
        match tag.rpartition(":")[2]:
            case "row":
                row = whole_number(attributes.get("r")) or row + 1
                if hidden:
                    rows.append(row)
            case "col" if hidden:
                first, last = max(whole_number(attributes.get("min")), last + 1), whole_number(attributes.get("max"))
                last = min(last, _MOST_COLUMNS)
                columns.update(range(first, last + 1))
            case "autoFilter":
                filter_at = attributes.get("ref", "")
            case "filterColumn":
                filtered.append(filter_at)

    parser = expat.ParserCreate()
    parser.StartElementHandler = begin
    with members.package.open(members.sheet) as file, suppress(expat.ExpatError):  # openpyxl says what is wrong
        parser.ParseFile(file)
    rows.sort()
    for place in set(filtered):
        first, _, final = place.replace("$", "").partition(":")
        top, bottom = (whole_number(corner.lstrip(string.ascii_uppercase)) for corner in (first, final))
        del rows[bisect_left(rows, top) : bisect_right(rows, bottom)]
    return frozenset(rows), columns


def _add_sheet(draft: Draft, sheet: Any, members: _Members, number: int) -> None:
    boxes = [text for drawing in members.related_roots("drawing") for text in _text_boxes(drawing)]
    hidden, hidden_columns = _hidden_lines(members)
    rows = (
        [
            words_of(cell.value, str(cell.number_format or ""))
            for column, cell in enumerate(row, start=1)
            if column not in hidden_columns
        ]
        for number, row in enumerate(islice(sheet.iter_rows(), _MOST_ROWS), start=1)
        if number not in hidden
    )
    first = next((row for row in rows if any(row)), None)
    if first is None and not any(map(str.strip, boxes)):
        return
    draft.add("heading", sheet.title, level=2, page=number)
    add_sheet(draft, chain([first or []], rows), page=number)
    for text in boxes:
        draft.add("paragraph", text, page=number)


def words_of(value: Any, number_format: str) -> str:
    """Return a value as the sheet shows it: dates without midnight, shares as per cent, numbers with their unit."""
    shows_nothing = number_format and not number_format.strip("; ")  # a format of semicolons alone
    if value is None or shows_nothing:
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
        return _number(value, number_format)
    return str(value)


def _number(value: float, number_format: str) -> str:
    if is_share(number_format):
        return f"{value * 100:.10g} %"
    positive, negative = _sections(number_format)
    before, after, width = _around(positive)
    if value < 0 and (words := _around(negative)) and _letters(words) not in ([], _letters((before, after))):
        value, (before, after, width) = -value, words  # the words say that it is negative
    number = f"{value:.15g}" if isinstance(value, float) else str(value)
    return f"{before}{number.zfill(width) if number.isdecimal() else number}{after}"


@lru_cache(maxsize=1024)
def _sections(number_format: str) -> tuple[str, str]:
    """Return a format's sections for positive and for negative numbers; the latter is empty where there is none or it has a condition."""
    first = _SECTION.match(number_format)
    positive = first[0] if first is not None else ""
    second = _SECTION.match(number_format, len(positive) + 1)
    conditions = FORMAT_CONDITION.search(FORMAT_LITERAL.sub("", number_format))
    return positive, second[0] if second is not None and not conditions else ""


def _letters(around: Sequence[str | int]) -> list[str]:
    return re.findall(r"[^\W\d_]+", " ".join(map(str, around)))


@lru_cache(maxsize=1024)
def _around(shown: str) -> tuple[str, str, int]:
    """Return the text before and after a number in a format's section, and its least digits; empty where it scales."""
    plain = FORMAT_LITERAL.sub("", shown)
    digits = [place.start() for place in _DIGIT.finditer(_PIECE.sub(lambda match: "_" * len(match[0]), shown))]
    if not digits or _SCALED.search(plain) or FORMAT_CONDITION.search(plain):
        return "", "", 0
    first, last = digits[0], digits[-1] + 1
    if _words_in_format(shown[first:last]).strip():
        return "", "", 0
    zeros = re.fullmatch("[#,]*(0{2,})", shown[first:last])
    before, after = _words_in_format(shown[:first]), _words_in_format(shown[last:]).strip()
    if before.strip() in _SIGNS_AT_THE_NUMBER:
        before = before.strip()
    elif before.strip() == "€" or re.search(r"\[\$[^\]-]", shown[:first]):
        before = f"{before.strip()} "
    return before if before.strip() else "", f" {after}" if after else "", len(zeros[1]) if zeros is not None else 0


def _words_in_format(part: str) -> str:
    words = "".join(next(filter(None, match.groups()), "") for match in _PIECE.finditer(part))
    return words if _SAYS_SOMETHING.search(words) else ""
