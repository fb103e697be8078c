"""A file for one conversation: its text goes to the model beside the question, as the result of a call, and is stored with the conversation alone.

It is no document: nobody else finds it, searches do not know it, and it is gone with the conversation. What it says is somebody's words
and not the person's, so it moves no effect.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from nicegui import html, ui
from nicegui.events import UploadEventArguments

from extensions.page.session import Visitor, act, refill, say, show_errors
from foundation.errors import DocumentRefused, TooLarge
from foundation.machine.deadline import in_thread
from foundation.types import Principal
from orchestration.flow.message_agent import MessageAgent
from orchestration.run.wrapping import innermost
from retrieval.documents import Source
from retrieval.ingest.preparation import Item
from serving.http.uploads import media_type_of

TOOL = "read_attached_file"
MOST_CHARACTERS = 60_000


class Attachment:
    """The file beside the question, and the row that names it. `changed` is called when there is another one, or none."""

    def __init__(self, visitor: Visitor, changed: Callable[[], None]) -> None:
        self._visitor, self._changed = visitor, changed
        self._name, self._text = "", ""

    @property
    def messages(self) -> tuple[AnyMessage, ...]:
        """The file as a question's `since`: a call that read it, and what was read; empty without one."""
        if not self._name:
            return ()
        call_id = f"file-{uuid4().hex}"
        call = {"name": TOOL, "args": {"file": self._name}, "id": call_id, "type": "tool_call"}
        return AIMessage("", tool_calls=[call]), ToolMessage(self._text, name=TOOL, tool_call_id=call_id)

    def build(self) -> None:
        """Build the row that names the file, which shows nothing while there is none."""
        self._row = html.div().classes("attached").props("role=status")

    def choose(self) -> None:
        """Build the button that asks for a file, where the model reads one."""
        self._button: ui.button | None = None
        # one whose model calls no tools only quotes documents, and hands no text to it as it is
        if not isinstance(innermost(self._visitor.system.agent, self._visitor.seen), MessageAgent):
            return
        most = self._visitor.system.settings.serving.http.max_body_bytes
        too_large = f"Not sent: at most {most // 10**6} MB."
        self._field = ui.upload(
            auto_upload=True, max_file_size=most, on_upload=self._take, on_rejected=lambda: say(too_large, kind="bad")
        ).style("display: none")
        self._button = act("Attach", None, icon="attach_file")
        self._button.props["title"] = "A file for this conversation alone"
        self._button.on("click", js_handler=f"() => getElement({self._field.id}).$refs.qRef.pickFiles()")

    def offer(self, *, begins: bool) -> None:
        """Show the button where a conversation begins and has no file yet."""
        if self._button is not None:
            self._button.set_visibility(begins and not self._name)

    def drop(self) -> None:
        self._name, self._text = "", ""
        self._row.clear()
        self._changed()

    async def _take(self, sent: UploadEventArguments) -> None:
        with self._row, show_errors():
            self._field.reset()
            async with self._visitor.acts() as caller, self._visitor.runtime.place("writes", caller):
                content, name = await sent.file.read(), sent.file.name
                self._text = await in_thread(self._read, content, name, caller)
            self._name = name
            with refill(self._row):
                ui.icon("description").props("aria-hidden=true")
                html.span(self._name)
                html.span("for this conversation alone, and deleted with it").classes("dim")
                act("Remove", self.drop)
            self._changed()

    def _read(self, content: bytes, name: str, caller: Principal) -> str:
        item = Item(Source(uri=name, tenant=caller.tenant, media_type=media_type_of(name)), content, name)
        outcome = self._visitor.system.retrieval.ingestor.preparation.split(item)
        if isinstance(outcome, DocumentRefused):
            raise outcome
        if len(text := outcome.parsed.text) > MOST_CHARACTERS:
            raise TooLarge(
                f"{name} has {len(text):,} characters of text; at most {MOST_CHARACTERS:,} go beside a question. "
                "Add it under Documents instead, where it is searched."
            )
        return text
