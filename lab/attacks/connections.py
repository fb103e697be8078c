"""Connections that are opened and never used, too slow, or begin with an endless head or with one that two servers read differently."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, suppress

from foundation.components import Context, load
from foundation.settings import Part, Section
from lab.attacks.contract import Attack, Tried
from lab.attacks.victim import Victim

HEAD = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n"
WAIT_S = 12.0
"""The attacked server is told to wait for 3 s, so that the attack is short; in earnest it is 20 s."""
SHORT_S = 3.0


class Options(Section):
    """There is nothing to choose."""


def build(options: Options, context: Context) -> object:
    """The usual double of a chat model, in a server that waits for `SHORT_S` alone."""
    from extensions.slow_clients import patience

    del options
    patience.PATIENCE_S = SHORT_S
    return load("models.chat", Part(use="scripted"), context)


def hold_connections(victim: Victim) -> Tried:
    """Fifty connections each that send nothing, half of a head, or a head without its body."""
    tried = Tried()
    key = victim.key("colin", tenant="ceiling")
    body = b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + key.encode() + b"\r\n"
    kinds = {"nothing": b"", "half of a head": HEAD, "no body": body + b"Content-Length: 100\r\n\r\n{"}
    with ExitStack() as opened:
        connections = [(kind, opened.enter_context(_connection(victim))) for kind in kinds for _ in range(50)]
        for kind, connection in connections:
            connection.sendall(kinds[kind])
        give_up = time.monotonic() + WAIT_S
        for kind, connection in connections:
            connection.settimeout(max(0.01, give_up - time.monotonic()))
            tried.check(held=_is_closed(connection), otherwise=f"a connection with {kind} was still held")
    return tried


def reopen_connections() -> None:
    """Wait for ever, as uvicorn does."""
    from extensions.slow_clients import patience

    def never(self: patience.PatientProtocol) -> None:
        del self

    patience.PatientProtocol._look = never  # type: ignore[method-assign]


def send_endless_heads(victim: Victim) -> Tried:
    """A header that never ends, and trailers that never end."""
    tried = Tried()
    chunked = b"POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    for name, begun in {"header": HEAD + b"X-Endless: ", "trailer": chunked + b"X-Endless: "}.items():
        sent = 0
        with _connection(victim) as connection, suppress(OSError):
            connection.settimeout(WAIT_S)
            connection.sendall(begun)
            while sent < 30_000_000:
                connection.sendall(b"x" * 100_000)
                sent += 100_000
        tried.check(held=sent < 30_000_000, otherwise=f"the server kept {sent:,} bytes of one {name}")
    return tried


def reopen_heads() -> None:
    """Keep a head of any size."""
    from extensions.slow_clients import patience

    patience.MAX_HEAD_BYTES = patience.MAX_FRAMING_BYTES = 10**12


def send_two_of_a_kind(victim: Victim) -> Tried:
    """Two Authorization or Host headers, of which a proxy in front may have looked at the other one."""
    tried = Tried()
    mine, another = (f"Authorization: Bearer {victim.key(who, tenant='two')}\r\n" for who in ("colin", "dora"))
    for more in (another, "Authorization: Bearer none\r\n", "Host: elsewhere.example\r\n", "Host: 127.0.0.1\r\n"):
        with _connection(victim) as connection:
            head = f"GET /v1/conversations HTTP/1.1\r\nHost: 127.0.0.1\r\n{mine}{more}Connection: close\r\n\r\n"
            connection.sendall(head.encode())
            status = connection.recv(65_536).split(b" ", 2)[1]
        tried.check(held=status in (b"400", b"401"), otherwise=f"served with a second {more.partition(':')[0]}")
    return tried


def reopen_two() -> None:
    """Take the first of several, as libraries do."""
    from starlette.datastructures import Headers
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    from extensions.slow_clients import patience

    Headers.getlist = lambda self, key: [self[key]] if key in self else []  # type: ignore[method-assign]
    patience.PatientProtocol.on_headers_complete = HttpToolsProtocol.on_headers_complete  # type: ignore[method-assign]


def _connection(victim: Victim) -> socket.socket:
    host, port = victim.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=WAIT_S)


def _is_closed(connection: socket.socket) -> bool:
    try:
        while connection.recv(65_536):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        pass
    return True


ATTACKS = (
    Attack(
        name="half-open",
        title="connections are held for ever without a credential",
        run=hold_connections,
        reopen=reopen_connections,
        stack='[models.chat]\nuse = "lab.attacks.connections:build"\n',
    ),
    Attack(
        name="endless-head",
        title="a header without end fills the memory without a credential",
        run=send_endless_heads,
        reopen=reopen_heads,
    ),
    Attack(
        name="two-credentials",
        title="a request passes for one person at a proxy, and for another here",
        run=send_two_of_a_kind,
        reopen=reopen_two,
    ),
)
