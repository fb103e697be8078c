"""The visitor's conversations: a list beside the question, or above everything on a narrow screen."""

from collections.abc import Awaitable, Callable
from functools import partial

from nicegui import html, ui

from extensions.page.session import Visitor, act, refill, show_errors
from extensions.page.views.conversation_menu import ConversationMenu
from extensions.page.views.export import name_of
from foundation.errors import NotFound
from orchestration.events import Conversation
from serving.api.conversations import require_conversations

AT_ONCE = 50
# newest conversations that are looked through
MOST_SEARCHED = 200


class Earlier:
    """The list of conversations by their titles: the pinned ones first, then from the newest to the oldest."""

    def __init__(
        self,
        visitor: Visitor,
        begin: Callable[[], Awaitable[None]],
        opened: Callable[[str], Awaitable[None]],
        deleted: Callable[[str], Awaitable[None]],
    ) -> None:
        self._visitor = visitor
        self._begin, self._opened, self._deleted = begin, opened, deleted
        self._known: list[Conversation] = []
        self._current: str | None = None
        self._shown = AT_ONCE
        self._found: list[Conversation] = []

    def build(self) -> None:
        with html.aside().classes("earlier").props('aria-label="Earlier conversations"') as self._place:
            self._place.on("keydown.escape", self.close)
            act("New conversation", self._begin, "outline", icon="add").classes("wide-only")
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
            self._menu = ConversationMenu(self._visitor, html.div(), self._reload, self._deleted)

    def opener(self) -> None:
        """Build the button that opens the list on narrow screens."""
        self._button = act("Earlier", self._show, "flat aria-expanded=false", icon="history").classes("narrow")
        self._button.props["aria-controls"] = self._place.html_id

    async def refresh(self, current: str | None) -> None:
        """Update the list and mark the open conversation."""
        caller = await self._visitor.caller()
        try:
            store = require_conversations(self._visitor.runtime, caller)
        except NotFound:  # the configured agent keeps none
            self._place.set_visibility(False)
            self._button.set_visibility(False)
            return
        conversations = await store.all(caller)
        self._known, self._current = sorted(conversations, key=lambda it: not it.pinned), current
        await self._search()

    async def _reload(self) -> None:
        await self.refresh(self._current)

    async def _search(self) -> None:
        """Show the conversations with these words in their title, a question or an answer."""
        words = (self._words.value or "").casefold().strip()
        self._found = self._known
        if words:
            caller = await self._visitor.caller()
            store = require_conversations(self._visitor.runtime, caller)
            found = []
            for conversation in self._known[:MOST_SEARCHED]:
                turns = await store.turns(conversation.thread_id, caller)
                texts = [conversation.title, *(f"{turn.question}\n{turn.text}" for turn in turns)]
                if any(words in text.casefold() for text in texts):
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
            f"(function look(times) {{ const first = document.querySelector('#{self._place.html_id} .narrow');"
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
            html.span(name_of(conversation)).classes("asked")
            marks = [name for name in ("pinned", "shared") if getattr(conversation, name)]
            html.span(" · ".join([*marks, self._visitor.when(conversation.begun_at)])).classes("dim")
        button.on("click", partial(self._open, conversation.thread_id))
        button.props["title"] = name_of(conversation)
        if conversation.thread_id == self._current:
            button.props["aria-current"] = "true"
        self._menu.build(conversation)

    async def _open(self, thread_id: str) -> None:
        with show_errors():
            await self._opened(thread_id)
            self.close()
