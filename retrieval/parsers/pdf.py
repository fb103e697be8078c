"""PDF: text page by page, with headings from the outline and from type sizes, and table rows from positions."""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from foundation.errors import DocumentRefused
from retrieval.documents import Parsed, ParseLimits
from retrieval.formats.text_blocks import TEXT_VERSION, Draft, FormatParser

if TYPE_CHECKING:
    from pypdf import PageObject, PdfReader

_BULLET = re.compile(r"^(?:[•‣▪◦●○■\uf0b7·–-]\s+|\(?\d{1,3}[.)]\s)")
# Least ratio of a heading's type size to the body's; smaller differences are rounding of scaled fonts
_LARGER = 1.12
# Collections of East Asian glyphs, by which some programs number glyphs without saying their characters
_COLLECTIONS = ("Japan1", "GB1", "CNS1", "Korea1")
_UNREADABLE = "\ufffd"
# Greatest height of a table's head, by the size of its rows' type: four lines of double spacing
_HEAD_HEIGHT = 8
# Most characters of a heading; longer ones are large text
_HEADING_CHARACTERS = 150


@dataclass(frozen=True)
class Line:
    """A line of text on one base line: its cells from left to right, and where its `last` words begin."""

    text: str
    size: float
    bold: bool
    x: float
    y: float
    last: str
    cells: list[str] = field(default_factory=list)
    lefts: list[float] = field(default_factory=list)
    """Where each cell begins."""


def build(limits: ParseLimits) -> FormatParser:
    return FormatParser((".pdf",), f"pdf {5 + TEXT_VERSION}", _parse, limits)


def _parse(draft: Draft, content: bytes) -> Parsed:
    reader = _open(content, draft.name)
    draft.count_pages(len(reader.pages), "pages")
    lines = without_furniture([page_lines(page) for page in reader.pages])
    text = "".join(line.text for page in lines for line in page)
    if text.count(_UNREADABLE) * 10 > len(text):
        raise DocumentRefused(
            f'"{draft.name}" has a font that does not say which characters its glyphs are, so it cannot be read. Print it to '
            "PDF anew with another program, or recognise its text first.",
            reason="malformed",
        )
    headings = _Headings(lines, _outline(reader))
    for number, page in enumerate(lines, start=1):
        _add_page(draft, join_wrapped_heads(page), headings, number)
    for label, value in _filled_in(reader):
        draft.add("row", f"{label}: {value}")
    return draft.finish(title=_title(reader), pages=len(reader.pages))


@cache
def _mend_spaces() -> None:
    """Let pypdf find the spaces of TeX, whose fonts have no glyph for them: it takes the width of another glyph (its issue 3978)."""
    with suppress(ImportError, AttributeError):  # private: another version may have neither fault nor place
        from pypdf.generic._font import Font

        find = Font._get_space_char  # noqa: SLF001 - there is no other way in

        def find_or_none(encoding: Any, characters: dict[Any, Any]) -> str:
            absent = isinstance(encoding, str) and " " not in characters.values()
            return "" if absent else find(encoding, characters)

        Font._get_space_char = staticmethod(find_or_none)  # type: ignore[assignment]  # noqa: SLF001


