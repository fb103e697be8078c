"""HTTP clients of the remote adapters, with their timeouts, proxies, keep-alive, size limits and keys."""

from __future__ import annotations

import codecs
import ipaddress
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from foundation.errors import MissingCredential, UpstreamMalformed

if TYPE_CHECKING:
    import httpx2

# Most bytes of one reply: many times the longest reply of a chat model, and 2,048 vectors as JSON
CHAT_BYTES, EMBEDDING_BYTES = 16 << 20, 256 << 20
OPENAI = "https://api.openai.com/v1"


def on_loopback(address: str) -> bool:
    """Whether a URL leads to this machine."""
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def key_for(section: str, model: str, address: str, key: SecretStr | None) -> SecretStr:
    """Return the key to send; for a server on this machine a stand-in, on which the client insists. Raises MissingCredential."""
    if key is not None and key.get_secret_value():
        return key
    if on_loopback(address):
        return SecretStr("none")
    variable = f"SIXPLY__{section.upper().replace('.', '__')}__API_KEY"
    raise MissingCredential(
        f'[{section}] "{model}" at {urlsplit(address).hostname} needs an API key and has none. '
        f"Set {variable} in the environment."
    )


def clients(
    *, connect_s: float, read_s: float, keep_alive: bool, proxies: bool = True, max_bytes: int = CHAT_BYTES
) -> tuple[httpx2.Client, httpx2.AsyncClient]:
    """Return a client for sync and one for async calls. A reply of more than `max_bytes`, or a compressed one, is broken
    off. `read_s` is the longest silence: until the first byte, and between two pieces of a stream.
    """
    import httpx2

    # A few compressed bytes can expand to millions
    def bound(response: httpx2.Response) -> None:
        if (encoding := response.headers.get("content-encoding", "identity").lower()) != "identity":
            raise UpstreamMalformed(
                f"{response.url.host} sent a reply in the encoding {encoding[:50]!r}, unasked. Turn it off there."
            )
        response.stream = bounded_stream(response.stream, max_bytes)

    async def bound_async(response: httpx2.Response) -> None:
        bound(response)

    common: dict[str, Any] = {
        "timeout": httpx2.Timeout(read_s, connect=connect_s),
        # A kept-alive async connection fails in any event loop but the one that opened it, and a process may have several
        "limits": httpx2.Limits(max_keepalive_connections=None if keep_alive else 0),
        "trust_env": proxies,
        # Else the server would choose who gets the prompt
        "follow_redirects": False,
        "headers": {"Accept-Encoding": "identity"},
    }
    return (
        httpx2.Client(event_hooks={"response": [bound]}, **common),
        httpx2.AsyncClient(event_hooks={"response": [bound_async]}, **common),
    )


def bounded_stream(stream: Any, most: int) -> Any:
    """Return a response's body that raises UpstreamMalformed after `most` bytes."""
    import httpx2

    remaining = most

    def take(part: bytes) -> bytes:
        nonlocal remaining
        if remaining == most:  # by the specification of event streams
            part = part.removeprefix(codecs.BOM_UTF8)
        remaining -= len(part)
        if remaining < 0:
            raise UpstreamMalformed(
                f"A server's reply has more than {most:,} bytes and was broken off. Look at what answers there."
            )
        return part

    class Bounded(httpx2.SyncByteStream, httpx2.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return map(take, stream)

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for part in stream:
                yield take(part)

        def close(self) -> None:
            stream.close()

        async def aclose(self) -> None:
            await stream.aclose()

    return Bounded()
