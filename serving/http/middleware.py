"""ASGI middleware around every request. Wrapping responses in tasks would hide a client's disconnect."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import MutableMapping
from contextlib import ExitStack
from typing import Any

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foundation import names
from foundation.errors import ComponentError, RequestError, Unauthenticated
from foundation.stores.erasures import Erasures, current_mark
from foundation.tracing import annotate
from foundation.types import Principal
from observability.telemetry import logs
from serving.access.identity import PAGE_PATHS, PUBLIC_PATHS, Callers
from serving.http.errors import ANTHROPIC_PATHS, BROWSER_PATHS, EXPLAINED, from_status, respond, shape_error, to_json

log = logging.getLogger("sixply.request")

REQUEST_ID = "X-Request-Id"
UNWATCHED = ("/health/", "/metrics", *PAGE_PATHS)
_GIVEN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}


class Envelope:
    """Outermost middleware: gives each request an id, and converts libraries' plain-text errors to our shape."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope).get(REQUEST_ID))
        scope.setdefault("state", {})["request_id"] = request_id
        outgoing, started_s = _Outgoing(send, request_id, scope["path"]), time.perf_counter()
        with logs.of_request(request_id):
            try:
                await self._app(scope, receive, outgoing.send)
            except Exception:
                if not scope["state"].get(EXPLAINED):  # else it was logged and answered already
                    raise
            finally:
                _log(scope, outgoing.status, time.perf_counter() - started_s)


def _log(scope: Scope, status: int | None, seconds: float) -> None:
    """Log the request by its route: its address can name documents and people. Probes and the page are left out."""
    if not log.isEnabledFor(logging.INFO) or scope["path"].startswith(UNWATCHED):
        return
    fields = {
        "method": scope["method"],
        "route": getattr(scope.get("route"), "path_format", None),
        "status": status,
        "ms": round(seconds * 1000, 1),
    }
    log.info("request", extra={logs.FIELDS: fields})


class _Outgoing:
    """The sending side of one request."""

    def __init__(self, send: Send, request_id: str, path: str) -> None:
        self._send = send
        self._request_id = request_id
        self._path = path
        self._instead: bytes | None = None
        """The body to send in place of a library's plain text; `None` to pass the response on."""
        self.status: int | None = None
        """The status that was sent; `None` where the caller left before there was one."""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            await self._send(self._start(message))
            if self._instead is not None:
                await self._send({"type": "http.response.body", "body": self._instead})
        elif self._instead is None:
            await self._send(message)

    def _start(self, message: Message) -> MutableMapping[str, Any]:
        message.setdefault("headers", [])
        headers = MutableHeaders(scope=message)
        if message["status"] >= 400 and headers.get("content-type", "").startswith("text/plain"):
            error = from_status(message["status"], "The request was refused: its Host header names another host.")
            _, content, media_type = shape_error(
                self._path, error, status=message["status"], request_id=self._request_id
            )
            self._instead = to_json(content)
            del headers["content-length"]
            headers["content-type"] = media_type
        headers[REQUEST_ID] = self._request_id
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        return message


class Authentication:
    """Requires a valid credential for everything but the public paths; without one, no 404 is visible either.

    Middleware, not a dependency: FastAPI parses the body before it resolves dependencies.
    """

    def __init__(self, app: ASGIApp, callers: Callers, sessions: Any, erasures: Erasures) -> None:
        self._app = app
        self._callers = callers
        self._sessions = sessions
        self._erasures = erasures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = scope["type"] == "http"
        if scope["type"] != "websocket" and (not http or scope["path"] in PUBLIC_PATHS):
            await self._app(scope, receive, send)
            return
        with ExitStack() as request:
            try:
                principal = await self._principal(HTTPConnection(scope))
                request.enter_context(self._erasures.acting_for(principal))
            except (RequestError, ComponentError) as error:
                if http:
                    await respond(Request(scope), error)(scope, receive, send)
                else:
                    await send({"type": "websocket.close", "code": 1008, "reason": error.code})
                return
            scope.setdefault("state", {})["principal"] = principal
            logs.belongs_to(principal.tenant)
            annotate(names.USER_HASH, current_mark())
            await self._app(scope, receive, send)

    async def _principal(self, connection: HTTPConnection) -> Principal:
        path = connection.scope["path"]
        if self._sessions and path.startswith(PAGE_PATHS):
            caller: Principal = await self._sessions.caller(connection)
            return caller
        if connection.scope["type"] == "websocket":
            raise Unauthenticated("There is no websocket but the page's.")
        basic = connection.scope["method"] == "GET" and path.startswith(BROWSER_PATHS)
        authorization = connection.headers.get("authorization")
        if authorization is None and path.startswith(ANTHROPIC_PATHS) and (key := connection.headers.get("x-api-key")):
            authorization = f"Bearer {key}"  # the header of Anthropic's clients
        return self._callers.authenticate(authorization, basic=basic)


def _request_id(own: str | None) -> str:
    """Return the caller's own id where it is safe in logs and headers, else a new one."""
    return own if own and _GIVEN.fullmatch(own) else uuid.uuid4().hex
