"""Pictures inside Word documents and presentations, each with its place in the text."""

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, NamedTuple

from extensions.ocr.pictures import LONG, SHORT, Frame, ready_picture
from extensions.office.ooxml import open_package
from foundation.errors import DocumentRefused
from retrieval.documents import Parsed

_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}embed"
_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_BLIP = "{http://schemas.openxmlformats.org/drawingml/2006/main}blip"
WHOLE: Frame = (0, 0, 1000, 1000)


class Found(NamedTuple):
    """A picture with the number of blocks that stand before it, and its place on its page in thousandths: left, top, width, height."""

    after: int
    page: int | None
    frame: Frame
    picture: bytes
    size: tuple[int, int]


def pictures_in(content: bytes, name: str, parsed: Parsed) -> tuple[list[Found], int | None]:
    """Return the pictures that can be opened, each once, and the number of slides."""
    word = PurePath(name).suffix.lower() == ".docx"
    blobs, pages = _in_word(content, name, parsed) if word else _in_slides(content, name, parsed)
    found: dict[bytes, Found] = {}
    for after, page, frame, blob in blobs:
        try:
            picture, size = ready_picture(blob, name)
        except DocumentRefused:
            continue  # the text is read, whatever somebody put beside it
        if max(size) >= LONG and min(size) >= SHORT:
            found.setdefault(picture, Found(after, page, frame, picture, size))
    return sorted(found.values(), key=lambda it: it.after), pages


Blob = tuple[int, int | None, Frame, bytes]


def _in_word(content: bytes, name: str, parsed: Parsed) -> tuple[Iterator[Blob], None]:
    from docx import Document

    document = open_package(content, name, "Word document", Document, (KeyError, ValueError))
    texts = [parsed.text[block.start : block.end] for block in parsed.blocks]

    def walk() -> Iterator[Blob]:
        after = 0
        for paragraph in document.element.body.iter(f"{_WORD}p"):
            words = " ".join("".join(node.text or "" for node in paragraph.iter(f"{_WORD}t")).split())
            after = next((at + 1 for at in range(after, len(texts)) if words and words in texts[at]), after)
            for blip in paragraph.iter(_BLIP):
                part = document.part.related_parts.get(blip.get(_RELATION))
                if part is not None:
                    yield after, None, WHOLE, part.blob

    return walk(), None


def _in_slides(content: bytes, name: str, parsed: Parsed) -> tuple[Iterator[Blob], int]:
    from pptx import Presentation

    presentation = open_package(content, name, "PowerPoint presentation", Presentation, (KeyError, ValueError))
    slides = list(presentation.slides)
    pages = [block.page or 0 for block in parsed.blocks]

    def walk() -> Iterator[Blob]:
        for number, slide in enumerate(slides, start=1):
            if slide.element.get("show") != "0":
                after = sum(page <= number for page in pages)
                for frame, blob in _in_shapes(
                    slide.shapes, (presentation.slide_width, presentation.slide_height), None
                ):
                    yield after, number, frame, blob

    return walk(), len(slides)


def _in_shapes(shapes: Any, size: tuple[int, int], group: Frame | None) -> Iterator[tuple[Frame, bytes]]:
    for shape in shapes:
        left, top, width, height = (side or 0 for side in (shape.left, shape.top, shape.width, shape.height))
        own = (left / size[0] * 1000, top / size[1] * 1000, width / size[0] * 1000, height / size[1] * 1000)
        if hasattr(shape, "shapes"):
            yield from _in_shapes(shape.shapes, size, group or own)
            continue
        blip = shape._element.find(f".//{_BLIP}")  # noqa: SLF001 - not offered for each kind of shape
        if blip is not None and blip.get(_RELATION) in shape.part.rels:
            yield group or own, shape.part.related_part(blip.get(_RELATION)).blob
