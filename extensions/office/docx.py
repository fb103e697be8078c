"""Word documents: headings, paragraphs, list items and tables in document order, each with its foot and end notes after it,
without headers and footers.
"""

import re
import zipfile
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from extensions.office.drawings import DRAWINGS_VERSION, RELATION, chart, diagram, join_raised, whole_number
from extensions.office.ooxml import OOXML_VERSION, core_title, open_package
from extensions.office.word_numbering import (
    NUMBERING_VERSION,
    is_on,
    numbers,
    related_roots,
    styles_by_descent,
    value_of,
)
from retrieval.documents import Parsed, ParseLimits
from retrieval.formats.tables import TABLES_VERSION, add_table
from retrieval.formats.text_blocks import TEXT_VERSION, Draft, FormatParser

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
# Wrappers of paragraphs, rows and cells: content controls, accepted changes, marks
_WRAPPERS = tuple(f"{_W}{name}" for name in ("sdt", "sdtContent", "ins", "moveTo", "customXml", "smartTag"))
_PLAIN = ("paragraph", 0)
# The outline level of body text
_BODY_TEXT = 9
# Word's own limit
_MOST_COLUMNS = 63
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"

_UNSEEN = (_FALLBACK, *(f"{_W}{name}" for name in ("pPr", "rPr", "moveFrom", "del", "rt")))


def build(limits: ParseLimits) -> FormatParser:
    version = f"docx {5 + DRAWINGS_VERSION + OOXML_VERSION + TEXT_VERSION + TABLES_VERSION + NUMBERING_VERSION}"
    return FormatParser((".docx",), version, _parse, limits)


def _parse(draft: Draft, content: bytes) -> Parsed:
    from docx import Document
    from docx.opc.exceptions import PackageNotFoundError

    troubles = (PackageNotFoundError, zipfile.BadZipFile, KeyError, ValueError)
    document = open_package(content, draft.name, "Word document", Document, troubles)
    _settle(document)
    _Walk(draft, document).over(document.element.body)
    return draft.finish(title=core_title(document))


def _settle(document: Any) -> None:
    # Fallbacks for old programs repeat the text before them
    for fallback in list(document.element.body.iter(_FALLBACK)):
        fallback.getparent().remove(fallback)
    for paragraph, number in list(numbers(document)):
        if _words(paragraph).strip() or paragraph.getparent().tag == f"{_W}tc":
            run = paragraph.makeelement(f"{_W}r")
            run.append(paragraph.makeelement(f"{_W}t"))
            run[0].text = f"{number} "
            paragraph.insert(int(paragraph.find(f"{_W}pPr") is not None), run)


class _Walk:
    def __init__(self, draft: Draft, document: Any) -> None:
        self._draft = draft
        self._part = document.part
        self._styles = _styles(document)
        self._notes = _notes(document)

    def over(self, parent: Any) -> None:
        for element in _inside(parent, f"{_W}p", f"{_W}tbl"):
            rows = [list(_inside(row, f"{_W}tc")) for row in _inside(element, f"{_W}tr")]
            if element.tag == f"{_W}p":
                kind, level = self._styles.get(value_of(element, "pPr/pStyle"), _PLAIN)
                if not level and (numbered := value_of(element, "pPr/numPr/numId")):
                    kind = "paragraph" if numbered == "0" else "item"
                self._draft.add(kind, _words(element), level=level)
            elif max(map(len, rows), default=0) > 1:
                self._add_table(element, rows)
            else:  # a frame around its content
                for cell in (cell for row in rows for cell in row):
                    self.over(cell)
                continue
            self._add_drawings(element)
            for reference in element.iter(f"{_W}footnoteReference", f"{_W}endnoteReference"):
                self._draft.add("paragraph", self._notes.get((reference.tag, reference.get(f"{_W}id")), ""))

    def _add_table(self, table: Any, rows: list[list[Any]]) -> None:
        marks = [row.find(f"{_W}trPr/{_W}tblHeader") is not None for row in _inside(table, f"{_W}tr")]
        heads = marks.index(False) if False in marks else 0  # where every row is marked, none is
        above: dict[int, str] = {}
        cells = [_cells(row, above, spread=number < heads) for number, row in enumerate(rows)]
        if heads:
            columns = zip_longest(*cells[:heads], fillvalue="")
            names = [" ".join(dict.fromkeys(filter(None, column))) for column in columns]
            self._draft.table([names, *cells[heads:]], header=True)
        else:  # merged cells in the first row are names of several columns, which stand in the second, or of none
            marked = (cell.find(f"{_W}tcPr/{_W}{mark}") for cell in rows[0] for mark in ("vMerge", "gridSpan"))
            add_table(self._draft, cells, header=None if all(mark is None for mark in marked) else False)

    def _add_drawings(self, element: Any) -> None:
        for drawn in element.iterfind(".//{*}graphicData/*"):
            if drawn.tag.endswith("}chart"):
                title, tables = chart(self._related_part(drawn, "id"))
                self._draft.add("paragraph", title)
                for table in tables:
                    self._draft.table(table, header=True)
            elif drawn.tag.endswith("}relIds"):
                for words in diagram(self._related_part(drawn, "dm")):
                    self._draft.add("item", words)

    def _related_part(self, drawn: Any, attribute: str) -> bytes:
        part = self._part.related_parts.get(drawn.get(f"{RELATION}{attribute}"))
        return bytes(part.blob) if part is not None else b""


