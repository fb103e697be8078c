"""A cited document as a page with its headings, lists and tables, opened at the cited span."""

import asyncio
from collections.abc import Sequence

from nicegui import html, ui

from extensions.page.session import Visitor, act, refill, show_errors
from extensions.page.views.page_picture import PagePicture
from extensions.page.views.paper import Paper
from foundation.types import Principal
from retrieval.documents import Box, Citation, Parsed
from serving.api import documents
from serving.api.documents import DocumentText

AROUND = 3000


class SourcePanel:
    """The panel on the right that shows a document."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._document_id = ""
        self._marked = (0, 0)
        self._window = (0, 0)
        self._picture = PagePicture(visitor)

    def build(self) -> None:
        with ui.dialog().props('position=right aria-label="Source"') as self._dialog, html.div().classes("source"):
            with html.header():
                with html.div():
                    self._title = ui.label().classes("title").props("role=heading aria-level=2")
                    self._place = ui.label().classes("dim")
                ui.button(icon="close", on_click=self._dialog.close).props('flat round dense aria-label="Close"')
            self._warning = ui.label().classes("warning").props("role=alert")
            with html.div().classes("beside"):
                self._picture.build()
                self._text = html.div().classes("text").props('tabindex=0 aria-label="Text of the document"')

    async def cite(self, citation: Citation) -> None:
        page = f", page {citation.page}" if citation.page else ""
        rights = f", rights as of {citation.rights_at:.16} UTC" if citation.rights_at else ""
        place = f"{citation.uri}, characters {citation.start} to {citation.end}{page}{rights}"
        await self._open(citation.document_id, (citation.start, citation.end), place, citation)

    async def read(self, document_id: str) -> None:
        await self._open(document_id, (0, 0), "")

    async def _open(
        self, document_id: str, marked: tuple[int, int], place: str, citation: Citation | None = None
    ) -> None:
        self._picture.clear()
        with show_errors():
            self._document_id, self._marked = document_id, marked
            self._window = (max(0, marked[0] - AROUND), marked[1] + AROUND)
            caller = await self._visitor.caller()
            shown, paper, boxes = await self._part(caller)
            quoted = shown.text[marked[0] - shown.start : marked[1] - shown.start]
            self._title.text = shown.document.title or shown.document.uri
            self._place.text = place or shown.document.uri
            changed = citation is not None and quoted != citation.quote
            self._warning.text = "The document has changed since; this is its text now." if changed else ""
            self._warning.set_visibility(changed)
            self._fill(shown, paper)
            self._dialog.open()
            ui.run_javascript(
                f"setTimeout(() => document.getElementById('{self._text.html_id}')?.querySelector('mark')"
                "?.scrollIntoView({block: 'center'}), 150)"
            )
            if citation and not changed:
                await self._picture.show(citation, caller, paper, boxes)

    async def _more(self, before: int, after: int) -> None:
        with show_errors():
            self._window = (max(0, self._window[0] - before), self._window[1] + after)
            shown, paper, _ = await self._part(await self._visitor.caller())
            self._fill(shown, paper)

    async def _part(self, caller: Principal) -> tuple[DocumentText, Paper, Sequence[Box]]:
        return await asyncio.to_thread(self._read, caller)

    def _read(self, caller: Principal) -> tuple[DocumentText, Paper, Sequence[Box]]:
        start, end = self._window
        shown = documents.read(
            self._document_id, caller, self._visitor.runtime, start=start, end=end
        )  # checks the right
        entry = self._visitor.system.retrieval.ledger.entry(self._document_id)
        # it may have been replaced in between
        same = entry is not None and entry.parsed.text[shown.start : shown.end] == shown.text
        parsed = entry.parsed if entry is not None and same else Parsed("", ())
        return shown, Paper(shown, parsed, self._marked), parsed.boxes

    def _fill(self, shown: DocumentText, paper: Paper) -> None:
        with refill(self._text):
            if shown.start:
                act("Earlier text", lambda: self._more(AROUND, 0))
            with html.div().classes("paper"):
                paper.build()
            if shown.end < shown.document.characters:
                act("Later text", lambda: self._more(0, AROUND))
