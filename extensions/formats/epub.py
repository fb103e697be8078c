"""Books in EPUB: their chapters in reading order, each read by the parser of web pages."""

import io
import posixpath
import zipfile
from urllib.parse import unquote

from extensions.office.drawings import parse_xml
from extensions.office.ooxml import check_package, malformed_document
from foundation.errors import DocumentRefused
from retrieval.documents import Parsed, ParseLimits
from retrieval.formats.text_blocks import TEXT_VERSION, Draft, FormatParser
from retrieval.ingest.parsing import parse_here

_CONTAINER = "META-INF/container.xml"
_PAGES = ("application/xhtml+xml", "text/html")
# Fonts are scrambled in books that anybody may read
_SCRAMBLED = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")


def build(limits: ParseLimits) -> FormatParser:
    return FormatParser((".epub",), f"epub {1 + TEXT_VERSION}", _parse, limits)


def _parse(draft: Draft, content: bytes) -> Parsed:
    check_package(content, draft.name, "EPUB")
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        _demand_plain(book, draft.name)
        try:
            title, chapters = _contents(book)
        except KeyError as error:
            raise malformed_document(draft.name, "EPUB", error.args[0]) from error
        draft.count_pages(len(chapters), "chapters")
        for chapter in chapters:
            _add_chapter(draft, book, chapter)
    return draft.finish(title=title)


def _demand_plain(book: zipfile.ZipFile, name: str) -> None:
    if "META-INF/encryption.xml" in book.namelist():
        listed = parse_xml(book.read("META-INF/encryption.xml")).iterfind(".//{*}EncryptedData/{*}EncryptionMethod")
        if any(method.get("Algorithm") not in _SCRAMBLED for method in listed):
            raise DocumentRefused(
                f'"{name}" is protected against copying, so its text cannot be read. Send an unprotected copy.',
                reason="encrypted",
            )


def _contents(book: zipfile.ZipFile) -> tuple[str | None, list[str]]:
    """Return the title, and the names of the chapters in reading order. Raises KeyError: a file that must be there is not."""
    found = parse_xml(book.read(_CONTAINER)).find(".//{*}rootfile")
    package = found.get("full-path", "") if found is not None else ""
    root, folder = parse_xml(book.read(package)), posixpath.dirname(package)
    pages = {
        item.get("id"): posixpath.normpath(posixpath.join(folder, unquote(item.get("href", ""))))
        for item in root.iterfind("{*}manifest/{*}item")
        if item.get("media-type") in _PAGES and "nav" not in item.get("properties", "").split()
    }
    order = (item.get("idref") for item in root.iterfind("{*}spine/{*}itemref"))
    return root.findtext("{*}metadata/{*}title"), list(dict.fromkeys(pages[item] for item in order if item in pages))


def _add_chapter(draft: Draft, book: zipfile.ZipFile, name: str) -> None:
    try:
        parsed = parse_here(book.read(name), f"{draft.name}.xhtml", draft.limits)
    except KeyError:
        return  # named in the contents and not there: readers leave it out
    except DocumentRefused as error:
        if error.reason != "empty":  # a cover is a picture
            raise
        return
    draft.include(parsed, below=0)
