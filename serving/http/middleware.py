"""ASGI middleware around every request. Wrapping responses in tasks would hide a client's disconnect."""

import logging
import re
import time
import uuid
from collections.abc import Collection
from contextlib import ExitStack
from http import HTTPStatus

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
from serving.access.identity import KeyStore
from serving.http.errors import BROWSER_PATHS, from_status, respond, shape_error, surface_of

log = logging.getLogger("sixply.request")

REQUEST_ID = "X-Request-Id"
UNWATCHED = ("/health/", "/metrics")
_GIVEN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"}


class Envelope:
    """Outermost middleware: gives each request an id, and converts libraries' plain-text errors to our shape."""

    def __init__(self, app: ASGIApp, unwatched: tuple[str, ...]) -> None:
        self._app, self._unwatched = app, unwatched

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        own, started_s = Headers(scope=scope).get(REQUEST_ID), time.perf_counter()
        # the caller's own id, where it is safe in logs and headers
        request_id = own if own and _GIVEN.fullmatch(own) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status: int | None = None  # stays so where the caller left before there was one
        replaced = False

        async def send_enveloped(message: Message) -> None:
            nonlocal status, replaced
            if message["type"] != "http.response.start":
                if not replaced:
                    await send(message)
                return
            status = message["status"]
            message.setdefault("headers", [])
            headers = MutableHeaders(scope=message)
            content = None
            if message["status"] >= 400 and headers.get("content-type", "").startswith("text/plain"):
                replaced, content = True, _to_our_shape(message["status"], headers, scope, request_id)
            headers[REQUEST_ID] = request_id
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            await send(message)
            if content is not None:
                await send({"type": "http.response.body", "body": content})

        with logs.of_request(request_id):
            try:
                await self._app(scope, receive, send_enveloped)
            except Exception:
                if not scope["state"].get("explained"):  # else it was logged and answered already
                    raise
            finally:
                _log(scope, status, time.perf_counter() - started_s, self._unwatched)


def _to_our_shape(status: int, headers: MutableHeaders, scope: Scope, request_id: str) -> bytes:
    """Return the body in place of a library's plain text, and correct the headers."""
    why = "its Host header names another host" if status == 400 else HTTPStatus(status).phrase.lower()
    error = from_status(status, f"The request was refused: {why}.")
    _, body, headers["content-type"] = shape_error(
        surface_of(HTTPConnection(scope)), error, status=status, request_id=request_id
    )
    del headers["content-length"]
    return body


def _log(scope: Scope, status: int | None, seconds: float, unwatched: tuple[str, ...]) -> None:
    if not log.isEnabledFor(logging.INFO) or scope["path"].startswith(unwatched):
        return
    # the route and not the address, which can name documents and people
    route = getattr(scope.get("route"), "path_format", None)
    fields = {"method": scope["method"], "route": route, "status": status, "ms": round(seconds * 1000, 1)}
    log.info("request", extra={logs.FIELDS: fields})


class Authentication:
    """Requires a valid credential for everything but the public paths; without one, no 404 is visible either."""

    # middleware, not a dependency: FastAPI parses the body before it resolves dependencies

    def __init__(self, app: ASGIApp, callers: KeyStore, public: Collection[str], erasures: Erasures) -> None:
        self._app = app
        self._callers = callers
        self._public = public
        self._erasures = erasures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = scope["type"] == "http"
        if scope["type"] != "websocket" and (not http or scope["path"] in self._public):
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
        surface = surface_of(connection)
        if surface and surface.identify:
            return await surface.identify(connection)
        if connection.scope["type"] == "websocket":
            raise Unauthenticated("There is no websocket here.")
        basic = connection.scope["method"] == "GET" and connection.url.path.startswith(BROWSER_PATHS)
        authorization = connection.headers.get("authorization")
        if len(connection.headers.getlist("authorization")) > 1:  # a proxy before us may have checked the other one
            raise Unauthenticated("The request has more than one Authorization header. Send the one that counts.")
        if authorization is None and surface and (key := connection.headers.get(surface.key_header)):
            authorization = f"Bearer {key}"
        return self._callers.authenticate(authorization, basic=basic)
