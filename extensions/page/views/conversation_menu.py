"""What can be done with one of the visitor's conversations: a button with a menu."""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from nicegui import html, ui

from extensions.page.session import Visitor, act, confirm, copy_button, refill, say, show_errors
from extensions.page.sharing import share
from extensions.page.views.export import as_json, as_markdown, file_name, name_of
from orchestration.events import Conversation, Turn
from serving.api.conversations import ConversationChange, require_conversations
from serving.http.errors import validate

LONGEST_TITLE = 200
ORIGIN = "return location.origin"
Write = Callable[[Conversation, Sequence[Turn]], str]


class ConversationMenu:
    """`place` holds the dialogs; `changed` and `deleted` are called afterwards, with the conversation's id."""

    def __init__(
        self,
        visitor: Visitor,
        place: html.div,
        changed: Callable[[], Awaitable[None]],
        deleted: Callable[[str], Awaitable[None]],
    ) -> None:
        self._visitor, self._place = visitor, place
        self._changed, self._deleted = changed, deleted

    def build(self, conversation: Conversation) -> None:
        button = ui.button(icon="more_vert", color=None).props("flat dense round aria-haspopup=menu").classes("quiet")
        button.props["aria-label"] = f"More: {name_of(conversation)}"
        # its items are built when they are first wanted: a list of fifty would have 350 elements more
        button.on("click", partial(self._open_menu, button, conversation), [])

    def _open_menu(self, button: ui.button, conversation: Conversation) -> None:
        if button.default_slot.children:  # Quasar opens and closes it from now on
            return
        pin = "Unpin" if conversation.pinned else "Pin"
        with button, ui.menu(value=True).props("auto-close") as menu:
            menu.props["aria-label"] = f"More: {name_of(conversation)}"
            for label, do in (
                ("Rename", self._rename),
                (pin, self._pin),
                ("Share", self._share),
                ("Export as Markdown", partial(self._export, as_markdown, "md")),
                ("Export as JSON", partial(self._export, as_json, "json")),
                ("Delete", self._delete),
            ):
                ui.menu_item(label, partial(do, conversation)).props("role=menuitem dense")

    async def _change(
        self, conversation: Conversation, *, title: str | None = None, pinned: bool | None = None
    ) -> None:
        body = validate(ConversationChange, title=title, pinned=pinned)
        async with self._visitor.acts() as caller:
            store = require_conversations(self._visitor.runtime, caller)
            await store.change(conversation.thread_id, caller, title=body.title, pinned=body.pinned)
        await self._changed()

    async def _pin(self, conversation: Conversation) -> None:
        with show_errors():
            await self._change(conversation, pinned=not conversation.pinned)

    async def _rename(self, conversation: Conversation) -> None:
        with self._place, ui.dialog().props('aria-label="Rename"') as dialog, html.div().classes("card confirm"):
            html.h2("Rename this conversation")
            title = ui.input(value=name_of(conversation)).props("outlined dense autofocus")
            title.props(f'maxlength={LONGEST_TITLE} aria-label="Title"').on(
                "keydown.enter", lambda: dialog.submit(True)
            )
            html.p("Empty, it has its first question as its title again.").classes("dim")
            with html.div().classes("acts"):
                act("Rename", lambda: dialog.submit(True), "unelevated")
                act("Cancel", dialog.close)
        if await dialog:
            with show_errors():
                await self._change(conversation, title=(title.value or "").strip())
        self._place.clear()

    async def _share(self, conversation: Conversation) -> None:
        with self._place, ui.dialog().props('aria-label="Share"') as dialog, html.div().classes("card confirm"):
            html.h2("Share this conversation")
            html.p(
                "Whoever is signed in to your tenant and has the link reads your questions, and the answers that their own rights allow. "
                "Later questions are not part of it."
            ).classes("dim")
            self._offer_link(conversation, html.div(), dialog)
        await dialog
        self._place.clear()
        await self._changed()

    def _offer_link(self, conversation: Conversation, place: html.div, dialog: ui.dialog, link: str = "") -> None:
        with refill(place):
            if link:
                ui.input("Link, shown only now", value=link).props("outlined dense readonly")
            with html.div().classes("acts"):
                if link:
                    copy_button(link, "The link was copied.", "Copy the link")
                else:
                    label = "Replace the link" if conversation.shared else "Make a link"
                    act(
                        label, partial(self._set_link, conversation, place, dialog, new=True), "unelevated", icon="link"
                    )
                if conversation.shared:
                    act("Withdraw the link", partial(self._set_link, conversation, place, dialog, new=False))
                act("Close", dialog.close)

    async def _set_link(self, conversation: Conversation, place: html.div, dialog: ui.dialog, *, new: bool) -> None:
        with show_errors():
            code = secrets.token_urlsafe(24) if new else ""
            async with self._visitor.acts() as caller:
                store = require_conversations(self._visitor.runtime, caller)
                changed = await share(store, conversation.thread_id, caller, code)
            link = f"{await ui.run_javascript(ORIGIN)}/?shared={code}" if new else ""
            self._offer_link(changed, place, dialog, link)

    async def _export(self, write: Write, ending: str, conversation: Conversation) -> None:
        with show_errors():
            caller = await self._visitor.caller()
            turns = await require_conversations(self._visitor.runtime, caller).turns(conversation.thread_id, caller)
            ui.download.content(write(conversation, turns), file_name(conversation, ending))

    async def _delete(self, conversation: Conversation) -> None:
        what = "It cannot be read or gone on with afterwards. What it cost stays in the ledger of costs."
        if not await confirm(self._place, f"Delete “{name_of(conversation)}”?", what):
            return
        with show_errors():
            async with self._visitor.acts() as caller:
                await require_conversations(self._visitor.runtime, caller).delete(conversation.thread_id, caller)
            say("The conversation was deleted.")
            await self._deleted(conversation.thread_id)
