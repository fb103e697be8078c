"""Word documents: headings, paragraphs, list items and tables in document order, each with its foot and end notes after it,
without headers and footers."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from retrieval.contract import Parsed, ParseLimits
from retrieval.packages import check_package, malformed
from retrieval.plain_text import Draft

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"

_UNSEEN = (_FALLBACK, f"{_W}pPr", f"{_W}rPr", f"{_W}moveFrom", f"{_W}del")


class DocxParser:
    suffixes: tuple[str, ...] = (".docx",)
    version = "docx 2"

    def __init__(self, limits: ParseLimits) -> None:
        self._limits = limits

    def parse(self, content: bytes, name: str) -> Parsed:
        from docx import Document
        from docx.opc.exceptions import PackageNotFoundError

        check_package(content, name, "Word document")
        try:
            document = Document(io.BytesIO(content))
        except (PackageNotFoundError, zipfile.BadZipFile, KeyError, ValueError) as error:
            raise malformed(name, "Word document", error) from error
        draft = Draft(name, self._limits)
        names = {style.style_id: style.name or "" for style in document.styles}
        notes = _notes(document)
        for element in _blocks(document.element.body):
            if element.tag == f"{_W}tbl":
                _add_table(draft, element)
            else:
                _add_paragraph(draft, element, names)
            for reference in element.iter(f"{_W}footnoteReference", f"{_W}endnoteReference"):
                draft.add("paragraph", notes.get((reference.tag, reference.get(f"{_W}id")), ""))
        return draft.finish(title=document.core_properties.title)


def build(limits: ParseLimits) -> DocxParser:
    return DocxParser(limits)


def _blocks(parent: Any) -> Iterator[Any]:
    """Paragraphs and tables in order, also inside content controls and accepted changes."""
    for element in parent:
        if element.tag in (f"{_W}p", f"{_W}tbl"):
            yield element
        elif element.tag in (f"{_W}sdt", f"{_W}sdtContent", f"{_W}ins", f"{_W}customXml"):
            yield from _blocks(element)


def _notes(document: Any) -> dict[tuple[str, str | None], str]:
    """What stands in foot and end notes, by the tag that refers to it and its number."""
    from docx.oxml import parse_xml

    found: dict[tuple[str, str | None], str] = {}
    for relation in document.part.rels.values():
        kind = relation.reltype.rpartition("/")[2]
        if kind in ("footnotes", "endnotes") and not relation.is_external:
            one = kind.removesuffix("s")
            for note in parse_xml(relation.target_part.blob).iter(f"{_W}{one}"):
                found[f"{_W}{one}Reference", note.get(f"{_W}id")] = _words(note)
    return found


def _add_paragraph(draft: Draft, element: Any, names: dict[str, str]) -> None:
    style = element.find(f"{_W}pPr/{_W}pStyle")
    name = names.get(style.get(f"{_W}val"), "") if style is not None else ""
    heading = re.fullmatch(r"(?i)heading (\d)", name)
    if heading or name in ("Title", "Subtitle"):
        level = int(heading[1]) if heading else {"Title": 1, "Subtitle": 2}[name]
        draft.add("heading", _words(element), level=min(max(level, 1), 6))
    elif name.startswith("List") or element.find(f"{_W}pPr/{_W}numPr") is not None:
        draft.add("item", _words(element))
    else:
        draft.add("paragraph", _words(element))


def _add_table(draft: Draft, table: Any) -> None:
    rows = list(table.iterchildren(f"{_W}tr"))
    marked = bool(rows) and rows[0].find(f"{_W}trPr/{_W}tblHeader") is not None
    cells = [[_words(cell) for cell in row.iterchildren(f"{_W}tc")] for row in rows]
    draft.table(cells, header=marked or None)


def _words(element: Any) -> str:
    """The visible words: deleted text has another tag, what was moved away or hidden is left out, and a drawing's fallback
    repeats what stands before it."""
    words: list[str] = []
    for node in element:
        if node.tag == f"{_W}t":
            words.append(node.text or "")
        elif node.tag in (f"{_W}tab", f"{_W}br", f"{_W}cr"):
            words.append(" ")
        elif node.tag not in _UNSEEN and not _is_hidden(node):
            words.append(_words(node))
            words.append(" " if node.tag in (f"{_W}p", f"{_W}tc", f"{_W}tr") else "")
    return "".join(words)


def _is_hidden(run: Any) -> bool:
    mark = run.find(f"{_W}rPr/{_W}vanish") if run.tag == f"{_W}r" else None
    return mark is not None and mark.get(f"{_W}val", "true") not in ("0", "false", "off")
