"""Word documents: headings, paragraphs, list items and tables in document order, each with its foot and end notes after it,
without headers and footers."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from retrieval.contract import Parsed, ParseLimits
from retrieval.formats.drawings import DRAWINGS_VERSION, RELATION, chart, diagram
from retrieval.formats.ooxml import OOXML_VERSION, core_title, open_package
from retrieval.formats.text_blocks import TEXT_VERSION, Draft, FormatParser
from retrieval.formats.word_numbering import NUMBERING_VERSION, numbers

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_WRAPPERS = tuple(f"{_W}{name}" for name in ("sdt", "sdtContent", "ins", "moveTo", "customXml", "smartTag"))
"""What stands around paragraphs, rows and cells: content controls, accepted changes, marks."""
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"

_UNSEEN = (_FALLBACK, *(f"{_W}{name}" for name in ("pPr", "rPr", "moveFrom", "del", "rt")))


def build(limits: ParseLimits) -> FormatParser:
    version = f"docx {4 + DRAWINGS_VERSION + OOXML_VERSION + TEXT_VERSION + NUMBERING_VERSION}"
    return FormatParser((".docx",), version, _read, limits)


def _read(draft: Draft, content: bytes) -> Parsed:
    from docx import Document
    from docx.opc.exceptions import PackageNotFoundError

    troubles = (PackageNotFoundError, zipfile.BadZipFile, KeyError, ValueError)
    document = open_package(content, draft.name, "Word document", Document, troubles)
    _settle(document)
    _Walk(draft, document).over(document.element.body)
    return draft.finish(title=core_title(document))


def _settle(document: Any) -> None:
    """Takes out what only old programs show, which repeats what stands before it, and writes out the numbers of headings
    and list items, which stand in tables alone too."""
    for fallback in list(document.element.body.iter(_FALLBACK)):
        fallback.getparent().remove(fallback)
    for paragraph, number in list(numbers(document)):
        if _words(paragraph).strip() or paragraph.getparent().tag == f"{_W}tc":
            run = paragraph.makeelement(f"{_W}r")
            run.append(paragraph.makeelement(f"{_W}t"))
            run[0].text = f"{number} "
            paragraph.insert(int(paragraph.find(f"{_W}pPr") is not None), run)


class _Walk:
    """Paragraphs and tables in order to blocks."""

    def __init__(self, draft: Draft, document: Any) -> None:
        self._draft = draft
        self._part = document.part
        self._styles = _styles(document)
        self._notes = _notes(document)

    def over(self, parent: Any) -> None:
        for element in _inside(parent, f"{_W}p", f"{_W}tbl"):
            if element.tag == f"{_W}p":
                self._add_paragraph(element)
                self._add_drawings(element)
                self._add_notes(element)
                continue
            rows = _rows(element)
            if max(map(len, rows), default=0) > 1:
                self._add_table(element, rows)
                self._add_drawings(element)
                self._add_notes(element)
            else:  # it only frames what stands in it
                for cell in (cell for row in rows for cell in row):
                    self.over(cell)

    def _add_paragraph(self, element: Any) -> None:
        style = element.find(f"{_W}pPr/{_W}pStyle")
        kind, level = self._styles.get(style.get(f"{_W}val"), _PLAIN) if style is not None else _PLAIN
        numbered = element.find(f"{_W}pPr/{_W}numPr/{_W}numId")
        if level:
            self._draft.add("heading", _words(element), level=level)
        elif numbered is not None:
            self._draft.add("paragraph" if numbered.get(f"{_W}val") == "0" else "item", _words(element))
        else:
            self._draft.add(kind, _words(element))

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
            self._draft.table(cells, header=False if any(_is_merged(cell) for cell in rows[0]) else None)

    def _add_notes(self, element: Any) -> None:
        for reference in element.iter(f"{_W}footnoteReference", f"{_W}endnoteReference"):
            self._draft.add("paragraph", self._notes.get((reference.tag, reference.get(f"{_W}id")), ""))

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


_PLAIN = ("paragraph", 0)


def _styles(document: Any) -> dict[str, tuple[str, int]]:
    """What the paragraphs of each style are: their kind, and their level if they are headings. A style is what its name or
    its outline level says, or else what the one is that it is based on, or else an item if it is numbered."""
    styles = {style.get(f"{_W}styleId"): style for style in document.styles.element.iterfind(f"{_W}style")}
    kinds: dict[str, tuple[str, int]] = {}
    for name in styles:
        chain: list[str] = []
        kind_of_style, nearest = None, name
        while kind_of_style is None and nearest in styles and nearest not in kinds:
            kinds[nearest] = _PLAIN  # for now, so that styles based on each other end here
            chain.append(nearest)
            kind_of_style = _kind_of(styles[nearest])
            based = styles[nearest].find(f"{_W}basedOn")
            nearest = based.get(f"{_W}val") if based is not None else None
        kind = kind_of_style or kinds.get(nearest, _PLAIN)
        for style in reversed(chain):
            if kind == _PLAIN and styles[style].find(f"{_W}pPr/{_W}numPr/{_W}numId") is not None:
                kind = ("item", 0)
            kinds[style] = kind
    return kinds


def _kind_of(style: Any) -> tuple[str, int] | None:
    named = style.find(f"{_W}name")
    name = str(named.get(f"{_W}val", "")) if named is not None else ""
    if heading := re.fullmatch(r"(?i)heading (\d)", name):
        return "heading", min(max(int(heading[1]), 1), 6)
    if name in ("Title", "Subtitle"):
        return "heading", 1 if name == "Title" else 2
    outline = style.find(f"{_W}pPr/{_W}outlineLvl")
    level_text = str(outline.get(f"{_W}val"))[:5] if outline is not None else ""
    if level_text.isdecimal():
        level = int(level_text) + 1
        return ("heading", min(level, 6)) if level < _BODY_TEXT else _PLAIN
    return ("item", 0) if name.startswith("List") else None


_BODY_TEXT = 10
"""The outline level of what is no heading, counted from 1."""


def _notes(document: Any) -> dict[tuple[str, str | None], str]:
    """What stands in foot and end notes, by the tag that refers to it and its number."""
    from docx.oxml import parse_xml

    notes: dict[tuple[str, str | None], str] = {}
    for relation in document.part.rels.values():
        kind = relation.reltype.rpartition("/")[2]
        if kind in ("footnotes", "endnotes") and not relation.is_external:
            tag = kind.removesuffix("s")
            for note in parse_xml(relation.target_part.blob).iter(f"{_W}{tag}"):
                notes[f"{_W}{tag}Reference", note.get(f"{_W}id")] = _words(note)
    return notes


def _rows(table: Any) -> list[list[Any]]:
    return [list(_inside(row, f"{_W}tc")) for row in _inside(table, f"{_W}tr")]


def _is_merged(cell: Any) -> bool:
    return any(cell.find(f"{_W}tcPr/{_W}{mark}") is not None for mark in ("vMerge", "gridSpan"))


def _cells(row: list[Any], above: dict[int, str], *, spread: bool) -> list[str]:
    """The words of a row by columns. A cell that reaches down over several rows stands in each of these that has words of
    its own, so that a row means the same alone; `above` remembers it. One over several columns stands in the first of them,
    or, if they are to be `spread`, in each."""
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
        span = cell.find(f"{_W}tcPr/{_W}gridSpan")
        width = span.get(f"{_W}val", "")[:5] if span is not None else ""
        more = min(int(width), _MOST_COLUMNS) - 1 if width.isdecimal() else 0
        words += [text, *[text if spread else ""] * more]
    return words if own else []


_MOST_COLUMNS = 63
"""Word's own limit."""


def _words(element: Any) -> str:
    """The visible words: deleted text has another tag, what was moved away or hidden is left out, as is how a character is
    pronounced, and a drawing's fallback repeats what stands before it."""
    words: list[str] = []
    for node in element:
        if node.tag in (f"{_W}t", f"{_M}t"):
            words.append(node.text or "")
        elif node.tag in (f"{_W}tab", f"{_W}br", f"{_W}cr"):
            words.append(" ")
        elif node.tag == f"{_W}noBreakHyphen":
            words.append("-")
        elif node.tag not in _UNSEEN and not _is_hidden(node):
            words.append(_words(node))
            words.append(" " if node.tag in (f"{_W}p", f"{_W}tc", f"{_W}tr") else "")
    return "".join(words)


def _is_hidden(run: Any) -> bool:
    mark = run.find(f"{_W}rPr/{_W}vanish") if run.tag == f"{_W}r" else None
    return mark is not None and mark.get(f"{_W}val", "true") not in ("0", "false", "off")
