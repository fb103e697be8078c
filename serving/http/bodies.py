"""Limits on request bodies: bytes, values and levels of nesting, counted before anything is parsed."""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Collection

from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foundation import names
from foundation.errors import Overloaded, RequestError, TooLarge
from foundation.tracing import annotate
from serving.http.errors import BodyRefused, respond
from serving.settings import HttpSettings

# validating a megabyte of wrong values holds the event loop for seconds, even in a thread
# Maximum values in a JSON body. A conversation of 1,500 messages, or 200 questions with every option, stays below.
MAX_VALUES = 10_000
MAX_NESTING = 64
# memory for the bodies of all requests together, in bodies of `max_body_bytes`
WHOLE_BODIES = 16
# of that memory, for the bodies of one tenant
TENANTS_SHARE = 0.75
PIECE_BYTES = 65_536

# possessive, and an unfinished string matches to the end: no byte is looked at twice
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def check_json(body: bytes, what: str = "The body") -> None:
    """Raises TooLarge: too many values or levels to parse. Linear, some milliseconds a megabyte."""
    if (encoding := json.detect_encoding(body[:4])) not in ("utf-8", "utf-8-sig"):
        # decoded like json.loads: in UTF-16, half of a letter can be a quote
        body = body.decode(encoding, "replace").encode()
    if _values(body) <= MAX_VALUES and _count_brackets(body) <= MAX_NESTING:
        return
    marks = _STRING.sub(b"", body)  # commas and brackets inside strings do not count
    if (values := _values(marks)) > MAX_VALUES:
        raise TooLarge(f"{what} has {values:,} values; at most {MAX_VALUES:,} are taken. Send less at once.")
    if (levels := _levels(marks)) > MAX_NESTING:
        raise TooLarge(f"{what} is nested {levels:,} levels deep; at most {MAX_NESTING} are taken.")


def _count_brackets(body: bytes) -> int:
    return body.count(b"[") + body.count(b"{")


def _values(body: bytes) -> int:
    # an upper bound: each value but the first follows a comma or an opening bracket
    return body.count(b",") + _count_brackets(body) + 1


def _levels(marks: bytes) -> int:
    deepest = level = 0
    for bracket in marks.translate(None, _ALL_BUT_BRACKETS):
        level += 1 if bracket in b"[{" else -1
        deepest = max(deepest, level)
    return deepest


class BodyLimits:
    """Reads, checks and passes on each body that is no upload, within a limit on the memory of all bodies together."""

    def __init__(self, app: ASGIApp, http: HttpSettings, uploads: Collection[str], below: tuple[str, ...]) -> None:
        """`uploads` are paths of routes that take files, which are streamed to disk; `below`: how paths of others begin."""
        self._app, self._uploads, self._below = app, uploads, below
        self._most_bytes = min(http.max_json_bytes, http.max_body_bytes)
        self._room = WHOLE_BODIES * http.max_body_bytes
        self._held: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sizes = (b"content-length", b"transfer-encoding")
        if scope["type"] != "http" or not any(name in sizes for name, _ in scope["headers"]):
            await self._app(scope, receive, send)
            return
        taken, began_s = 0, time.perf_counter()
        principal = scope.get("state", {}).get("principal")
        tenant: str = principal.tenant if principal else ""

        async def receive_counted() -> Message:
            nonlocal taken
            message = await receive()
            if message["type"] == "http.request":
                annotate(names.BODY_WAIT_SECONDS, time.perf_counter() - began_s)
                size = len(message.get("body", b""))
                if not self._has_room(tenant, size):
                    full = "Too many large requests arrive at once. Try again in a moment."
                    raise BodyRefused(Overloaded(full, retry_after_s=1))
                taken += size
                self._held[tenant] += size
            return message

        try:
            await self._pass_on(scope, receive, receive_counted, send)
        finally:
            self._held[tenant] -= taken
            self._held = +self._held  # forgets who holds nothing

    def _has_room(self, tenant: str, size: int) -> bool:
        own, everybodys = self._held[tenant] + size, self._held.total() + size
        return everybodys <= self._room and own <= TENANTS_SHARE * self._room

    async def _pass_on(self, scope: Scope, receive: Receive, receive_counted: Receive, send: Send) -> None:
        if scope["path"] in self._uploads or scope["path"].startswith(self._below):
            await self._app(scope, receive_counted, send)
            return
        try:
            body = await self._whole(scope, receive_counted)
            check_json(body)
        except ClientDisconnect:
            return
        except (BodyRefused, RequestError) as refused:
            error = refused.error if isinstance(refused, BodyRefused) else refused
            await respond(Request(scope), error)(scope, receive, send)
        else:
            await self._app(scope, handed_on(body, receive), send)

    async def _whole(self, scope: Scope, receive: Receive) -> bytes:
        body = bytearray()
        async for piece in Request(scope, receive).stream():
            body += piece
            if len(body) > self._most_bytes:
                raise TooLarge(
                    f"The body is larger than {self._most_bytes:,} bytes ([serving.http] max_json_bytes). Send less at once."
                )
        return bytes(body)


def handed_on(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that replays `body` in pieces, so that no parser blocks the event loop for all of it."""
    pieces = [body[start : start + PIECE_BYTES] for start in range(0, len(body), PIECE_BYTES)] or [b""]
    pieces.reverse()

    async def next_piece() -> Message:
        if not pieces:
            return await receive()
        await asyncio.sleep(0)
        piece = pieces.pop()
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    return next_piece