def _inside(parent: Any, *tags: str) -> Iterator[Any]:
    for element in parent:
        if element.tag in tags:
            yield element
        elif element.tag in _WRAPPERS:
            yield from _inside(element, *tags)


def _styles(document: Any) -> dict[str, tuple[str, int]]:
    """Return block kind and heading level of each style: by its name or outline level, else by its base."""
    kinds: dict[str, tuple[str, int]] = {}
    for style, based_on, element in styles_by_descent(document):
        kind = _kind_of(element) or kinds.get(based_on, _PLAIN)
        kinds[style] = ("item", 0) if kind == _PLAIN and value_of(element, "pPr/numPr/numId") else kind
    return kinds


def _kind_of(style: Any) -> tuple[str, int] | None:
    name, outline = value_of(style, "name"), value_of(style, "pPr/outlineLvl")[:5]
    if heading := re.fullmatch(r"(?i)heading (\d)", name):
        return "heading", min(max(int(heading[1]), 1), 6)
    if name in ("Title", "Subtitle"):
        return "heading", 1 if name == "Title" else 2
    if outline.isdecimal():
        return ("heading", min(int(outline) + 1, 6)) if int(outline) < _BODY_TEXT else _PLAIN
    return ("item", 0) if name.startswith("List") else None


def _notes(document: Any) -> dict[tuple[str, str | None], str]:
    notes: dict[tuple[str, str | None], str] = {}
    for kind, root in related_roots(document):
        tag = kind.removesuffix("s")
        for note in root.iter(f"{_W}{tag}"):
            notes[f"{_W}{tag}Reference", note.get(f"{_W}id")] = _words(note)
    return notes


def _cells(row: list[Any], above: dict[int, str], *, spread: bool) -> list[str]:
    """Return the text of a row by columns. A cell over several columns is put into the first, or if `spread` into each."""
    # A cell over several rows (`above`) is repeated in each that has text of its own, so that a row can be understood alone
    words: list[str] = []
    own = ""
    for cell in row:
        merged = cell.find(f"{_W}tcPr/{_W}vMerge")
        text = _words(cell).strip()
        own += text
        if merged is None:
            above.pop(len(words), None)
        elif merged.get(f"{_W}val") == "restart":
            above[len(words)] = text
        else:
            text = above.get(len(words), text)
        width = min(whole_number(value_of(cell, "tcPr/gridSpan")), _MOST_COLUMNS)
        words += [text, *[text if spread else ""] * (width - 1)]
    return words if own else []


def _words(element: Any) -> str:
    """Return the visible text: nothing deleted, moved or hidden, no pronunciation guides."""
    seen = (node for node in element if node.tag not in _UNSEEN and not is_on(node, "rPr/vanish"))
    return join_raised((value_of(node, "rPr/vertAlign") == "superscript", _words_of(node)) for node in seen)


def _words_of(node: Any) -> str:
    if node.tag in (f"{_W}t", f"{_M}t"):
        return str(node.text or "")
    if node.tag in (f"{_W}tab", f"{_W}br", f"{_W}cr"):
        return " "
    if node.tag == f"{_W}noBreakHyphen":
        return "-"
    return _words(node) + (" " if node.tag in (f"{_W}p", f"{_W}tc", f"{_W}tr") else "")
