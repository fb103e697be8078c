"""NiceGUI inside our application, loaded when a browser is first shown the form to sign in: a server of the API alone never loads it."""

import asyncio
import base64
import functools
import hashlib
import re
from contextlib import AsyncExitStack
from typing import Any

from fastapi import FastAPI
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from extensions.page.brand import Brand, logo_address

# Seconds that a page without a connection is kept, with what it shows and runs
RECONNECT_S = 20.0


class Mounted:
    def __init__(self) -> None:
        self._running = AsyncExitStack()
        self._one_at_a_time = asyncio.Lock()
        self._app: ASGIApp | None = None
        self._preparing: asyncio.Task[ASGIApp] | None = None

    @property
    def is_prepared(self) -> bool:
        return self._app is not None or self._preparing is not None

    def prepare(self, brand: Brand) -> None:
        """Load NiceGUI while somebody types their key, so that they need not wait for it afterwards."""
        if not self.is_prepared:
            self._preparing = asyncio.create_task(self.app(brand))

    async def app(self, brand: Brand) -> ASGIApp:
        """Return NiceGUI's application. The first call takes about a second, in a thread."""
        async with self._one_at_a_time:
            if self._app is None:
                owner, app = await asyncio.to_thread(_mount_nicegui, brand)
                await self._running.enter_async_context(owner.router.lifespan_context(owner))
                self._app = app
        return self._app

    def is_own(self, connection: HTTPConnection) -> bool:
        """Whether a connection names only pages of its own session. Before the first page is opened, every connection does."""
        if self._app is None:
            return True
        from extensions.page import belonging

        return belonging.is_own(connection)

    async def aclose(self) -> None:
        if self._preparing is not None:
            await asyncio.wait([self._preparing])  # a thread that imports cannot be stopped
        await self._running.aclose()


@functools.cache
def _mount_nicegui(brand: Brand) -> tuple[FastAPI, ASGIApp]:
    from nicegui import app, ui

    from extensions.page import belonging, shell

    shell.define()
    belonging.guard_messages()
    app.config.quasar_config["loadingBar"]["skipHijack"] = True  # its bar has no name for a screen reader
    owner = FastAPI(openapi_url=None)
    # added first, so it is innermost and sees HTML before compression
    app.add_middleware(BaseHTTPMiddleware, dispatch=give_policy)
    ui.run_with(
        owner,
        title=brand.name,
        favicon=logo_address(brand) or shell.ICON,
        dark=None,  # follow the system's setting
        language="en-US",
        tailwind=False,  # it compiles styles in the browser
        reconnect_timeout=RECONNECT_S,
        show_welcome_message=False,
    )
    return owner, app


async def give_policy(request: Request, respond: RequestResponseEndpoint) -> Response:
    """Add a Content-Security-Policy to each HTML page, which allows exactly its inline scripts.

    NiceGUI builds functions from text and sets styles inline: it needs 'unsafe-eval' and 'unsafe-inline' styles.
    """
    response: Any = await respond(request)
    if not response.headers.get("content-type", "").startswith("text/html"):
        return response  # type: ignore[no-any-return]
    body = b"".join([part async for part in response.body_iterator])
    page = Response(body, response.status_code)
    page.raw_headers = response.raw_headers
    page.headers["Content-Security-Policy"] = policy(body.decode())
    page.headers["Referrer-Policy"] = "same-origin"  # the sign-out form must say which site it comes from
    return page


def policy(page: str) -> str:
    # a script that this does not find gets no hash, and the browser does not run it
    inline = re.findall(r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", page, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in inline)
    hashes = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src 'self' 'unsafe-eval' {hashes}; style-src 'self' 'unsafe-inline'; "
        "font-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    )
