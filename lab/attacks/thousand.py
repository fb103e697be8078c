"""A thousand streams in one moment, twice: each is served whole or told when to come back, and nothing of them stays."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from lab.attacks.contract import Attack, Tried

if TYPE_CHECKING:
    from lab.attacks.victim import Victim

STREAMS, TENANTS = 1000, 10
HEALTH_S = 10.0
PATIENCE_S = 120.0
SETTLED_S = 20.0
"""Until the connections of a crowd are closed on the server's side as well."""
GROWTH_BYTES, MORE_FILES = 40_000_000, 20
QUESTION = "How long does the moon lamp of the thousand run?"
ASKED: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("/v1/answers", {"question": QUESTION, "compose": "extractive"}, "event: answer"),
    ("/v1/chat/completions", {"model": "sixply", "stream": True, "messages": [{"role": "user", "content": QUESTION}]}, "[DONE]"),
    ("/v1/messages", {"model": "sixply", "max_tokens": 500, "stream": True, "messages": [{"role": "user", "content": QUESTION}]}, "message_stop"),
)  # fmt: skip


def stream_at_once(victim: Victim) -> Tried:
    """Open a thousand streams of three vendors' shapes, and look what they end with and what stays of them."""
    tried = Tried()
    keys = [victim.key(f"thea-{number}", "agent", tenant=f"thousand-{number % TENANTS}") for number in range(50)]
    for key in keys[:TENANTS]:
        victim.upload(victim.client(key), "lamp.md", "The moon lamp of the thousand runs for nine hours.")
    _wave(victim, keys, tried)  # what is loaded and remembered at its first use is no leak
    before = _held(victim)
    _wave(victim, keys, tried)
    after = _held(victim, within=before)
    tried.check(held=after[0] <= before[0] + MORE_FILES, otherwise=f"{before[0]} open files became {after[0]}")
    tried.check(held=after[1] <= before[1] + GROWTH_BYTES, otherwise=f"{before[1]:,} bytes became {after[1]:,}")
    answer = victim.ask(victim.client(keys[0], timeout_s=PATIENCE_S), QUESTION)
    tried.check(held="nine hours" in str(answer.get("text")), otherwise=f"afterwards nobody is served: {answer}")
    return tried


def _wave(victim: Victim, keys: list[str], tried: Tried) -> None:
    with victim.watching_health() as longest:
        endings = Counter(asyncio.run(_streams(victim, keys)))
        slowest = longest()
    tried.check(held=slowest < HEALTH_S, otherwise=f"health took {slowest:.0f} s")
    for ending, times in endings.items():
        for _ in range(times):
            tried.check(held=ending in ("whole", "told when to come back"), otherwise=f"a stream ended with {ending}")
    tried.check(held=endings["whole"] > 0, otherwise="nobody was served")


def _held(victim: Victim, within: tuple[int, int] | None = None) -> tuple[int, int]:
    """Open files and bytes, once no connection is left, or once they are within those of earlier."""
    give_up = time.monotonic() + SETTLED_S
    while time.monotonic() < give_up:
        files, held = victim.process.num_fds(), victim.rss_bytes()
        if within and files <= within[0] + MORE_FILES and held <= within[1] + GROWTH_BYTES:
            break
        if not within and sum(it.status == "ESTABLISHED" for it in victim.process.net_connections()) == 0:
            break
        time.sleep(0.2)
    return victim.process.num_fds(), victim.rss_bytes()


async def _streams(victim: Victim, keys: list[str]) -> list[str]:
    return await asyncio.gather(
        *(_stream(victim, keys[place % len(keys)], *ASKED[place % 3]) for place in range(STREAMS))
    )


async def _stream(victim: Victim, key: str, path: str, body: dict[str, Any], last: str) -> str:
    """How a stream ends. Sockets and no client: a thousand clients would take longer than what they ask of the server."""
    host, port = victim.url.removeprefix("http://").split(":")
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {key}\r\nAccept: text/event-stream\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            reads, writes = await asyncio.open_connection(host, int(port))
            writes.write(head.encode() + content)
            reply = (await reads.read(-1)).decode()
            writes.close()
    except OSError as error:
        return type(error).__name__
    headers, _, text = reply.partition("\r\n\r\n")
    if headers.startswith(("HTTP/1.1 503", "HTTP/1.1 429")):
        told = "\r\nretry-after: " in headers.lower()
        return "told when to come back" if told else headers.partition("\r\n")[0]
    return (
        "whole" if last in text and "event: error" not in text else f"{headers.partition(chr(13))[0]} and {text[-100:]}"
    )


def _say_nothing() -> None:
    """Nobody is told when to come back."""
    from foundation import errors

    def none(seconds: float | None) -> float | None:
        return seconds and None

    errors.sensible_wait_s = none


ATTACKS = (
    Attack(
        name="thousand-streams",
        title="a thousand streams at once end without a word, hold up health, or leave files, memory or places behind",
        run=stream_at_once,
        reopen=_say_nothing,
        alone=True,
    ),
)
