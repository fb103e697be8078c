"""Who is too slow, or sends a head that is too large, is given up; nobody else is."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import httpx2
import pytest
import uvicorn

from extensions.slow_clients import patience
from serving.app import create_app
from serving.server import running
from tests.doubles.serving import World, world

pytestmark = pytest.mark.early
WAIT_S = 60.0
"""For what must happen; a limit that is to pass is a second or two."""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LOOK_S", 0.2)
    monkeypatch.setattr(patience, "PATIENCE_S", 1.5)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world(tmp_path_factory.mktemp("patience"), extensions=("slow_clients",))


@pytest.fixture(scope="module")
def url(given: World) -> Iterator[str]:
    with running(given.system) as url:
        yield url


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    host, port = url.removeprefix("http://").split(":")
    with closing(socket.create_connection((host, int(port)), timeout=WAIT_S)) as connection:
        yield connection


def rest(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    parts = []
    try:
        while part := connection.recv(65_536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def post(given: World, *, path: str = "/v1/answers", more: str = "Content-Length: 1000") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {given.agent}\r\n"
        f"Content-Type: application/json\r\n{more}\r\n\r\n"
    ).encode()


@pytest.mark.parametrize("begun", [b"", b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n", b"\r\n"])
def test_a_head_that_is_never_finished_is_given_up(url: str, begun: bytes) -> None:
    with connected(url) as connection:
        connection.sendall(begun)
        assert rest(connection) == b""


def test_a_head_that_trickles_is_given_up(url: str) -> None:
    over = threading.Event()
    with connected(url) as connection:

        def trickle() -> None:
            try:
                connection.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
                while not over.wait(0.1):
                    connection.sendall(b"x")
            except OSError:
                pass

        thread = threading.Thread(target=trickle)
        thread.start()
        assert rest(connection) == b""
        over.set()
        thread.join()


@pytest.mark.parametrize("authorized", [True, False])
def test_a_body_that_never_comes_is_given_up(url: str, given: World, *, authorized: bool) -> None:
    head = post(given) if authorized else post(given).replace(b"Authorization", b"X-Other")
    with connected(url) as connection:
        connection.sendall(head + b'{"question"')
        reply = rest(connection)
    assert reply == b"" if authorized else reply.startswith(b"HTTP/1.1 401")


def test_a_slow_body_that_moves_is_waited_for(url: str, given: World) -> None:
    body = b'{"question": "When does it ship?"' + b" " * 40_000 + b"}"
    with connected(url) as connection:
        connection.sendall(post(given, more=f"Content-Length: {len(body)}\r\nConnection: close"))
        for start in range(0, len(body), 4_000):
            connection.sendall(body[start : start + 4_000])
            time.sleep(0.4)  # longer in all than anybody may stand still
        assert rest(connection).startswith(b"HTTP/1.1 200")


def test_a_reply_that_nobody_fetches_is_given_up(url: str, given: World) -> None:
    headers = {"Authorization": f"Bearer {given.agent}"}
    with httpx2.Client(base_url=url, headers=headers) as api:
        text = b"The double ships on Tuesdays. " * 300_000
        api.post("/v1/documents", files={"file": ("long.md", text)}).raise_for_status()
        document_id = api.get("/v1/documents").json()["documents"][0]["document_id"]
    with connected(url) as connection:
        connection.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF, 262_144
        )  # with less, what lies in the buffers takes minutes to read
        head = post(given, path=f"/v1/documents/{document_id}", more="Content-Length: 0").replace(b"POST", b"GET")
        connection.sendall(head)
        time.sleep(4)
        assert len(rest(connection)) < len(text)


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + b"x" * 70_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X-Many: 1\r\n" * 300 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Endless: " + b"x" * 3_000_000,
    ],
    ids=["long header", "long path", "many headers", "endless header"],
)
def test_a_head_that_is_too_large_is_refused(url: str, head: bytes) -> None:
    with connected(url) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(head)
        reply = rest(connection)
    assert b"is larger than 65,536 bytes" in reply or reply == b""  # the reset can overtake the reply


def test_a_head_that_names_two_hosts_is_refused(url: str) -> None:
    with connected(url) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b"more than one Host header" in rest(connection)


def test_trailers_and_sizes_of_a_chunked_body_are_bounded_too(url: str, given: World) -> None:
    head = post(given, more="Transfer-Encoding: chunked")
    for endless in (b"X-Trailer: " + b"x" * 10_000 + b"\r\n", b"1;" + b"x" * 10_000 + b"\r\n \r\n"):
        sent = 0
        with connected(url) as connection:
            connection.sendall(head + (b"0\r\n" if endless.startswith(b"X") else b""))
            with suppress(BrokenPipeError, ConnectionResetError):
                while sent < 50_000_000:
                    connection.sendall(endless)
                    sent += len(endless)
        assert sent < 50_000_000


def test_a_client_that_keeps_its_connection_is_served_for_longer_than_any_limit(url: str) -> None:
    with httpx2.Client(base_url=url) as api:
        for _ in range(12):
            assert api.get("/health/live").status_code == 200
            time.sleep(0.3)


@pytest.mark.parametrize("on", [True, False])
def test_the_server_speaks_by_the_protocol_with_limits_where_it_is_on(
    tmp_path_factory: pytest.TempPathFactory, *, on: bool
) -> None:
    given = world(tmp_path_factory.mktemp("on or off"), extensions=("slow_clients",) * on)
    app = create_app(given.system)
    config = uvicorn.Config(app)
    app.state.runtime.parts.append(config)

    async def begin() -> None:
        async with app.router.lifespan_context(app):
            pass

    config.load()
    asyncio.run(begin())
    assert (config.http_protocol_class is patience.PatientProtocol) == on
