"""The page of a PDF on which a citation stands, as it looks, with the cited words marked; a map of its words where the file is gone."""

import asyncio
import base64
from collections.abc import Sequence

from nicegui import html, ui

from extensions.page.original import read_original
from extensions.page.pdf_page import Frame, PageImage, draw_page
from extensions.page.session import Visitor, refill
from extensions.page.views.paper import Paper
from foundation.types import Principal
from retrieval.documents import Box, Citation

# Height of a page by its width, as of A4; a box says its place in thousandths of both
HEIGHT = 1.414
MISREAD = "One or two figures of a hundred may be misread: compare them with the original."
# The dialog comes in for a moment
LOOK = "?.querySelector('.cited')?.scrollIntoView({block: 'center'}), 150)"


class PagePicture:
    """The picture beside the text of a source; nothing where there is none."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._cited: Citation | None = None

    def build(self) -> None:
        self._place = html.div().classes("picture").props('tabindex=0 role=region aria-label="Picture of the page"')

    def clear(self) -> None:
        self._cited = None
        self._place.clear()
        self._place.set_visibility(False)

    async def show(self, citation: Citation, caller: Principal, paper: Paper, boxes: Sequence[Box]) -> None:
        """Show the page of a citation whose text has not changed; `paper` is that text, `boxes` are those of its document."""
        self._cited = citation
        words, cited = find_cited_page(boxes, citation.start, citation.end)
        if cited:
            self._show_map(words, cited)
        page = cited[0].page if cited else citation.page
        image = await self._draw(citation, caller, page, paper.cited_lines(page)) if page else None
        if image and self._cited is citation:  # else another source was opened meanwhile
            frames = [Frame(box.left, box.top, box.right, box.bottom) for box in cited] or image.frames
            self._show_image(
                image, frames, f"Page {page}{', whose words were recognised. ' + MISREAD if cited else ''}"
            )

    async def _draw(self, citation: Citation, caller: Principal, page: int, lines: Sequence[str]) -> PageImage | None:
        async with self._visitor.runtime.place("searches", caller):
            return await asyncio.to_thread(self._read, citation, caller, page, lines)

    def _read(self, citation: Citation, caller: Principal, page: int, lines: Sequence[str]) -> PageImage | None:
        system = self._visitor.system
        document = system.retrieval.ledger.find(citation.document_id)
        if document is None or not document.source.is_readable(system.policy.scope(caller)):
            return None
        if not document.source.uri.lower().endswith(".pdf"):
            return None
        content = read_original(document, max_bytes=system.settings.retrieval.parsing.max_bytes)
        return draw_page(content, page, lines) if content else None

    def _show_image(self, image: PageImage, frames: Sequence[Frame], says: str) -> None:
        with refill(self._place), html.figure():
            html.figcaption(says)
            with html.div().classes("page-image"):
                shown = base64.b64encode(image.picture).decode()
                html.img(src=f"data:image/webp;base64,{shown}", alt="").props(
                    f"width={image.width} height={image.height}"
                )
                with ui.element("svg").props('viewBox="0 0 1000 1000" preserveAspectRatio=none aria-hidden=true'):
                    ui.element("path").classes("cited").props["d"] = "".join(_outline(frame, 1) for frame in frames)
        self._place.set_visibility(True)
        ui.run_javascript(f"setTimeout(() => document.getElementById('{self._place.html_id}'){LOOK}")

    def _show_map(self, words: Sequence[Box], cited: Sequence[Box]) -> None:
        with refill(self._place):
            show_page_map(words, cited)
        self._place.set_visibility(True)


def find_cited_page(boxes: Sequence[Box], start: int, end: int) -> tuple[list[Box], list[Box]]:
    """Return the words of the page on which the characters from `start` to `end` begin, and of these the ones among them."""
    page = next((box.page for box in boxes if box.end > start and box.start < end), 0)
    words = [box for box in boxes if box.page == page]
    return words, [box for box in words if box.end > start and box.start < end]


def show_page_map(words: Sequence[Box], cited: Sequence[Box]) -> None:
    """Show a bar for each word that was recognised on a page, the cited ones marked."""
    with html.figure().classes("page-map"):
        html.figcaption(
            f"These words were recognised in the picture of page {cited[0].page}, where they stand as marked. {MISREAD}"
        )
        with ui.element("svg").props(f'viewBox="0 0 1000 {1000 * HEIGHT:g}" aria-hidden=true'):
            for name, boxes in (("words", words), ("cited", cited)):
                ui.element("path").classes(name).props["d"] = "".join(_outline(box, HEIGHT) for box in boxes)


def _outline(place: Box | Frame, height: float) -> str:
    return f"M{place.left} {place.top * height:.0f}H{place.right}V{place.bottom * height:.0f}H{place.left}z"
