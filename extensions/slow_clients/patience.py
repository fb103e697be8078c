"""Time limits for clients: to send the head of a request, to send its body, and to read its reply.

uvicorn waits forever and accepts a head of any size, so anybody could hold connections without a credential. The limits are those of
Apache's mod_reqtimeout: a fixed time for the head, a minimum rate for bodies and replies.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Minimum rate of a body or a reply, in bytes per second, averaged over the wait so far
LEAST_RATE = 500
# Most seconds for a head, from the opening of the connection or the previous reply, and for a body or a reply that stalls
PATIENCE_S = 20.0
LOOK_S = 1.0
MAX_HEAD_BYTES = 65_536
MAX_HEADERS = 200
# sizes, extensions and trailers of a chunked body, which no limit on bodies counts
MAX_FRAMING_BYTES = 1_000_000


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with limits on slow clients and large heads. Idle connections uvicorn closes itself, after 5 s."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._in_body = False
        self._head_bytes = 0
        self._received = 0
        self._framing = 0
        self._doing: tuple[str, object] | None = None
        self._moved = 0
        self._since_s = 0.0
        self._refusal = ""
        self._look_again: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since_s = self.loop.time()
        self._look_again = self.loop.call_later(LOOK_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_looking()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES + len(data):  # too much even before this piece
                if not self.transport.is_closing():
                    self.send_400_response(self._head_refusal())
                return
        if self._in_body:
            self._framing += len(data)
            if self._framing > MAX_FRAMING_BYTES:
                self.transport.abort()
                return
        super().data_received(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # nobody reads trailers after a body, and uvicorn would keep them
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._framing -= len(body)
        super().on_body(body)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
            raise ValueError(self._head_refusal())  # the parser stops, and uvicorn answers 400
        if [name for name, _ in self.headers].count(b"host") > 1:  # RFC 9112, 3.2: proxies differ in which one counts
            self._refusal = "The request has more than one Host header. Send one."
            raise ValueError(self._refusal)
        self._in_head, self._in_body, self._framing = False, True, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        super().send_400_response(self._refusal or msg)

    def _head_refusal(self) -> str:
        self._refusal = (
            f"The head of the request is larger than {MAX_HEAD_BYTES:,} bytes or has more than {MAX_HEADERS} fields. "
            "Send fewer or shorter headers."
        )
        return self._refusal

    def _look(self) -> None:
        # a websocket now, which has its own pings
        if self.transport.get_protocol() is not self:
            self._stop_looking()
            return
        now_s = self.loop.time()
        doing, moved = self._client_duty()
        moves = moved - self._moved >= LEAST_RATE * (now_s - self._since_s)
        # a head has a fixed time, however fast it comes
        if doing is None or doing != self._doing or (moves and doing[0] != "head"):
            self._doing, self._moved, self._since_s = doing, moved, now_s
        elif now_s - self._since_s > PATIENCE_S:
            self.transport.abort()
            return
        self._look_again = self.loop.call_later(LOOK_S, self._look)

    def _client_duty(self) -> tuple[tuple[str, object] | None, int]:
        """Return the client's duty and its request, with the bytes done. The duty is `None` while it waits for us."""
        unsent = self.transport.get_write_buffer_size()
        if unsent:
            return ("reply", self.cycle), -unsent
        if self.cycle is None or self.cycle.response_complete:
            return ("head", self.cycle), 0
        if self._in_body and not self.flow.read_paused:
            return ("body", self.cycle), self._received
        return None, 0

    def _stop_looking(self) -> None:
        if self._look_again is not None:
            self._look_again.cancel()
            self._look_again = None
