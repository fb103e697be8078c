"""Web pages: the main content with its headings, lists and tables; navigation, banners and footers are left out."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

from foundation.errors import DocumentRefused
from retrieval.contract import Parsed, ParseLimits
from retrieval.plain_text import Draft, clean, decode

_DECLARED = re.compile(rb"<(?:meta[^>]*?charset|\?xml[^>]*?encoding)\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_XML_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")  # lxml refuses one in text that is decoded already
_NOT_CONTENT = ("script", "style", "noscript", "template", "nav", "header", "footer", "aside", "form", "dialog")


class HtmlParser:
    """The main content is found by trafilatura; the whole body stands in where it finds nothing."""

    suffixes: tuple[str, ...] = (".html", ".htm", ".xhtml")
    version = "html 1"

    def __init__(self, limits: ParseLimits) -> None:
        self._limits = limits

    def parse(self, content: bytes, name: str) -> Parsed:
        source = _XML_DECLARATION.sub("", clean(_decode(content, name)))
        draft = Draft(name, self._limits)
        if not source.strip():
            return draft.finish()
        body = _main_content(source)
        if body is None:
            _add_body(draft, source, name)
        else:
            _add_all(draft, body)
        return draft.finish(title=None if _has_title(body) else _title(source))


def build(limits: ParseLimits) -> HtmlParser:
    return HtmlParser(limits)


def _decode(content: bytes, name: str) -> str:
    declared = _DECLARED.search(content[:4096])
    if declared and not content.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        try:
            return content.decode(declared[1].decode("ascii"))
        except (LookupError, UnicodeDecodeError):
            pass  # pages often declare what they are not; then the bytes decide
    return decode(content, name)


def _main_content(source: str) -> Any:
    """trafilatura's tree of head, p, list, item, table, row, cell, code and quote, or `None`.

    Its fallbacks for short pages flatten the structure, so short pages must count as long enough.
    """
    import trafilatura
    from trafilatura.settings import DEFAULT_CONFIG

    config = deepcopy(DEFAULT_CONFIG)
    config["DEFAULT"]["min_extracted_size"] = "1"
    found: Any = trafilatura.bare_extraction(
        source, fast=True, include_comments=False, include_tables=True, include_formatting=True, config=config
    )
    return found.body if found is not None and len(found.body) else None


def _add_all(draft: Draft, parent: Any) -> None:
    for element in parent:
        _add(draft, element)
        if element.tail and element.tail.strip():
            draft.add("paragraph", element.tail)


def _add(draft: Draft, element: Any) -> None:
    match element.tag:
        case "head":
            level = (element.get("rend") or "h2")[-1]
            draft.add("heading", _words(element), level=int(level) if level.isdigit() else 2)
        case "list":
            _add_list(draft, element)
        case "table":
            _add_table(draft, element)
        case "code":
            draft.add("code", "".join(element.itertext()))
        case "quote" | "div" if len(element) and not (element.text or "").strip():
            _add_all(draft, element)
        case _:
            draft.add("paragraph", _words(element))


def _add_list(draft: Draft, element: Any) -> None:
    ordered = element.get("rend") == "ol"
    for number, item in enumerate(element.iterchildren("item"), start=1):
        nested = list(item.iterchildren("list"))
        for inner in nested:
            item.remove(inner)
        words = _words(item)
        draft.add("item", f"{number}. {words}" if ordered and words else words)
        for inner in nested:
            _add_list(draft, inner)


def _add_table(draft: Draft, element: Any) -> None:
    rows = list(element.iter("row"))
    header = bool(rows) and all(cell.get("role") == "head" for cell in rows[0].iterchildren("cell"))
    draft.table([[_words(cell) for cell in row.iterchildren("cell")] for row in rows], header=header or None)


def _words(element: Any) -> str:
    for line_break in element.iter("lb"):
        line_break.tail = f" {line_break.tail or ''}"
    return "".join(element.itertext())


def _has_title(body: Any) -> bool:
    return body is not None and any(head.get("rend") == "h1" for head in body.iter("head"))


def _document(source: str) -> Any:
    from lxml import html

    return html.document_fromstring(source, parser=html.HTMLParser(remove_comments=True, remove_pis=True))


def _title(source: str) -> str | None:
    found: str | None = _document(source).findtext(".//title")
    return found


def _add_body(draft: Draft, source: str, name: str) -> None:
    from lxml import etree

    try:
        document = _document(source)
    except etree.ParserError as error:
        raise DocumentRefused(f'"{name}" is not HTML: {error}.', reason="malformed") from error
    for element in list(document.iter(*_NOT_CONTENT)):
        element.drop_tree()
    for line in document.xpath("string(//body)").split("\n"):
        draft.add("paragraph", line)
