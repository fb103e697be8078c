"""Who has the page open, and how what fails reaches them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from nicegui import ui
from opentelemetry import context as tracing
from opentelemetry.context import Context

from foundation import names
from foundation.tracing import span
from foundation.types import Principal
from serving.identity import Permission
from serving.runtime import Runtime
from serving.streams import explained
from serving.wiring import System


class Visitor:
    """One open page. Whatever it does asks again who that is: a session may have ended, a key may have been revoked."""

    def __init__(self, runtime: Runtime, token: str, principal: Principal) -> None:
        self.runtime = runtime
        self.seen = principal
        """As the page was opened: good enough to decide what is shown, never what is done."""
        self._token = token

    @property
    def system(self) -> System:
        return self.runtime.system

    async def caller(self, permission: Permission = "ask") -> Principal:
        """Who it is now.

        Raises:
            Unauthenticated: the session is over. Forbidden, Stopped: as a route would.
        """
        principal = await self.runtime.sessions.principal(self._token)
        self.runtime.demand(permission, principal)
        return principal

    def may(self, permission: Permission) -> bool:
        """Whether to show what needs this permission."""
        roles = self.runtime.permissions[permission]
        return roles is None or bool(roles & self.seen.roles)


class View(Protocol):
    """One entry of the menu."""

    def build(self) -> None:
        """Make it, inside the element that is open; once, when it is first looked at."""
        ...

    async def refresh(self) -> None:
        """It is looked at, for the first time or again."""
        ...


@contextmanager
def told() -> Iterator[None]:
    """Say what fails, in the words of the API; what nobody foresaw is logged and said in general ones."""
    try:
        yield
    except Exception as error:
        say(str(explained(error)), kind="negative")


def say(message: str, *, kind: Any = "positive") -> None:
    """Show a message for a while, and read it to who cannot see it."""
    ui.notify(message, type=kind, position="bottom", multi_line=True, close_button="Close", timeout=8000)


@contextmanager
def traced(act: str, tenant: str) -> Iterator[None]:
    """A trace of its own: a page's connection lasts for hours, and everything done in it would be one."""
    apart = tracing.attach(Context())
    try:
        with span(act, "page", layer="serving", attributes={names.TENANT: tenant}):
            yield
    finally:
        tracing.detach(apart)
