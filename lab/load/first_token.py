"""The time to the first word of a streamed answer, behind the provider's own, while 1, 10 and 50 people listen.

The provider is the double of this folder, which says its first word after a known time and then goes on word by word. The same callers
ask it directly, through the server with its default places, and through a peer: a route of FastAPI that passes LangChain's stream on and
does nothing else.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2

from lab.load.provider import Provider
from lab.load.report import Order, Progress, Server, server_on
from lab.load.server_process import QUESTIONS
from serving.cli import terminal

STREAMS = (1, 10, 50)
FIRST_S, WORD_S = 2.0, 0.05
WORDS = ["This", "double", "of", "a", "provider", "says", "some", "words."] * 8
"""Some three seconds of words, at 20 a second."""
LEAST = 10
"""Answers for each number of streams, however few they are."""
PROFILE = {"tool_calling": True, "max_input_tokens": 100_000}


class Telling(Provider):
    """Streams its words as they would be written."""

    async def _answer(self, asked: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        del reader
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        await asyncio.sleep(self._delay_s())
        frame = {"id": "first", "object": "chat.completion.chunk", "created": 0, "model": asked["model"]}
        usage = {"prompt_tokens": 200, "completion_tokens": len(WORDS), "total_tokens": 200 + len(WORDS)}
        for number, word in enumerate([*WORDS, ""]):
            # a tokenizer's words begin with the space
            delta: dict[str, Any] = {"role": "assistant", "content": f" {word}" if number else word} if word else {}
            piece = {"index": 0, "delta": delta, "finish_reason": None if word else "stop"}
            writer.write(f"data: {json.dumps({**frame, 'choices': [piece]})}\n\n".encode())
            await writer.drain()
            await asyncio.sleep(WORD_S)
        writer.write(f"data: {json.dumps({**frame, 'choices': [], 'usage': usage})}\n\ndata: [DONE]\n\n".encode())
        await writer.drain()
        return False  # and the connection ends


async def measure(order: Order, rounds: int, progress: Progress) -> dict[str, Any]:
    """For each number of streams the first words of `rounds` answers of each, in ms, from the provider and through the server."""
    order.data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="first-token-", dir=order.data_dir) as folder:
        homes = replace(order, data_dir=Path(folder))
        async with Telling(lambda: FIRST_S) as provider:
            chat = {"use": "openai_compatible", "model": "a double", "base_url": provider.url, "profile": PROFILE}
            async with server_on(homes, "server", provider, models={"chat": chat}) as server:
                report = {}
                for number, streams in enumerate(STREAMS):
                    progress(f"{streams} streams", number, len(STREAMS))
                    report[str(streams)] = await _compare(provider, server, streams, max(LEAST, rounds * streams))
    return {"provider_first_word_ms": FIRST_S * 1000, "streams": report}


async def _compare(provider: Provider, server: Server, streams: int, calls: int) -> dict[str, Any]:
    asked = {"model": "a double", "stream": True, "messages": [{"role": "user", "content": QUESTIONS[0]}]}
    answers = [{"question": f"{QUESTIONS[number % len(QUESTIONS)]} ({number})"} for number in range(calls)]
    key = {"Authorization": f"Bearer {server.told['key']}", "Accept": "text/event-stream"}
    own = await _listen(f"{provider.url}/chat/completions", {}, [asked] * calls, streams, '"content"')
    computed = [server.cpu_s()]
    bare = await _listen(f"{server.told['empty_url']}/v1/words", {}, answers, streams, '"token"')
    computed.append(server.cpu_s())
    ours = await _listen(f"{server.told['url']}/v1/answers", key, answers, streams, '"token"')
    computed.append(server.cpu_s())
    per_answer = [(end - start) * 1000 / calls for start, end in pairwise(computed)]
    cpu = dict(zip(("peer_cpu_ms", "server_cpu_ms"), per_answer, strict=True))
    found: dict[str, Any] = {"n": len(ours["ms"]), "statuses": ours["statuses"], **cpu}
    for name, share in (("p50", 0.5), ("p95", 0.95)):
        at_provider, at_peer, at_caller = (_quantile(times["ms"], share) for times in (own, bare, ours))
        found[name] = {
            "provider_ms": at_provider,
            "peer_ms": at_peer,
            "caller_ms": at_caller,
            "behind_ms": at_caller - at_provider,
        }
    return found


async def _listen(
    url: str, headers: Mapping[str, str], bodies: Sequence[Mapping[str, Any]], streams: int, word: str
) -> dict[str, Any]:
    """Ask everything with so many at once, each to its end and none at the same moment; the times until a line with `word` came."""
    waiting, times, statuses = list(bodies), [], Counter[str]()
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)

    async with httpx2.AsyncClient(headers=headers, timeout=120, trust_env=False, limits=limits) as client:

        async def ask_on(number: int) -> None:
            await asyncio.sleep(number / streams * (FIRST_S + WORD_S * len(WORDS)))
            while waiting:
                body, begun = waiting.pop(), time.perf_counter()
                async with client.stream("POST", url, json=body) as reply:
                    statuses[str(reply.status_code)] += 1
                    first = None
                    async for line in reply.aiter_lines():
                        if first is None and line.startswith("data: ") and word in line:
                            first = time.perf_counter() - begun
                if first is not None:
                    times.append(first * 1000)

        await asyncio.gather(*(ask_on(number) for number in range(streams)))
    return {"ms": times, "statuses": dict(statuses)}


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def run(order: Order, rounds: int, json: Path | None) -> bool:
    """Measure and show. Whether each caller was answered."""
    with terminal.progress() as progress:
        report = asyncio.run(measure(order, rounds, progress))
    if not terminal.write_json(json, report):
        times = [f"{name} {share} ms" for share in ("p50", "p95") for name in ("provider", "peer", "caller", "behind")]
        columns = ["streams", "n", *times, "peer cpu ms", "server cpu ms", ""]
        terminal.show_table(columns, [_row(streams, found) for streams, found in report["streams"].items()])
    return all(found["statuses"] == {"200": found["n"]} for found in report["streams"].values())


def _row(streams: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    times = [
        f"{found[share][name]:.0f}"
        for share in ("p50", "p95")
        for name in ("provider_ms", "peer_ms", "caller_ms", "behind_ms")
    ]
    computed = [f"{found[name]:.0f}" for name in ("peer_cpu_ms", "server_cpu_ms")]
    return (streams, str(found["n"]), *times, *computed, str(found["statuses"]))
