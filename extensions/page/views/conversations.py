"""The visitor's earlier conversations: a list beside the question, or above everything on a narrow screen."""

from collections.abc import Awaitable, Callable
from functools import partial

from nicegui import html, ui

from extensions.page.session import Visitor, act, confirm, refill, say, show_errors
from foundation.errors import NotFound
from orchestration.events import Conversation
from serving.api.conversations import require_conversations

AT_ONCE = 50
# newest conversations that are looked through
MOST_SEARCHED = 200


class Earlier:
    """The list of conversations by their first question, newest first."""

    def __init__(
        self, visitor: Visitor, opened: Callable[[str], Awaitable[None]], deleted: Callable[[str], Awaitable[None]]
    ) -> None:
        self._visitor = visitor
        self._opened, self._deleted = opened, deleted
        self._known: list[Conversation] = []
        self._current: str | None = None
        self._shown = AT_ONCE
        self._found: list[Conversation] = []

    def build(self) -> None:
        with html.aside().classes("earlier").props('aria-label="Earlier conversations"') as self._place:
            self._place.on("keydown.escape", self.close)
            with html.div().classes("above"):
                html.h2("Earlier conversations")
                close = ui.button(icon="close", on_click=self.close, color=None).classes("quiet narrow")
                close.props('flat dense round aria-label="Close the list"')
            self._words = ui.input(placeholder="Search", on_change=self._search).props(
                'outlined dense clearable debounce=300 aria-label="Search your conversations"'
            )
            self._none = ui.label().classes("dim")
            self._list = html.ul()
            self._more = act("Show more", self._show_more)
            self._asking = html.div()

    def opener(self) -> None:
        """Build the button that opens the list on narrow screens."""
        self._button = act("Earlier", self._show, "flat aria-expanded=false", icon="history").classes("narrow")
        self._button.props["aria-controls"] = self._place.html_id

    async def refresh(self, current: str | None) -> None:
        """Update the list and mark the open conversation."""
        try:
            store = require_conversations(self._visitor.runtime)
        except NotFound:  # the configured agent keeps none
            self._place.set_visibility(False)
            self._button.set_visibility(False)
            return
        self._known, self._current = await store.all(await self._visitor.caller()), current
        await self._search()

    async def _search(self) -> None:
        """Show the conversations with these words in a question or an answer."""
        words = (self._words.value or "").casefold().strip()
        self._found = self._known
        if words:
            store, caller = require_conversations(self._visitor.runtime), await self._visitor.caller()
            found = []
            for conversation in self._known[:MOST_SEARCHED]:
                said = (f"{turn.question}\n{turn.text}" for turn in await store.turns(conversation.thread_id, caller))
                if any(words in text.casefold() for text in said):
                    found.append(conversation)
            self._found = found
        self._fill()

    def close(self) -> None:
        """Close the list where it covers everything, and move the focus back to the button."""
        if "shown" in self._place.classes:
            self._place.classes(remove="shown")
            self._button.props["aria-expanded"] = "false"
            with self._place:  # the entry that was clicked may be gone
                ui.run_javascript(f"document.getElementById('{self._button.html_id}')?.focus()")

    def _show(self) -> None:
        self._place.classes(add="shown")
        self._button.props["aria-expanded"] = "true"
        ui.run_javascript(  # hidden elements cannot have the focus: wait until it is drawn
            f"(function look(times) {{ const first = document.querySelector('#{self._place.html_id} button');"
            "if (first?.checkVisibility()) first.focus(); else if (times) requestAnimationFrame(() => look(times - 1)); })(600)"
        )

    def _show_more(self) -> None:
        self._shown += AT_ONCE
        self._fill()

    def _fill(self) -> None:
        self._none.text = "Nothing found." if self._known else "None yet. What you ask is kept here."
        self._none.set_visibility(not self._found)
        self._words.set_visibility(bool(self._known))
        self._more.set_visibility(len(self._found) > self._shown)
        with refill(self._list):
            for conversation in self._found[: self._shown]:
                with html.li():
                    self._entry(conversation)

    def _entry(self, conversation: Conversation) -> None:
        with html.button().classes("begun").props("type=button") as button:
            html.span(conversation.question).classes("asked")
            html.span(self._visitor.when(conversation.begun_at)).classes("dim")
        button.on("click", partial(self._open, conversation.thread_id))
        button.props["title"] = conversation.question
        if conversation.thread_id == self._current:
            button.props["aria-current"] = "true"
        bin_ = ui.button(icon="delete", on_click=partial(self._delete, conversation), color=None)
        bin_.props("flat dense round").classes("quiet").props["aria-label"] = f"Delete: {conversation.question}"

    async def _open(self, thread_id: str) -> None:
        with show_errors():
            await self._opened(thread_id)
            self.close()

    async def _delete(self, conversation: Conversation) -> None:
        what = "It cannot be read or gone on with afterwards. What it cost stays in the ledger of costs."
        if not await confirm(self._asking, f"Delete “{conversation.question}”?", what):
            return
        with show_errors():
            async with self._visitor.acts() as caller:
                await require_conversations(self._visitor.runtime).delete(conversation.thread_id, caller)
            say("The conversation was deleted.")
            await self._deleted(conversation.thread_id)
