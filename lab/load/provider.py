"""A chat provider on loopback that takes a known time: what is measured is then the system and not a model.

It speaks as much of OpenAI's chat API as the adapter `openai_compatible` needs, and repeats the first evidence of the
prompt, so that its replies pass the gate. It counts its open connections: a caller who left must leave none behind.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

EVIDENCE = re.compile(r"<evidence>(.*?)</evidence>", re.DOTALL)


class Provider:
    """`delay_s` gives the seconds of each reply. Belongs to the event loop that entered it."""

    def __init__(self, delay_s: Callable[[], float]) -> None:
        self._delay_s = delay_s
        self._server: asyncio.Server | None = None
        self.open = 0
        """Requests that were read and neither answered nor given up."""
        self.given_up = 0

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while asked := await _request(reader):
                self.open += 1
                try:
                    if not await self._answer(asked, reader, writer):
                        self.given_up += 1
                        return
                finally:
                    self.open -= 1
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, asked: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the caller was still there."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._delay_s()):
                await reader.read(1)  # nothing comes before the reply but the end
                return False
        kind = "text/event-stream" if asked.get("stream") else "application/json"
        body = streamed(asked) if asked.get("stream") else json.dumps(reply(asked)).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        return True


def reply(asked: dict[str, Any]) -> dict[str, Any]:
    """A completion that says the first evidence of the prompt again."""
    prompt = str(asked["messages"][-1]["content"])
    found = EVIDENCE.search(prompt)
    text = f"{found[1].strip()} [1]" if found else "The load test's provider has nothing to say."
    usage = {"prompt_tokens": 200, "completion_tokens": 20, "total_tokens": 220}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {
        "id": "load",
        "object": "chat.completion",
        "created": 0,
        "model": "scripted",
        "choices": [choice],
        "usage": usage,
    }


def streamed(asked: dict[str, Any]) -> bytes:
    """The same as a stream of one chunk, its end and its usage."""
    whole = reply(asked)
    frame = {**whole, "object": "chat.completion.chunk"}
    (choice,) = whole["choices"]
    pieces = [{"delta": choice["message"], "finish_reason": None}, {"delta": {}, "finish_reason": "stop"}]
    chunks = [{**frame, "choices": [{"index": 0, **piece}], "usage": None} for piece in pieces]
    chunks.append({**frame, "choices": []})
    return b"".join(f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks) + b"data: [DONE]\n\n"


def spread(low_s: float, high_s: float, seed: int) -> Callable[[], float]:
    """Delays drawn evenly between two bounds."""
    dice = random.Random(seed)
    return lambda: dice.uniform(low_s, high_s)


async def _request(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    body: dict[str, Any] = json.loads(await reader.readexactly(int(length[1]) if length else 0))
    return body
