"""PowerPoint presentations: slide by slide, its title as a heading, then its shapes from top to bottom, then the notes.

Hidden slides are left out, as everything is that a reader does not see.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

from foundation.errors import DocumentRefused
from retrieval.contract import Parsed, ParseLimits
from retrieval.packages import check_package, malformed
from retrieval.plain_text import Draft

_WHAT = "PowerPoint presentation"
_UNTITLED = "PowerPoint Presentation"
"""What the program itself fills in."""
_BULLET = "{http://schemas.openxmlformats.org/drawingml/2006/main}buNone"


class PptxParser:
    suffixes: tuple[str, ...] = (".pptx",)
    version = "pptx 1"

    def __init__(self, limits: ParseLimits) -> None:
        self._limits = limits

    def parse(self, content: bytes, name: str) -> Parsed:
        check_package(content, name, _WHAT)
        presentation = _open(content, name)
        slides = list(presentation.slides)
        if len(slides) > self._limits.pages:
            raise DocumentRefused(
                f'"{name}" has {len(slides)} slides, more than {self._limits.pages}. Split it, or raise '
                f"retrieval.parsing.max_pages.",
                reason="too_many_pages",
            )
        draft = Draft(name, self._limits)
        for number, slide in enumerate(slides, start=1):
            if slide.element.get("show") != "0":
                _add_slide(draft, slide, number)
        title = presentation.core_properties.title
        return draft.finish(title=None if title == _UNTITLED else title, pages=len(slides))


def build(limits: ParseLimits) -> PptxParser:
    return PptxParser(limits)


def _open(content: bytes, name: str) -> Any:
    from pptx import Presentation
    from pptx.exc import PythonPptxError

    try:
        return Presentation(io.BytesIO(content))
    except (PythonPptxError, zipfile.BadZipFile, KeyError, ValueError, AttributeError) as error:
        raise malformed(name, _WHAT, error) from error


def _add_slide(draft: Draft, slide: Any, number: int) -> None:
    title = slide.shapes.title
    if title is not None:
        draft.add("heading", title.text_frame.text.replace("\v", " "), level=1 if number == 1 else 2, page=number)
    for shape in _in_reading_order(slide.shapes):
        if title is None or shape.shape_id != title.shape_id:
            _add_shape(draft, shape, number)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        for paragraph in slide.notes_slide.notes_text_frame.text.split("\n"):
            draft.add("paragraph", paragraph, page=number)


def _in_reading_order(shapes: Any) -> Iterator[Any]:
    """From top to bottom, then from left to right; a group's shapes stand together."""
    for shape in sorted(shapes, key=lambda one: (one.top or 0, one.left or 0)):
        if hasattr(shape, "shapes"):
            yield from _in_reading_order(shape.shapes)
        else:
            yield shape


def _add_shape(draft: Draft, shape: Any, number: int) -> None:
    if getattr(shape, "has_table", False):
        rows = [[cell.text for cell in row.cells] for row in shape.table.rows]
        draft.table(rows, header=True if shape.table.first_row else None, page=number)
    elif getattr(shape, "has_chart", False):
        _add_chart(draft, shape.chart, number)
    elif shape.has_text_frame:
        _add_text(draft, shape, number)
    elif words := _description(shape):
        draft.add("paragraph", words, page=number)


def _description(shape: Any) -> str:
    """What a picture shows, in the words of its author, for readers who do not see it."""
    named = shape._element.find(".//{*}cNvPr")  # noqa: SLF001 - not offered otherwise
    words = str(named.get("descr", "")) if named is not None else ""
    return "" if "Description automatically generated" in words else words


def _add_text(draft: Draft, shape: Any, number: int) -> None:
    """In the body of a slide every paragraph is an item unless it says that it is none; elsewhere, none is."""
    body = shape.is_placeholder and shape.placeholder_format.type is not None and shape.placeholder_format.idx > 0
    for paragraph in shape.text_frame.paragraphs:
        item = paragraph.level > 0 or (body and paragraph._p.find(f".//{_BULLET}") is None)  # noqa: SLF001 - not offered otherwise
        draft.add("item" if item else "paragraph", paragraph.text, page=number)


def _add_chart(draft: Draft, chart: Any, number: int) -> None:
    """The numbers behind a chart are a table: what is counted, and each series."""
    if chart.has_title:
        draft.add("paragraph", chart.chart_title.text_frame.text, page=number)
    for plot in chart.plots:
        series = list(plot.series)
        rows = [["", *(one.name for one in series)]]
        for index, category in enumerate(plot.categories):
            values = [one.values[index] if index < len(one.values) else None for one in series]
            rows.append([str(category), *("" if value is None else f"{value:.10g}" for value in values)])
        draft.table(rows, header=True, page=number)
