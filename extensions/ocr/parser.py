"""The parser of pictures, which also completes other documents: words are recognised in pages without text and in pictures inside."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from pathlib import Path

from extensions.ocr.embedded import WHOLE, Found, pictures_in
from extensions.ocr.pictures import Page, Placed, frames_of, pages_of, pictures_on
from extensions.ocr.words import add_page, find_boxes, place_words
from foundation.components import Context, load
from foundation.errors import DocumentRefused
from foundation.settings import Part
from retrieval.contract import Recogniser
from retrieval.documents import Parsed, ParseLimits, Word
from retrieval.formats.text_blocks import TEXT_VERSION, Draft
from retrieval.ingest.parsing import NeedsRoom

VERSION = 3 + TEXT_VERSION
# Most pages of a document whose words are recognised, and what its process may take for it: four to ten seconds a page
PAGES, SECONDS, MEMORY_MB = 30, 400, 3_000


@dataclass(frozen=True)
class Pictures:
    """`Completer` of PDFs, Word documents and presentations."""

    limits: ParseLimits
    suffixes: tuple[str, ...] = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif")
    completes: tuple[str, ...] = (".pdf", ".docx", ".pptx")

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
        return self._read(_whole(pictures, Parsed("", ())), Parsed("", (), pages=count), name)

    def complete(self, parsed: Parsed, content: bytes, name: str) -> Parsed:
        if not name.lower().endswith(".pdf"):
            return self._complete_office(parsed, content, name)
        with_text = {block.page for block in parsed.blocks}
        beside = pictures_on(content, name, with_text) if parsed.pages else []
        if parsed.pages and with_text.issuperset(range(1, parsed.pages + 1)) and not beside:
            return parsed
        self._demand_room()
        pictures, unread, count = pages_of(content, name, with_text)
        _demand_few(unread, name)
        if not unread and not beside:
            return _demand_text(parsed, name)
        found = [*_beside(beside, parsed), *_whole(pictures, parsed)]
        return self._read(sorted(found, key=lambda it: it.after), replace(parsed, pages=count), name)

    def _complete_office(self, parsed: Parsed, content: bytes, name: str) -> Parsed:
        pictures, pages = pictures_in(content, name, parsed)
        if not pictures:
            return _demand_text(parsed, name)
        self._demand_room()
        return self._read(pictures[:PAGES], replace(parsed, pages=pages), name)

    def _demand_room(self) -> None:
        if 0 < self.limits.memory_mb < MEMORY_MB:
            raise NeedsRoom(MEMORY_MB, SECONDS)

    def _read(self, pictures: Iterable[Found], parsed: Parsed, name: str) -> Parsed:
        """Return the document with the words of these pictures, each at its place."""
        draft = Draft(name, self.limits)
        added: list[tuple[int, Parsed, list[Word], int | None]] = []
        before = after = 0
        for after, page, frame, picture, size in pictures:
            _include_text(draft, parsed, before, after)
            lines = place_words(self._recogniser.read(picture), size, frame)
            own = Draft(name, self.limits)
            words = add_page(own, lines, self._recogniser.unsure_below, page)
            if words:
                count = sum(len(each.blocks) for _, each, _, _ in added)
                added.append((after + count, own.finish(), words, page))
                draft.include(added[-1][1], below=0)
            before = after
        _include_text(draft, parsed, before, len(parsed.blocks))
        whole = draft.finish(title=parsed.title, pages=parsed.pages)
        boxes = [
            box
            for first, own, words, page in added
            if page is not None
            for box in find_boxes(own.text, words, page, whole.blocks[first].start)
        ]
        return replace(whole, parsers=parsed.parsers, boxes=tuple(boxes))


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


def _whole(pages: Iterable[Page], parsed: Parsed) -> Iterator[Found]:
    """Yield pages that are pictures as a whole, each behind the text of those before it."""
    numbers = [block.page or inf for block in parsed.blocks]
    for page, picture, size in pages:
        yield Found(sum(number < page for number in numbers), page, WHOLE, picture, size)


def _beside(pictures: Iterable[Placed], parsed: Parsed) -> Iterator[Found]:
    """Yield pictures on pages with text, each behind the text of its page."""
    numbers = [block.page or inf for block in parsed.blocks]
    for page, frame, picture, size in pictures:
        yield Found(sum(number <= page for number in numbers), page, frame, picture, size)


def _include_text(draft: Draft, parsed: Parsed, first: int, last: int) -> None:
    """Append the blocks from `first` up to `last`."""
    tables = [replace(it, first=it.first - first) for it in parsed.tables if first <= it.first < last]
    draft.include(replace(parsed, blocks=parsed.blocks[first:last], tables=tuple(tables)), below=0)
