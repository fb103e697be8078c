"""Requests with an `Idempotency-Key` are done once, after the IETF's draft and Stripe's API.

The first reply is kept for 24 hours. A temporary failure (429, 5xx) releases the key, and a retry continues the answer that had begun,
in the same conversation, so that nothing is done twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, aclosing, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foundation.clock import Clock, SteadyTime
from foundation.errors import Conflict, InvalidRequest, PersonErased, RequestError, SixplyError, StoreUnavailable
from foundation.machine.worker import this_worker, worker_lives
from foundation.stores.erasures import mark_of
from foundation.stores.sqlite_file import Open, SqliteFile, SqliteStore
from foundation.types import Principal
from orchestration.events import Event
from orchestration.requests import AnswerRequest
from serving.http.bodies import handed_on
from serving.http.errors import CONFLICT, from_http, respond

log = logging.getLogger("sixply.serving")

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
PREFIX = "/v1/"
PATTERN = r"^[\x21-\x7e]{1,255}$"
KEPT = timedelta(hours=24)
# with 5xx, what means "not now": the key is released and the reply is not kept
PASSING = frozenset({401, 403, 408, 409, 429, 499})
# Seconds between attempts to store a reply
AGAIN_S = 1.0
# Seconds in which a replica notices that it lost its claims, and takes them again
CLAIMED_AGAIN_S = 3.0
# Requests of this process that are at work. A row may still say so of one that has failed, where it could not be released
AT_WORK: set[tuple[Path, str, str]] = set()

SCHEMA = """
CREATE TABLE IF NOT EXISTS requests (
    caller    TEXT NOT NULL,
    key       TEXT NOT NULL,
    request   TEXT NOT NULL,
    at        TEXT NOT NULL,
    worker    TEXT,
    thread_id TEXT,
    status    INTEGER,
    media     TEXT,
    body      BLOB,
    PRIMARY KEY (caller, key)
) STRICT;
CREATE INDEX IF NOT EXISTS requests_by_time ON requests (at);
"""


STORE = SqliteStore(
    name="idempotency",
    file="idempotency.sqlite",
    schema=SCHEMA,
    erase_rows=lambda connection, person: (
        connection.execute("DELETE FROM requests WHERE caller = ?", (person.mark,)).rowcount
    ),
    erased="stored replies of the last day",
    shared=True,
)
STORES = (STORE,)


class InFlight(Conflict):
    """409: the first request with this key is still running."""

    retryable = True


class KeyReused(InvalidRequest):
    """422: the key was used before with another request or other rights."""

    code = "idempotency_key_reused"


@dataclass(unsafe_hash=True)  # libraries put exceptions into sets
class FirstReply(Exception):
    """The first reply to a request, at `request.state.first_reply`: raised there in place of doing the request again, once it is
    known that the caller may make it.
    """

    status: int
    media: str
    body: bytes


def to_response(reply: FirstReply) -> Response:
    headers = {REPLAYED: "true", "cache-control": "no-store"} | ({"content-type": reply.media} if reply.media else {})
    return Response(reply.body, status_code=reply.status, headers=headers)


@dataclass
class Attempt:
    """A request in progress under a key, at `request.state.attempt`."""

    store: IdempotencyStore
    caller: str
    key: str
    thread_id: str | None
    """The conversation in which an earlier attempt began its answer; `None` at the first attempt."""
    failed: bool = False
    """A stream with status 200 ended in an error."""
    claim: ExitStack = field(default_factory=ExitStack)  # keeps other replicas from the key

    def resume(self, wanted: AnswerRequest) -> AnswerRequest:
        if self.thread_id is None or wanted.thread_id is not None:
            return wanted
        return wanted.model_copy(update={"thread_id": self.thread_id})

    async def follow(self, events: AsyncIterator[Event]) -> AsyncGenerator[Event, None]:
        """Yield the events of the answer, and store its conversation, from which a retry can continue."""
        self.failed = True
        async with aclosing(events) as stream:  # type: ignore[type-var]
            async for event in stream:
                if event.thread_id and event.thread_id != self.thread_id:
                    self.thread_id = event.thread_id
                    await self.store.began(self)
                self.failed = self.failed and event.kind != "answer"
                yield event


class IdempotencyStore:
    """Keys and first replies, which survive restarts and which workers share: those of the machine, or all replicas."""

    def __init__(self, path: Path, clock: Clock, records: Open = SqliteFile) -> None:
        self._file = records(path, STORE)
        self._shares = hasattr(records, "claim")
        self._claim = getattr(records, "claim", lambda _: nullcontext(enter_result=True))
        self._time = SteadyTime(clock)  # a clock set ahead would release every key
        self._worker = this_worker()
        self._path, self._late = path, list[asyncio.Task[None]]()

    async def begin(self, caller: str, key: str, request: str, *, sure: bool = False) -> Attempt | FirstReply:
        """Take the key, or return its first reply. Raises InFlight: another request holds the key. KeyReused: it was
        used with another request or other rights.
        """
        now, claim, mine = self._time.now(), ExitStack(), (self._path, caller, key)
        free = mine not in AT_WORK

        def take(connection: sqlite3.Connection) -> Attempt | FirstReply | None:
            connection.execute("DELETE FROM requests WHERE at < ?", ((now - KEPT).isoformat(),))
            row = connection.execute("SELECT * FROM requests WHERE caller = ? AND key = ?", (caller, key)).fetchone()
            if row is not None and row["request"] != request:
                raise KeyReused(
                    f"The {HEADER} was sent before with another request, or when you had other roles or groups. Take a new "
                    "key for a new request."
                )
            if row is not None and row["status"] is not None:
                return FirstReply(row["status"], row["media"], row["body"])
            holder = row["worker"] if row is not None else None
            if not free or (holder and holder != self._worker and worker_lives(holder)):
                raise InFlight(
                    f"The first request with this {HEADER} is still at work. Wait for its reply.", retry_after_s=1
                )
            if holder not in {None, self._worker} and self._shares and not sure:
                return None
            connection.execute(
                "INSERT INTO requests (caller, key, request, at, worker) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (caller, key) DO UPDATE SET worker = excluded.worker",
                (caller, key, request, now.isoformat(), self._worker),
            )
            return Attempt(self, caller, key, row["thread_id"] if row else None)

        async with _closing(claim):
            if free:
                AT_WORK.add(mine)
                claim.callback(AT_WORK.discard, mine)
                # what has lost here must not claim: it would keep the key from another replica, where nobody has it
                free = await asyncio.to_thread(claim.enter_context, self._claim(f"{caller} {key}"))
            earlier = await self._file.run(take)
            if isinstance(earlier, Attempt):
                earlier.claim = claim.pop_all()
        if earlier is not None:
            return earlier
        await asyncio.sleep(CLAIMED_AGAIN_S)  # a restart of the database ends claims of the living, too
        return await self.begin(caller, key, request, sure=True)

    async def began(self, attempt: Attempt) -> None:
        await self._update(attempt, "thread_id = ?", attempt.thread_id)

    async def keep(self, attempt: Attempt, reply: FirstReply) -> None:
        """Store the reply. Raises StoreUnavailable: not yet; the key stays taken until it is stored, since the work is done."""
        change = "worker = NULL, status = ?, media = ?, body = ?"
        store = partial(self._update, attempt, change, reply.status, reply.media, reply.body)
        async with _closing(attempt.claim) as claim:
            try:
                await store()
            except (StoreUnavailable, asyncio.CancelledError):
                later = asyncio.create_task(self._insist(claim.pop_all(), store))
                self._late = [later, *(task for task in self._late if not task.done())]
                raise

    async def _insist(self, claim: ExitStack, store: Callable[[], Awaitable[None]]) -> None:
        with suppress(PersonErased):
            async with _closing(claim):
                with suppress(asyncio.CancelledError):  # the server stops
                    while True:
                        await asyncio.sleep(AGAIN_S)
                        with suppress(StoreUnavailable):
                            return await store()
                try:
                    await store()
                except StoreUnavailable:
                    log.exception("the reply under an %s is lost: sent again, its request is done again", HEADER)

    async def release(self, attempt: Attempt) -> None:
        async with _closing(attempt.claim):
            await self._update(attempt, "worker = NULL")

    async def _update(self, attempt: Attempt, change: str, *values: Any) -> None:
        statement = f"UPDATE requests SET {change} WHERE caller = ? AND key = ?"  # noqa: S608 - own words
        await self._file.run(lambda connection: connection.execute(statement, (*values, attempt.caller, attempt.key)))

    def close(self) -> None:
        self._file.close()


@asynccontextmanager
async def _closing(claim: ExitStack) -> AsyncIterator[ExitStack]:
    try:
        yield claim
    finally:
        await asyncio.to_thread(claim.close)  # a database that is silent must not stop the event loop


class Idempotency:
    """ASGI middleware. It runs inside authentication, because a key belongs to a caller."""

    def __init__(self, app: ASGIApp, store: IdempotencyStore) -> None:
        self._app = app
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        counts = scope["type"] == "http" and scope["method"] in METHODS and scope["path"].startswith(PREFIX)
        key = Headers(scope=scope).get(HEADER) if counts else None
        if key is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            if not re.fullmatch(PATTERN, key):
                raise RequestError(f"The {HEADER} must be 1 to 255 printable ASCII characters without spaces.")
            body = await request.body()
            principal: Principal = scope["state"]["principal"]
            fingerprint = _fingerprint(request, body, _rights(request, principal))
            earlier = await self._store.begin(mark_of(principal), key, fingerprint)
        except ClientDisconnect:
            return
        except (HTTPException, SixplyError) as error:  # the limits on bodies raise before any handler is around
            known = from_http(error) if isinstance(error, HTTPException) else error
            await respond(request, known)(scope, receive, send)
            return
        receive = handed_on(body, receive)
        if isinstance(earlier, FirstReply):
            scope["state"]["first_reply"] = earlier
            try:
                await self._app(scope, receive, send)
            except FirstReply as reply:
                await to_response(reply)(scope, receive, send)
            return
        scope["state"]["attempt"] = earlier
        recorded = _Recorder(earlier, send)
        try:
            await self._app(scope, receive, recorded.send)
        finally:
            if not recorded.ended:
                await self._store.release(earlier)


class _Recorder:
    """Records the response on its way to the caller."""

    def __init__(self, attempt: Attempt, send: Send) -> None:
        self._attempt = attempt
        self._send = send
        self._start: Message = {}
        self._parts: list[bytes] = []
        self.ended = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        elif message["type"] == "http.response.body" and not self.ended:
            self._parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                self.ended = True
                # before the last part is sent: who has seen a reply gets the same one again
                await self._end()
        await self._send(message)

    async def _end(self) -> None:
        status: int = self._start["status"]
        store, attempt = self._attempt.store, self._attempt
        media = dict(self._start.get("headers", [])).get(b"content-type", b"").decode("latin-1")
        passing = status >= 500 or status in PASSING or (status == 200 and attempt.failed)
        try:
            if passing:
                await store.release(attempt)
            else:
                await store.keep(attempt, FirstReply(status, media, b"".join(self._parts)))
        except SixplyError:  # the work is done: answer the caller, though a retry gets 409 until the reply is kept
            log.exception("the reply under an %s could not be kept yet", HEADER)


def declare(document: dict[str, Any]) -> None:
    """Add the header and its responses to each operation of the OpenAPI document that accepts it."""
    document["components"].setdefault("parameters", {})[HEADER] = {
        "name": HEADER,
        "in": "header",
        "required": False,
        "schema": {"type": "string", "pattern": PATTERN},
        "description": "Sent again with the same request within a day, the request is not done again: its first reply is "
        "given. A number that you draw for each request, such as a UUID.",
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method.upper() in METHODS and path.startswith(PREFIX):
                reference = f"#/components/parameters/{HEADER}"
                operation["parameters"] = [*operation.get("parameters", []), {"$ref": reference}]
                operation["responses"].setdefault("409", operation["responses"]["400"] | {"description": CONFLICT})


def _rights(request: Request, principal: Principal) -> str:
    # a reply made under other rights is not given
    scope = request.app.state.runtime.system.policy.scope(principal)
    return json.dumps([sorted(principal.roles), sorted(principal.groups), scope.listed_classes])


def _fingerprint(request: Request, body: bytes, rights: str) -> str:
    media, options = parse_options_header(request.headers.get("content-type", ""))
    # clients choose a new boundary for the same form each time
    body = body.replace(boundary, b"") if (boundary := options.get(b"boundary")) else body
    asked_for = (request.method, request.url.path, request.url.query, request.headers.get("accept", ""))
    parts = (*asked_for, media.decode("latin-1"), rights)
    digest = hashlib.sha256(b"\0".join(part.encode("utf-8", "replace") for part in parts) + b"\0")
    digest.update(body)
    return digest.hexdigest()
