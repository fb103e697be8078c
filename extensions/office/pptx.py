"""PowerPoint presentations: each slide that is shown, its title as a heading, its shapes from top to bottom, its notes."""

import zipfile
from collections.abc import Iterator
from typing import Any

from extensions.office.drawings import (
    DRAWINGS_VERSION,
    RELATION,
    chart,
    choose_alternatives,
    description,
    diagram,
    drop_hidden,
    words,
)
from extensions.office.ooxml import OOXML_VERSION, core_title, open_package
from retrieval.documents import Parsed, ParseLimits
from retrieval.formats.tables import TABLES_VERSION, add_table
from retrieval.formats.text_blocks import TEXT_VERSION, Draft, FormatParser

_NO_BULLET = "{http://schemas.openxmlformats.org/drawingml/2006/main}buNone"
# Placeholders that every slide repeats: number, date, foot and head
_FURNITURE = ("sldNum", "dt", "ftr", "hdr")
# EMU, a seventh of an inch: the inaccuracy of boxes dragged into a row, and less than a line of text
_ABOUT_ONE_HEIGHT = 137_160


def build(limits: ParseLimits) -> FormatParser:
    version = f"pptx {4 + DRAWINGS_VERSION + OOXML_VERSION + TEXT_VERSION + TABLES_VERSION}"
    return FormatParser((".pptx",), version, _parse, limits)


def _parse(draft: Draft, content: bytes) -> Parsed:
    from pptx import Presentation
    from pptx.exc import PythonPptxError

    troubles = (PythonPptxError, zipfile.BadZipFile, KeyError, ValueError, AttributeError)
    presentation = open_package(content, draft.name, "PowerPoint presentation", Presentation, troubles)
    slides = list(presentation.slides)
    draft.count_pages(len(slides), "slides")
    for number, slide in enumerate(slides, start=1):
        if slide.element.get("show") != "0":
            _add_slide(draft, slide, number)
    return draft.finish(title=core_title(presentation), pages=len(slides))


def _add_slide(draft: Draft, slide: Any, number: int) -> None:
    choose_alternatives(slide.element)
    drop_hidden(slide.element)
    title = slide.shapes.title
    if title is not None and title.has_text_frame:  # a picture may stand in its place
        draft.add("heading", _text_of(title.text_frame), level=1 if number == 1 else 2, page=number)
    for shape in _in_reading_order(slide.shapes):
        placeholder = shape._element.find(".//{*}nvPr/{*}ph")  # noqa: SLF001 - not offered otherwise
        furniture = placeholder is not None and placeholder.get("type") in _FURNITURE
        if not furniture and (title is None or shape.shape_id != title.shape_id):
            _add_shape(draft, shape, number)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        for paragraph in slide.notes_slide.notes_text_frame.text.split("\n"):
            draft.add("paragraph", paragraph, page=number)


def _in_reading_order(shapes: Any) -> Iterator[Any]:
    """Yield shapes from top to bottom, those of about one height from left to right; a group's shapes together."""
    band: list[Any] = []
    for shape in sorted(shapes, key=lambda box: box.top or 0):
        if band and (shape.top or 0) - (band[0].top or 0) > _ABOUT_ONE_HEIGHT:
            yield from _from_left_to_right(band)
            band = []
        band.append(shape)
    yield from _from_left_to_right(band)


def _from_left_to_right(band: list[Any]) -> Iterator[Any]:
    for shape in sorted(band, key=lambda box: box.left or 0):
        if hasattr(shape, "shapes"):
            yield from _in_reading_order(shape.shapes)
        else:
            yield shape


def _add_shape(draft: Draft, shape: Any, number: int) -> None:
    if getattr(shape, "has_table", False):
        rows = [[_text_of(cell.text_frame) for cell in row.cells] for row in shape.table.rows]
        add_table(draft, rows, header=shape.table.first_row or None, page=number)
    elif part := _related_part(shape, "chart", "id"):
        title, tables = chart(part)
        draft.add("paragraph", title, page=number)
        for table in tables:
            draft.table(table, header=True, page=number)
    elif part := _related_part(shape, "relIds", "dm"):
        for text in diagram(part):
            draft.add("item", text, page=number)
    elif shape.has_text_frame:
        # In a slide's body each paragraph is an item unless it has no bullet; elsewhere only indented ones are
        body = shape.is_placeholder and shape.placeholder_format.type is not None and shape.placeholder_format.idx > 0
        for paragraph in shape.text_frame.paragraphs:
            element = paragraph._p  # noqa: SLF001 - not offered otherwise
            item = paragraph.level > 0 or (body and element.find(f".//{_NO_BULLET}") is None)
            draft.add("item" if item else "paragraph", words(element), page=number)
    else:
        draft.add("paragraph", description(shape._element.find(".//{*}cNvPr")), page=number)  # noqa: SLF001 - not offered otherwise


def _related_part(shape: Any, tag: str, attribute: str) -> bytes | None:
    reference = shape._element.find(f".//{{*}}graphicData/{{*}}{tag}")  # noqa: SLF001 - not offered otherwise
    if reference is None:
        return None
    try:
        return bytes(shape.part.related_part(reference.get(f"{RELATION}{attribute}")).blob)
    except KeyError:
        return None


def _text_of(frame: Any) -> str:
    return " ".join(words(paragraph._p) for paragraph in frame.paragraphs)  # noqa: SLF001 - not offered otherwise
