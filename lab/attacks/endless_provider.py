"""A model server that does not stop talking, as a chat part: `use = "lab.attacks.endless_provider:build"`.

It runs on loopback in the process that it attacks, and does what the words of the question say. What it could send before its
client closed the connection stands in `sent.jsonl` of the data folder, a line a request.
"""

from __future__ import annotations

import json
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from foundation.components import Context, load
from foundation.settings import Part, Section
from lab.attacks.hostile_provider import Quiet, listen
from models.resilience import attempts

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

SENT = "sent.jsonl"
PART = 100_000
MOST = 60_000_000
"""Bytes after which it gives up."""
PACE = 20_000_000
"""Bytes that it sends in a second at most."""
TALKS_S, PAUSE_S = 12.0, 0.1


class Options(Section):
    """There is nothing to choose."""


def build(options: Options, context: Context) -> BaseChatModel:
    """A client of the endless server, which begins to listen."""
    del options
    attempts.BREAKER_FAILURES = 100  # so that a breaker spares the system none of it
    server = listen(_Endless, context.data_dir / SENT)
    part = Part(use="openai_compatible", model="endless", base_url=f"{server}/v1")
    client: BaseChatModel = load("models.chat", part, context)
    return client


class _Endless(Quiet):
    def do_POST(self) -> None:  # noqa: N802
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        word = re.search(rb"(onandon|slowly|wholly|padded)", body)
        self._sent, began = 0, time.monotonic()
        with suppress(OSError):  # the client has left: what we wait for
            getattr(self, f"_{(word or [b'onandon'])[0].decode()}")()
        line = {"sent": self._sent, "seconds": time.monotonic() - began}
        with Path(self.server.stolen).open("a", encoding="utf-8") as written:  # type: ignore[attr-defined]
            written.write(json.dumps(line) + "\n")

    def _onandon(self) -> None:
        """A stream of large pieces."""
        self._begin("text/event-stream")
        while self._sent < MOST:
            self._piece("many words " * (PART // 11))

    def _slowly(self) -> None:
        """A stream of words, as a model writes them."""
        self._begin("text/event-stream")
        for _ in range(int(TALKS_S / PAUSE_S)):
            self._piece("word ")
            time.sleep(PAUSE_S)

    def _padded(self) -> None:
        """A stream of nothing but comments, which keep a connection alive."""
        self._begin("text/event-stream")
        while self._sent < MOST:
            self._write(b": " + b"-" * PART + b"\n\n")

    def _wholly(self) -> None:
        """A reply in one piece."""
        self._begin("application/json")
        self._write(b'{"id":"x","object":"chat.completion","created":1,"model":"endless","choices":[{"index":0,')
        self._write(b'"finish_reason":"stop","message":{"role":"assistant","content":"')
        while self._sent < MOST:
            self._write(b"a" * PART)
        self._write(b'"}}]}')

    def _begin(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()

    def _piece(self, text: str) -> None:
        delta = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
        chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "endless", "choices": [delta]}
        self._write(f"data: {json.dumps(chunk)}\n\n".encode())

    def _write(self, part: bytes) -> None:
        self.wfile.write(part)
        self.wfile.flush()
        self._sent += len(part)
        time.sleep(
            len(part) / PACE
        )  # so that a busy reader is not outrun by what its socket takes in: that would count as read
