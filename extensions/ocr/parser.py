"""The parser of pictures, which also completes PDFs: the words of a page without text are recognised in its picture."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from pathlib import Path

from extensions.ocr.pictures import frames_of, pages_of
from extensions.ocr.words import add_page, find_boxes, scaled
from foundation.components import Context, load
from foundation.errors import DocumentRefused
from foundation.settings import Part
from retrieval.contract import Recogniser
from retrieval.documents import Parsed, ParseLimits, Word
from retrieval.formats.text_blocks import TEXT_VERSION, Draft
from retrieval.ingest.parsing import NeedsRoom

VERSION = 1 + TEXT_VERSION
# Most pages of a document whose words are recognised, and what its process may take for it: four to ten seconds a page
PAGES, SECONDS, MEMORY_MB = 30, 400, 3_000


@dataclass(frozen=True)
class Pictures:
    """`Completer` of PDFs."""

    limits: ParseLimits
    suffixes: tuple[str, ...] = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif")
    completes: tuple[str, ...] = (".pdf",)

    @cached_property
    def _recogniser(self) -> Recogniser:
        chosen = Part.model_validate(json.loads(self.limits.recogniser or '{"use": "rapidocr"}'))
        built: Recogniser = load("retrieval.recogniser", chosen, Context(Path()), expected=Recogniser)
        return built

    @cached_property
    def version(self) -> str:
        return f"pictures {VERSION} by {self._recogniser.version}"

    def parse(self, content: bytes, name: str) -> Parsed:
        self._demand_room()
        pictures, count = frames_of(content, name)
        _demand_few(count, name)
        return self._read(pictures, Parsed("", (), pages=count), name)

    def complete(self, parsed: Parsed, content: bytes, name: str) -> Parsed:
        with_text = {block.page for block in parsed.blocks}
        if parsed.pages and with_text.issuperset(range(1, parsed.pages + 1)):
            return parsed
        self._demand_room()
        pictures, unread, count = pages_of(content, name, with_text)
        _demand_few(unread, name)
        return self._read(pictures, replace(parsed, pages=count), name) if unread else _demand_text(parsed, name)

    def _demand_room(self) -> None:
        if 0 < self.limits.memory_mb < MEMORY_MB:
            raise NeedsRoom(MEMORY_MB, SECONDS)

    def _read(self, pictures: Iterable[tuple[int, bytes, tuple[int, int]]], parsed: Parsed, name: str) -> Parsed:
        """Return the document with the words of these pages, each page at its place."""
        draft = Draft(name, self.limits)
        pages: list[tuple[int, list[Word]]] = []
        after = 0
        for page, picture, size in pictures:
            after = _include_text(draft, parsed, after, page)
            lines = scaled(self._recogniser.read(picture), size)
            pages.append((page, add_page(draft, lines, self._recogniser.unsure_below, page)))
        _include_text(draft, parsed, after, inf)
        whole = draft.finish(title=parsed.title, pages=parsed.pages)
        return replace(whole, parsers=parsed.parsers, boxes=find_boxes(whole, pages))


def build(limits: ParseLimits) -> Pictures:
    return Pictures(limits)


def _demand_few(pages: int, name: str) -> None:
    if pages > PAGES:
        raise DocumentRefused(
            f'"{name}" has {pages} pages whose words would have to be recognised, more than {PAGES}: each takes seconds. '
            f"Split it into files of {PAGES} pages; each is stored as soon as it is read, and another run goes on where one stopped.",
            reason="too_many_pages",
        )


def _demand_text(parsed: Parsed, name: str) -> Parsed:
    if not parsed.blocks:
        raise DocumentRefused(f'"{name}" contains no text, and its pages show no pictures.', reason="empty")
    return parsed


def _include_text(draft: Draft, parsed: Parsed, after: int, until: float) -> int:
    """Append the text of the pages behind `after` up to `until`; return that."""
    places = [place for place, block in enumerate(parsed.blocks) if after < (block.page or inf) <= until]
    if places:
        first, last = places[0], places[-1] + 1
        tables = [replace(it, first=it.first - first) for it in parsed.tables if first <= it.first < last]
        draft.include(replace(parsed, blocks=parsed.blocks[first:last], tables=tuple(tables)), below=0)
    return int(until) if until < inf else after
