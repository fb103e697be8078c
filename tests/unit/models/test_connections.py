"""What comes from a model server has an end, whoever reads it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import ClassVar

import pytest

from foundation.errors import UpstreamMalformed
from models.resilience.http_clients import clients
from models.resilience.vendor_errors import translate


class _Server(BaseHTTPRequestHandler):
    """Sends as many bytes as the path says, packed if it says so."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.headers.get("Accept-Encoding", ""))
        body = b"a" * int(self.path.rpartition("/")[2])
        packed = "packed" in self.path
        self.send_response(200)
        if packed:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(gzip.compress(body) if packed else body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    made = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    made.server_close()


@pytest.mark.parametrize("path", ["1001", "packed/1", "100000"])
async def test_a_reply_that_is_too_long_or_packed_is_broken_off(server: str, path: str) -> None:
    sync, asynchronous = clients(connect_s=5, read_s=30, keep_alive=False, proxies=False, max_bytes=1000)
    with sync, pytest.raises(UpstreamMalformed):
        sync.get(f"{server}/{path}")
    async with asynchronous:
        with pytest.raises(UpstreamMalformed):
            await asynchronous.get(f"{server}/{path}")


async def test_a_reply_within_the_limit_is_whole_and_asked_for_unpacked(server: str) -> None:
    sync, asynchronous = clients(connect_s=5, read_s=30, keep_alive=False, proxies=False, max_bytes=1000)
    _Server.asked.clear()
    with sync:
        assert len(sync.get(f"{server}/1000").content) == 1000
    async with asynchronous:
        assert len((await asynchronous.get(f"{server}/1000")).content) == 1000
    assert _Server.asked == ["identity", "identity"]


def test_what_our_connections_refuse_keeps_its_words_through_a_vendors_client() -> None:
    outer = RuntimeError("Connection error.")
    outer.__cause__ = UpstreamMalformed("A reply has more bytes.")
    assert str(translate(outer)) == "A reply has more bytes."
    assert isinstance(translate(outer), UpstreamMalformed)
    outermost = RuntimeError("LangChain's own, around the client's.")
    outermost.__cause__ = outer
    assert str(translate(outermost)) == "A reply has more bytes."
