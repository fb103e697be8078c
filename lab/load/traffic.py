"""Callers: an open loop, in which requests come when they are due, whether or not earlier ones were answered.

A generator that waits for replies slows down with the server and hides its overload. So every time here is counted from
the moment when the request was due, not from when it was sent.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2

TIMEOUT_S = 60.0
LOST = 0
"""Status of a request that got no reply at all."""


@dataclass(frozen=True, slots=True)
class Reply:
    due_s: float
    """Since the beginning of its phase."""
    late_s: float
    """Between due and sent: the generator's own fault."""
    seconds: float
    """From due to the end of the reply."""
    status: int
    retry_after: bool


@dataclass(frozen=True)
class Phase:
    """What came of offering `rate` requests a second for `seconds`."""

    rate: float
    seconds: float
    replies: tuple[Reply, ...]

    @property
    def admitted(self) -> list[Reply]:
        return [reply for reply in self.replies if reply.status == 200]

    @property
    def rejected(self) -> list[Reply]:
        return [reply for reply in self.replies if reply.status == 503]

    @property
    def statuses(self) -> dict[str, int]:
        return {str(status): count for status, count in sorted(Counter(one.status for one in self.replies).items())}

    def as_dict(self) -> dict[str, Any]:
        return {
            "offered_per_s": self.rate,
            "seconds": self.seconds,
            "n": len(self.replies),
            "answered_per_s": len(self.admitted) / self.seconds,
            "statuses": self.statuses,
            "p50_ms": quantile_ms(self.admitted, 0.5),
            "p99_ms": quantile_ms(self.admitted, 0.99),
            "rejected_p99_ms": quantile_ms(self.rejected, 0.99),
            "generator_late_p99_ms": _quantile([one.late_s for one in self.replies], 0.99),
        }


def quantile_ms(replies: Sequence[Reply], share: float) -> float | None:
    """Nearest-rank quantile of the replies' times; `None` of none."""
    return _quantile([reply.seconds for reply in replies], share)


def _quantile(seconds: Sequence[float], share: float) -> float | None:
    if not seconds:
        return None
    return sorted(seconds)[min(len(seconds) - 1, int(share * len(seconds)))] * 1000


class Callers:
    """One kind of request, sent as often as wanted."""

    def __init__(self, url: str, key: str, path: str, bodies: Sequence[dict[str, Any]], seed: int = 7) -> None:
        self.url = url
        self._path = path
        self._bodies = [json.dumps(body).encode() for body in bodies]
        self._dice = random.Random(seed)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._client = httpx2.AsyncClient(
            base_url=url, headers=self._headers, timeout=TIMEOUT_S, trust_env=False,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=200),
        )  # fmt: skip

    async def close(self) -> None:
        await self._client.aclose()

    async def offer(self, rate: float, seconds: float, *, progress: Callable[[int], None] | None = None) -> Phase:
        """Requests at random moments (a Poisson process), `rate` a second on average, until `seconds` are over."""
        begun, due, tasks = time.perf_counter(), 0.0, []
        while (due := due + self._dice.expovariate(rate)) < seconds:
            wait = begun + due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.create_task(self._send(begun, due, self._dice.choice(self._bodies))))
            if progress is not None:
                progress(int(due))
        return Phase(rate, seconds, tuple(await asyncio.gather(*tasks)))

    async def capacity(self, callers: int, seconds: float) -> float:
        """Answers a second when so many callers ask one after the other: what the open loop is measured against."""
        begun = time.perf_counter()

        async def one() -> int:
            done = 0
            while time.perf_counter() < begun + seconds:
                reply = await self._send(begun, time.perf_counter() - begun, self._dice.choice(self._bodies))
                done += reply.status == 200
            return done

        counts = await asyncio.gather(*(one() for _ in range(callers)))
        return sum(counts) / (time.perf_counter() - begun)

    async def leave(self, times: int, *, at_once: int, within_s: float, progress: Callable[[int], None]) -> None:
        """Ask and hang up at a random moment, half of the callers on a stream; with a reset, as a lost phone would."""
        limit = asyncio.Semaphore(at_once)

        async def one(number: int) -> None:
            async with limit:
                await self._hang_up(within_s, streamed=number % 2 == 0)
            progress(number)

        await asyncio.gather(*(one(number) for number in range(times)))

    async def listen(self) -> tuple[int, str]:
        """Ask for a stream and hear it out: its status, and the kind of its last event."""
        kind, status = "", LOST
        body = self._dice.choice(self._bodies)
        try:
            async with self._client.stream(
                "POST", self._path, content=body, headers={"Accept": "text/event-stream"}
            ) as response:
                status = response.status_code
                async for line in response.aiter_lines():
                    if line.startswith("event: "):
                        kind = line.removeprefix("event: ")
        except httpx2.HTTPError:
            return status, "cut"
        return status, kind

    async def _send(self, begun: float, due: float, body: bytes) -> Reply:
        sent = time.perf_counter()
        status, retry_after = LOST, False
        try:
            response = await self._client.post(self._path, content=body)
            status, retry_after = response.status_code, "retry-after" in response.headers
        except httpx2.HTTPError:
            pass
        return Reply(due, sent - begun - due, time.perf_counter() - begun - due, status, retry_after)

    async def _hang_up(self, within_s: float, *, streamed: bool) -> None:
        address = urlsplit(self.url)
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        body = self._dice.choice(self._bodies)
        accept = "text/event-stream" if streamed else "application/json"
        head = [
            f"POST {self._path} HTTP/1.1", f"Host: {address.hostname}", f"Accept: {accept}",
            f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in self._headers.items()),
        ]  # fmt: skip
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        await asyncio.sleep(self._dice.uniform(0, within_s))
        raw: socket.socket = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
