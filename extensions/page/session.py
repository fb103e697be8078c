"""The visitor of an open page, and the messages and dialogs of its views."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, tzinfo
from typing import Any, Literal, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from nicegui import html, ui
from opentelemetry import context as tracing
from opentelemetry.context import Context

from extensions.page.sessions import Sessions
from foundation import names
from foundation.errors import RequestError
from foundation.tracing import span
from foundation.types import Principal
from serving.access.identity import Permission
from serving.hooks import AnswerAction
from serving.http.streams import explain
from serving.runtime import Runtime
from serving.wiring import System

WORDS = {
    "answered": "Answered",
    "abstained": "Not answered",
    "refused": "Refused",
    "waiting": "Waits for approval",
    "escalated": "Passed on to a person",
    "failed": "Failed",
    "unfinished": "Not finished",
    "closest": "Closest passages, which may not answer it",
    "not_found": "Not found",
}
ZONE = "return Intl.DateTimeFormat().resolvedOptions().timeZone"


class Visitor:
    """One open page. Every action checks the session again: it may have ended, or its key may have been revoked."""

    def __init__(self, runtime: Runtime, token: str, principal: Principal) -> None:
        self.runtime = runtime
        self.seen = principal
        """The person when the page was opened. It decides what is shown, never what is done."""
        self.looks_at: View | None = None
        self.zone: tzinfo = UTC
        self._token = token

    @property
    def system(self) -> System:
        return self.runtime.system

    async def caller(self, permission: Permission = "ask") -> Principal:
        """Return the current person. Raises Unauthenticated: the session is over. Forbidden, Stopped: as for a route."""
        principal: Principal = await self.runtime.part(Sessions).principal(self._token)
        self.runtime.demand(permission, principal)
        return principal

    @asynccontextmanager
    async def acts(self, permission: Permission = "ask") -> AsyncIterator[Principal]:
        """Yield the current person for a question or a change, counted like a request to the API. Refreshing does not
        count, because the page refreshes by itself; decisions do not count either, as in the API. Raises
        Unauthenticated, Forbidden, Stopped, QuotaExceeded, StoreUnavailable.
        """
        caller = await self.caller(permission)
        quotas = self.system.serving.quotas
        admitted = await quotas.admit(caller)
        try:
            yield caller
        finally:
            await quotas.release(admitted)

    async def ask_zone(self) -> None:
        """Take the time zone of the person's browser; UTC remains where it gives none that is known here."""
        with suppress(ZoneInfoNotFoundError, ValueError, TimeoutError):
            self.zone = ZoneInfo(str(await ui.run_javascript(ZONE, timeout=5)))

    @property
    def answer_actions(self) -> list[AnswerAction]:
        """What extensions offer to do with the visitor's answers."""
        actions = (it for it in self.system.hooks.services if isinstance(it, AnswerAction))
        return [action for action in actions if action.is_offered(self.system, self.seen)]

    def when(self, at: datetime) -> str:
        """Return a moment in the person's time zone."""
        there = at.astimezone(self.zone)
        return f"{there:%d %b %Y, %H:%M}{' UTC' if self.zone is UTC else ''}"

    def refusal(self, permission: Permission) -> str:
        """Return why the visitor lacks this permission; empty where they have it."""
        try:
            self.runtime.demand(permission, self.seen)
        except RequestError as error:
            return str(error)
        return ""

    def may(self, permission: Permission) -> bool:
        return not self.refusal(permission)


class View(Protocol):
    """One entry of the menu."""

    def build(self) -> None:
        """Build the view in the current element; called once, before it is first shown."""
        ...

    async def refresh(self) -> None:
        """Update the view; called each time it is shown."""
        ...


@contextmanager
def show_errors() -> Iterator[None]:
    """Show errors with the API's text; an unforeseen one is logged, and shown in general words."""
    try:
        yield
    except Exception as error:
        say(explain(error).public, kind="bad")


def every(
    seconds: float, look: Callable[[], Awaitable[None]], *, while_at: tuple[Visitor, View] | None = None
) -> ui.timer:
    """Call `look` repeatedly; with `while_at`, only while the visitor looks at that view. An error is shown once and
    stops it, until somebody activates the timer again.
    """

    async def once() -> None:
        try:
            if while_at is None or while_at[0].looks_at is while_at[1]:
                await look()
        except Exception as error:
            timer.deactivate()
            say(explain(error).public, kind="bad")

    timer = ui.timer(seconds, once)
    return timer


def say(message: str, *, kind: Literal["good", "bad"] = "good") -> None:
    """Show a message for a while, also to screen readers."""
    ui.notify(message, classes=f"notice {kind}", position="bottom", close_button="Close", timeout=8000)


def pluralise(many: int, what: str) -> str:
    """Return the number with its noun.
    >>> pluralise(1, "document"), pluralise(2, "document")
    ('1 document', '2 documents')
    """
    return f"{many:,} {what}" if many == 1 else f"{many:,} {what}s"


def act(label: str, do: Callable[..., Any] | None, look: str = "flat", *, icon: str | None = None) -> ui.button:
    """Build a button with text, in one of Quasar's looks: flat, outline or unelevated."""
    return ui.button(label, icon=icon, on_click=do).props(f"{look} dense no-caps")


# The clipboard of the browser exists over TLS and on this machine alone
COPY = """async event => {
  const text = event.currentTarget.dataset.text;
  if (navigator.clipboard) await navigator.clipboard.writeText(text);
  else {
    const field = document.body.appendChild(Object.assign(document.createElement("textarea"), {value: text}));
    field.select(); document.execCommand("copy"); field.remove();
  }
  emit();
}"""


def copy_button(text: str, says: str, label: str = "Copy") -> ui.button:
    """Build a button that puts a text into the clipboard, and then says so."""
    button = act(label, None, icon="content_copy")
    button.props["data-text"] = text
    button.on("click", lambda: say(says), js_handler=COPY)
    return button


@contextmanager
def refill(place: ui.element) -> Iterator[None]:
    """Replace the content of an element."""
    place.clear()
    with place:
        yield


async def confirm(place: ui.element, question: str, says: str) -> bool:
    """Ask before a deletion. Return whether it was confirmed. `place` holds the dialog meanwhile."""
    with place, ui.dialog().props('aria-label="Delete?"') as dialog, html.div().classes("card confirm"):
        html.h2(question)
        html.p(says).classes("dim")
        with html.div().classes("acts"):
            act("Delete", lambda: dialog.submit(True), "unelevated color=negative", icon="delete")
            act("Keep it", dialog.close, "flat autofocus")
    agreed = await dialog
    place.clear()
    return bool(agreed)


def alert(message: str, *, kind: Literal["bad", "note"] = "bad") -> None:
    """Show a lasting message in the current element."""
    html.p(message).classes(f"alert {kind}").props("role=alert" if kind == "bad" else "role=note")


@contextmanager
def trace(act: str, tenant: str) -> Iterator[None]:
    """Start a new trace: a page's connection lasts for hours, and all its actions would be in one trace."""
    apart = tracing.attach(Context())
    try:
        with span(act, "page", layer="serving", attributes={names.TENANT: tenant}):
            yield
    finally:
        tracing.detach(apart)
