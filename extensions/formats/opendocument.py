"""OpenDocument texts, sheets and presentations: headings, paragraphs, items and tables in document order, as they are shown."""

import io
import zipfile
from collections.abc import Iterable, Iterator
from itertools import chain, islice, zip_longest
from typing import Any

from extensions.office.drawings import parse_xml, whole_number
from extensions.office.ooxml import check_package, malformed_document
from foundation.errors import DocumentRefused
from retrieval.documents import Parsed, ParseLimits
from retrieval.formats.tables import TABLES_VERSION, add_sheet, add_table
from retrieval.formats.text_blocks import TEXT_VERSION, Draft, FormatParser

_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
_PRESENTATION = "{urn:oasis:names:tc:opendocument:xmlns:presentation:1.0}"
# Comments, deleted text, numbers of notes, and what only a program reads
_UNSEEN = (
    f"{_OFFICE}annotation", f"{_TEXT}tracked-changes", f"{_TEXT}note-citation", f"{_OFFICE}forms", f"{_OFFICE}event-listeners",
    f"{_TABLE}tracked-changes", f"{_TABLE}shapes", f"{_TEXT}sequence-decls", f"{_DRAW}object",
)  # fmt: skip
_BLANKS = {f"{_TEXT}tab": " ", f"{_TEXT}line-break": " ", f"{_TEXT}s": " "}
_CELLS = (f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell")
# A cell or row may say that it stands there many times, as the empty ones up to a sheet's end do
_MOST_COLUMNS, _MOST_REPEATS = 1024, 1000


def build(limits: ParseLimits) -> FormatParser:
    return FormatParser((".odt", ".ods", ".odp"), f"opendocument {1 + TEXT_VERSION + TABLES_VERSION}", _parse, limits)


def _parse(draft: Draft, content: bytes) -> Parsed:
    check_package(content, draft.name, "OpenDocument file")
    with zipfile.ZipFile(io.BytesIO(content)) as package:
        if b"encryption-data" in _member(package, "META-INF/manifest.xml"):
            raise DocumentRefused(f'"{draft.name}" is encrypted. Send it without a password.', reason="encrypted")
        root = parse_xml(_member(package, "content.xml"))
        title = parse_xml(_member(package, "meta.xml")).findtext(".//{http://purl.org/dc/elements/1.1/}title")
    body = root.find(f"{_OFFICE}body")
    if body is None or not len(body):
        raise malformed_document(draft.name, "OpenDocument file", "it has no content. Save it anew")
    walk = _Walk(draft)
    if body[0].tag == f"{_OFFICE}text":
        walk.over(body[0])
        return draft.finish(title=title)
    pages = list(_shown_pages(root, body[0]))
    draft.count_pages(len(pages), "sheets or slides")
    for number, page in enumerate(pages, start=1):
        walk.page = number
        walk.over_slide(page) if page.tag == f"{_DRAW}page" else walk.over_sheet(page)
    return draft.finish(title=title, pages=len(pages))


def _shown_pages(root: Any, content: Any) -> Iterator[Any]:
    """Yield the slides and sheets that are not hidden."""
    hidden = {
        style.get(f"{_STYLE}name")
        for style in root.iter(f"{_STYLE}style")
        for properties in style
        if properties.get(f"{_TABLE}display") == "false" or properties.get(f"{_PRESENTATION}visibility") == "hidden"
    }
    for page in content:
        style = page.get(f"{_TABLE}style-name") or page.get(f"{_DRAW}style-name")
        if page.tag in (f"{_DRAW}page", f"{_TABLE}table") and style not in hidden:
            yield page


def _member(package: zipfile.ZipFile, name: str) -> bytes:
    return package.read(name) if name in package.namelist() else b""


class _Walk:
    page: int | None = None

    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def over(self, parent: Any, kind: str = "paragraph") -> None:
        """Add what stands below an element, its paragraphs as blocks of this kind."""
        for element in parent:
            if element.tag == f"{_TEXT}h":
                level = min(max(whole_number(element.get(f"{_TEXT}outline-level")), 1), 6)
                self._add("heading", element, level=level)
            elif element.tag == f"{_TEXT}p":
                self._add(kind, element)
            elif element.tag == f"{_TABLE}table":
                rows = islice(_rows(element), self._draft.limits.blocks + 2)  # the draft refuses more
                add_table(self._draft, [*rows], header=_has_head(element) or None, page=self.page)
            elif element.tag not in _UNSEEN:
                self.over(element, "item" if element.tag == f"{_TEXT}list" else kind)

    def over_slide(self, slide: Any) -> None:
        for frame in slide:
            if frame.get(f"{_PRESENTATION}class") in ("title", "subtitle"):
                level = 1 if frame.get(f"{_PRESENTATION}class") == "title" and self.page == 1 else 2
                self._draft.add("heading", words(frame), level=level, page=self.page)
            elif frame.tag == f"{_PRESENTATION}notes":
                self.over([box for box in frame if box.get(f"{_PRESENTATION}class") == "notes"])
            else:
                self.over([frame])

    def over_sheet(self, sheet: Any) -> None:
        rows = _rows(sheet)
        first = next(filter(None, rows), None)
        if first is not None:
            self._draft.add("heading", sheet.get(f"{_TABLE}name", ""), level=2, page=self.page)
            add_sheet(self._draft, chain([first], rows), page=self.page)

    def _add(self, kind: str, element: Any, *, level: int = 0) -> None:
        self._draft.add(kind, "".join(_pieces(element, inner=False)), level=level, page=self.page)
        for inner in element.iter():
            if inner.tag in (f"{_TEXT}note-body", f"{_DRAW}text-box"):
                self.over(inner)


def words(element: Any) -> str:
    """Return the text that an element shows."""
    return "".join(_pieces(element, inner=True)).strip()


def _pieces(element: Any, *, inner: bool) -> Iterator[str]:
    """Yield text; that of notes and boxes within it only if `inner`."""
    yield element.text or ""
    for node in element:
        if node.tag not in _UNSEEN and (
            inner or node.tag not in (f"{_TEXT}note", f"{_DRAW}frame", f"{_DRAW}custom-shape")
        ):
            yield _BLANKS.get(node.tag, "")
            yield from _pieces(node, inner=inner)
            yield " " if node.tag in (f"{_TEXT}p", f"{_TEXT}h") else ""
        yield node.tail or ""


def _rows(table: Any) -> Iterator[list[str]]:
    """Yield the texts of the cells of each row that is not hidden, without empty ones at its end."""
    hidden = [
        column.get(f"{_TABLE}visibility") == "collapse" for column in _spread(table.iter(f"{_TABLE}table-column"))
    ]
    for row in table.iter(f"{_TABLE}table-row"):
        if row.get(f"{_TABLE}visibility") != "collapse":
            cells = _spread(cell for cell in row if cell.tag in _CELLS)
            texts = [
                words(cell)
                for cell, unseen in zip_longest(cells, hidden[:_MOST_COLUMNS])
                if cell is not None and not unseen
            ]
            while texts and not texts[-1]:
                texts.pop()
            repeats = whole_number(row.get(f"{_TABLE}number-rows-repeated")) or 1
            yield from [texts] * (min(repeats, _MOST_REPEATS) if texts else 1)


def _spread(elements: Iterable[Any]) -> list[Any]:
    """Return each cell or column as often as it says that it stands there."""
    spread: list[Any] = []
    for element in elements:
        repeats = whole_number(element.get(f"{_TABLE}number-columns-repeated")) or 1
        spread += [element] * min(repeats, _MOST_COLUMNS - len(spread))
    return spread


def _has_head(table: Any) -> bool:
    return table.find(f"{_TABLE}table-header-rows") is not None