def _open(content: bytes, name: str) -> PdfReader:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    _mend_spaces()
    try:
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):  # many are encrypted under no password, only against editing
            raise DocumentRefused(f'"{name}" is encrypted. Send it without a password.', reason="encrypted")
        len(reader.pages)
    except (PyPdfError, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        what = str(error) or type(error).__name__
        raise DocumentRefused(f'"{name}" is not a readable PDF: {what}. Save it anew.', reason="malformed") from error
    return reader


def page_lines(page: PageObject) -> list[Line]:
    """Return the page's lines in reading order, cells on one base line together."""
    lines: list[Line] = []
    open_line = False

    def visit(text: str, cm: Sequence[float], tm: Sequence[float], font: Any, size: float) -> None:
        nonlocal open_line
        scale = abs(tm[3] or tm[1]) * abs(cm[3] or cm[1])
        x = tm[4] * cm[0] + tm[5] * cm[2] + cm[4]
        y = tm[4] * cm[1] + tm[5] * cm[3] + cm[5]
        text = re.sub(r"\S", _UNREADABLE, text) if _is_unmapped(font or {}) else text
        bold = "bold" in str((font or {}).get("/BaseFont", "")).lower()
        for index, part in enumerate(text.split("\n")):
            if index:
                open_line = False
            if part.strip():
                _place(lines, Line(part.strip(), size * scale, bold, x, y, part.strip()), goes_on=open_line)
                open_line = True

    page.extract_text(visitor_text=visit)
    return lines


def _is_unmapped(font: Any) -> bool:
    # pypdf takes the numbers of glyphs for characters
    if "/ToUnicode" in font or not str(font.get("/Encoding", "")).startswith("/Identity"):
        return False
    with suppress(AttributeError, IndexError, KeyError, TypeError):  # a broken font
        return font["/DescendantFonts"][0].get_object()["/CIDSystemInfo"]["/Ordering"] in _COLLECTIONS
    return False


def _place(lines: list[Line], new: Line, *, goes_on: bool) -> None:
    last = lines[-1] if lines else None
    beside = last is not None and abs(last.y - new.y) < 0.3 * max(new.size, 1) and new.x > last.x
    if last is None or not (goes_on or beside):
        lines.append(replace(new, cells=[new.text], lefts=[new.x]))
    elif beside and new.x - last.x - _width(last.last, last.size) > 1.2 * new.size:
        lines[-1] = _with(last, new, [*last.cells, new.text], [*last.lefts, new.x])
    else:
        lines[-1] = _with(last, new, [*last.cells[:-1], f"{last.cells[-1]} {new.text}"], last.lefts)


def _width(text: str, size: float) -> float:
    # Rather too wide than too narrow, since true font widths are often missing
    return size * sum(0.7 if c.isupper() else 0.3 if c in " .,;:il" else 0.56 for c in text)


def _with(line: Line, new: Line, cells: list[str], lefts: list[float]) -> Line:
    x, bold = max(new.x, line.x), line.bold and new.bold
    return replace(line, text=" ".join(cells), bold=bold, x=x, last=new.text, cells=cells, lefts=lefts)


def join_wrapped_heads(lines: Sequence[Line]) -> list[Line]:
    """Join the bold lines above a row of a table to one head, where names of columns are wrapped."""
    joined: list[Line] = []
    for line in lines:
        parts = _lines_above(joined, line)
        if len(parts) > 1 and (head := _join_head(parts, line)):
            joined[-len(parts) :] = [head]
        joined.append(line)
    return joined


def _lines_above(lines: Sequence[Line], row: Line) -> list[Line]:
    """Return the bold lines right above a row, from the last one that has a name for each of its cells."""
    parts: list[Line] = []
    for line in reversed(lines):
        near = 0 < line.y - row.y < _HEAD_HEIGHT * row.size
        if not near or not line.bold or row.bold or len(row.cells) < 2:
            break
        parts.insert(0, line)
        if len(line.cells) == len(row.cells):
            break
    return parts


def _join_head(parts: Sequence[Line], row: Line) -> Line | None:
    """Return one line with a name above each cell of `row`; `None`: a cell has none, or a part is wider than its column."""
    names: list[list[str]] = [[] for _ in row.cells]
    ends = [*row.lefts[1:], math.inf]
    for part in sorted(parts, key=lambda part: -part.y):
        for text, left in zip(part.cells, part.lefts, strict=True):
            at = min(range(len(names)), key=lambda at: abs(row.lefts[at] - left))
            if left + _width(text, part.size) > ends[at]:
                return None
            names[at].append(text)
    cells = [" ".join(name) for name in names]
    return replace(parts[0], text=" ".join(cells), cells=cells, lefts=row.lefts) if all(cells) else None


def without_furniture(pages: list[list[Line]]) -> list[list[Line]]:
    """Remove running heads and feet: edge lines that recur, apart from figures, on most pages."""
    if len(pages) < 3:
        return pages

    def shape(line: Line) -> str:
        return re.sub(r"\d+", "#", line.text.lower())

    edges = Counter(text for page in pages for text in {shape(line) for line in (*page[:2], *page[-2:])})
    furniture = {text for text, count in edges.items() if count > len(pages) / 2}
    return [
        [line for at, line in enumerate(page) if 2 <= at < len(page) - 2 or shape(line) not in furniture]
        for page in pages
    ]


class _Headings:
    def __init__(self, pages: list[list[Line]], outline: dict[str, int]) -> None:
        sizes = Counter[float]()
        for page in pages:
            for line in page:
                sizes[round(line.size, 1)] += len(line.text)
        self._body = max(sizes, key=lambda size: sizes[size]) if sizes else 0.0
        self._outline = outline
        larger = sorted((size for size in sizes if size > self._body * _LARGER), reverse=True)
        self._levels = {size: min(rank, 6) for rank, size in enumerate(larger[:12], start=1)}

    def level(self, line: Line) -> int:
        if len(line.cells) > 1 or len(line.text) > _HEADING_CHARACTERS or not re.search(r"[^\W\d_]{2}", line.text):
            return 0
        return self._outline.get(_key(line.text), self._levels.get(round(line.size, 1), 0))


def _key(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())


def _outline(reader: PdfReader) -> dict[str, int]:
    # A broken outline is no reason to refuse the text
    levels: dict[str, int] = {}

    def walk(entries: Any, level: int) -> None:
        for entry in entries:
            if isinstance(entry, list):
                walk(entry, level + 1)
            elif _key(str(entry.title or "")):
                levels.setdefault(_key(str(entry.title)), min(level, 6))

    with suppress(Exception):
        walk(reader.outline, 1)
        return levels
    return {}


def _title(reader: PdfReader) -> str | None:
    title = ""
    with suppress(Exception):
        title = str((reader.metadata and reader.metadata.title) or "")
    return None if re.search(r"(?i)\.\w{2,4}$|^untitled|^microsoft word|^\(anonymous\)$", title) else title


def _filled_in(reader: PdfReader) -> list[tuple[str, str]]:
    with suppress(Exception):
        fields = (reader.get_fields() or {}).items()
        filled = [(name, field) for name, field in fields if field.get("/FT") in ("/Tx", "/Ch") and field.get("/V")]
        return [(str(field.get("/TU") or name), str(field["/V"])) for name, field in filled]
    return []


def _add_page(draft: Draft, lines: list[Line], headings: _Headings, number: int) -> None:
    for group in _groups(lines, headings):
        level, words = headings.level(group[0]), " ".join(line.text for line in group)
        if level and len(words) <= _HEADING_CHARACTERS:
            draft.add("heading", words, level=level, page=number)
        elif len(group[0].cells) > 1:
            header = len(group) > 1 and group[0].bold and not group[1].bold
            draft.table([line.cells for line in group], header=header, page=number)
        else:
            text = join_lines([line.text for line in group])
            bullet = _BULLET.match(text)
            text = text if bullet is None or text[0].isalnum() or text[0] == "(" else text[bullet.end() :]
            draft.add("item" if bullet else "paragraph", text, page=number)


def _groups(lines: list[Line], headings: _Headings) -> Iterator[list[Line]]:
    lengths = sorted(len(line.text) for line in lines)
    full = 0.75 * lengths[int(0.9 * (len(lengths) - 1))] if lengths else 0
    group: list[Line] = []
    for line in lines:
        if group and not _goes_on(group[-1], line, headings, full):
            yield group
            group = []
        group.append(line)
    if group:
        yield group


def _goes_on(last: Line, line: Line, headings: _Headings, full: float) -> bool:
    near = abs(last.y - line.y) < 2.2 * max(last.size, line.size)
    if headings.level(last) or headings.level(line):
        return near and headings.level(last) == headings.level(line) and round(last.size, 1) == round(line.size, 1)
    if len(last.cells) > 1 or len(line.cells) > 1:
        return len(last.cells) == len(line.cells)
    return len(last.text) >= full and not _BULLET.match(line.text) and near


def join_lines(lines: Sequence[str]) -> str:
    """Join lines to a paragraph; words hyphenated at the margin are put together.

    >>> join_lines(["a long para-", "graph of", "text"])
    'a long paragraph of text'
    """
    text = ""
    for line in lines:
        if re.search(r"[a-zà-ÿ]-$", text) and line[:1].islower():
            text = text[:-1] + line
        else:
            text = f"{text} {line}" if text else line
    return text
