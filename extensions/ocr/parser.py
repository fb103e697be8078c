"""The parser of pictures, and of PDFs: pages with text are read as ever, pages without it by recognising their words."""

import io
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from PIL.Image import Image

from extensions.ocr.pictures import demand_size, open_frames, ready
from extensions.ocr.rapid import Rapid
from extensions.ocr.words import Engine, Word, add_page, find_boxes
from foundation.errors import DocumentRefused
from retrieval.documents import Parsed, ParseLimits
from retrieval.formats.text_blocks import TEXT_VERSION, Draft, FormatParser
from retrieval.ingest.parsing import parser_for

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".pdf")
# Most pages of a document that are recognised, and what the process that reads may take for it: four to ten seconds a page
PAGES, SECONDS, MEMORY_MB = 30, 400, 3_000
# Least sides of a picture on a page of text that is read, too, in pixels
WIDE, HIGH = 400, 150


def build(limits: ParseLimits) -> FormatParser:
    return build_with(Rapid(), limits)


def build_with(engine: Engine, limits: ParseLimits) -> FormatParser:
    """Return the parser of pictures and PDFs by this engine."""
    core = ParseLimits(limits.pages, limits.characters, limits.blocks)  # without extensions: its own PDFs
    version = f"{engine.name} {1 + TEXT_VERSION}, {parser_for('a.pdf', core).version}"
    read = partial(_parse, engine=engine, core=core)
    return FormatParser(SUFFIXES, version, read, limits, seconds=SECONDS, memory_mb=MEMORY_MB)


def _parse(draft: Draft, content: bytes, *, engine: Engine, core: ParseLimits) -> Parsed:
    is_pdf = draft.name.lower().endswith(".pdf")
    parsed = _parse_text(content, draft.name, core) if is_pdf else None
    frames = _pictures(content, draft.name, parsed) if is_pdf else enumerate(open_frames(content, draft.name), 1)
    pages: list[tuple[int, list[Word]]] = []
    after = 0
    for place, (page, picture) in enumerate(frames, 1):
        if place > PAGES:
            raise DocumentRefused(
                f'"{draft.name}" has more than {PAGES} pages or pictures whose words would have to be recognised, which takes '
                f"seconds for each. Split it into files of {PAGES} pages: each is stored as soon as it is read.",
                reason="too_many_pages",
            )
        after = _include_text(draft, parsed, after, page)
        pages.append((page, add_page(draft, engine.read(picture), engine.bound, page)))
    _include_text(draft, parsed, after, draft.limits.pages)
    title, count = (parsed.title, parsed.pages) if parsed else (None, None)
    whole = draft.finish(title=title, pages=count or len(pages) or None)
    return replace(whole, boxes=find_boxes(whole, pages))


def _parse_text(content: bytes, name: str, core: ParseLimits) -> Parsed:
    try:
        return parser_for(name, core).parse(content, name)
    except DocumentRefused as error:
        if error.reason != "empty":
            raise
        return Parsed("", ())


def _include_text(draft: Draft, parsed: Parsed | None, after: int, until: int) -> int:
    """Append the text of the pages behind `after`, with the one `until`; return that."""
    if parsed is None:
        return until
    places = [place for place, block in enumerate(parsed.blocks) if after < (block.page or 1) <= until]
    if places:
        first, last = places[0], places[-1] + 1
        tables = [replace(it, first=it.first - first) for it in parsed.tables if first <= it.first < last]
        draft.include(replace(parsed, blocks=parsed.blocks[first:last], tables=tuple(tables)), below=0)
    return until


def _pictures(content: bytes, name: str, parsed: Parsed | None) -> Iterator[tuple[int, Image]]:
    """Yield the pictures of a PDF with their pages: the largest of a page without text, the larger ones of others."""
    from pypdf import PdfReader

    with_text = {block.page for block in parsed.blocks} if parsed else set()
    for number, page in enumerate(PdfReader(io.BytesIO(content)).pages, 1):
        sizes = _sizes(page)
        large = [key for key, size in sizes.items() if size[0] >= WIDE and size[1] >= HIGH]
        chosen = large if number in with_text else sorted(large, key=lambda key: sizes[key][0] * sizes[key][1])[-1:]
        for key in chosen:
            demand_size(sizes[key], name)
            if picture := _decode(page, key, name):
                yield number, picture


def _sizes(page: Any) -> dict[Any, tuple[int, int]]:
    from pypdf.generic import DictionaryObject

    sizes: dict[Any, tuple[int, int]] = {}
    resources: Any = page.get("/Resources") or DictionaryObject()
    pictures: Any = resources.get_object().get("/XObject") or DictionaryObject()
    for key, reference in pictures.get_object().items():
        stream = reference.get_object()
        if stream.get("/Subtype") == "/Image":
            sizes[key] = (int(stream.get("/Width", 0)), int(stream.get("/Height", 0)))
    return sizes


def _decode(page: Any, key: Any, name: str) -> Image | None:
    try:
        image: Image | None = page.images[key].image
    except Exception as error:  # whatever pypdf and its decoders raise
        what = f"{type(error).__name__}: {error}"[:200]
        raise DocumentRefused(
            f'"{name}" has a scanned page that cannot be unpacked ({what}). Save it anew, or send its pages as pictures.',
            reason="malformed",
        ) from error
    turned = int(page.get("/Rotate", 0) or 0) % 360
    return ready(image.rotate(-turned, expand=True) if turned else image) if image is not None else None
