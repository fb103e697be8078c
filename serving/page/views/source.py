"""A cited document, opened at the cited span."""

import asyncio

from nicegui import html, ui

from foundation.types import Principal
from retrieval.documents import Citation
from serving.api import documents
from serving.api.documents import DocumentText
from serving.page.session import Visitor, act, refill, show_errors

AROUND = 3000


class SourcePanel:
    """The panel on the right that shows a document."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._document_id = ""
        self._marked = (0, 0)
        self._window = (0, 0)

    def build(self) -> None:
        with ui.dialog().props('position=right aria-label="Source"') as self._dialog, html.div().classes("source"):
            with html.header():
                with html.div():
                    self._title = ui.label().classes("title").props("role=heading aria-level=2")
                    self._place = ui.label().classes("dim")
                ui.button(icon="close", on_click=self._dialog.close).props('flat round dense aria-label="Close"')
            self._warning = ui.label().classes("warning").props("role=alert")
            self._text = html.div().classes("text").props('tabindex=0 aria-label="Text of the document"')

    async def cite(self, citation: Citation) -> None:
        page = f", page {citation.page}" if citation.page else ""
        place = f"{citation.uri}, characters {citation.start} to {citation.end}{page}"
        await self._open(citation.document_id, (citation.start, citation.end), place, quote=citation.quote)

    async def read(self, document_id: str) -> None:
        await self._open(document_id, (0, 0), "", quote="")

    async def _open(self, document_id: str, marked: tuple[int, int], place: str, *, quote: str) -> None:
        with show_errors():
            self._document_id, self._marked = document_id, marked
            self._window = (max(0, marked[0] - AROUND), marked[1] + AROUND)
            caller = await self._visitor.caller()
            shown = await self._part(caller)
            quoted = shown.text[marked[0] - shown.start : marked[1] - shown.start]
            self._title.text = shown.document.title or shown.document.uri
            self._place.text = place or shown.document.uri
            changed = quoted != quote
            self._warning.text = "The document has changed since; this is its text now." if changed else ""
            self._warning.set_visibility(changed)
            self._fill(shown)
            self._dialog.open()
            ui.run_javascript(
                f"setTimeout(() => document.getElementById('{self._text.html_id}')?.querySelector('mark')"
                "?.scrollIntoView({block: 'center'}), 150)"
            )

    async def _more(self, before: int, after: int) -> None:
        with show_errors():
            self._window = (max(0, self._window[0] - before), self._window[1] + after)
            self._fill(await self._part(await self._visitor.caller()))

    async def _part(self, caller: Principal) -> DocumentText:
        start, end = self._window
        where = (self._document_id, caller, self._visitor.runtime)
        return await asyncio.to_thread(documents.read, *where, start=start, end=end)

    def _fill(self, shown: DocumentText) -> None:
        start, end = (min(max(at - shown.start, 0), len(shown.text)) for at in self._marked)
        with refill(self._text):
            if shown.start:
                act("Earlier text", lambda: self._more(AROUND, 0))
            with html.div().classes("verbatim"):
                html.span(shown.text[:start])
                if end > start:
                    html.mark(shown.text[start:end])
                html.span(shown.text[end:])
            if shown.end < shown.document.characters:
                act("Later text", lambda: self._more(0, AROUND))
