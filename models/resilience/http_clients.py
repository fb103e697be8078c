"""HTTP clients of the remote adapters, with their timeouts, proxies, keep-alive, size limits and keys."""

from __future__ import annotations

import codecs
import ipaddress
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from foundation.errors import MissingCredential, UpstreamMalformed
from foundation.settings import Section

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


class RemoteOptions(Section):
    section: ClassVar[str]

    model: str
    base_url: str = Field(default=OPENAI, pattern="^https?://")
    """Address with the version: `http://127.0.0.1:8000/v1`."""
    api_key: SecretStr | None = None
    """The API key; needed for any server not on this machine."""
    connect_timeout_s: float = Field(default=5, gt=0)
    read_timeout_s: float = Field(default=60, gt=0)
    """Longest silence in seconds: before a whole reply, and before each piece of a streamed one."""

    def key(self) -> SecretStr:
        """Return the key to send; for a server on this machine a stand-in, on which clients insist. Raises MissingCredential."""
        if self.api_key is not None and self.api_key.get_secret_value():
            return self.api_key
        if on_loopback(self.base_url):
            return SecretStr("none")
        variable = f"SIXPLY__{self.section.upper().replace('.', '__')}__API_KEY"
        raise MissingCredential(
            f'[{self.section}] "{self.model}" at {urlsplit(self.base_url).hostname} needs an API key and has none. '
            f"Set {variable} in the environment."
        )

    def connect(self, **options: Any) -> tuple[httpx2.Client, httpx2.AsyncClient]:
        """Return the HTTP clients of one model, as `clients`; no proxy stands before a server on this machine."""
        proxies = not on_loopback(self.base_url)
        return clients(connect_s=self.connect_timeout_s, read_s=self.read_timeout_s, proxies=proxies, **options)


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


def langchain_arguments(connections: tuple[httpx2.Client, httpx2.AsyncClient]) -> dict[str, Any]:
    """Return the arguments by which LangChain's OpenAI client leaves connections, time limits and retries to us."""
    sync_client, async_client = connections
    return {
        "max_retries": 0,  # attempts.py tries again, for all models alike
        "timeout": sync_client.timeout,
        "stream_chunk_timeout": None,  # its timer loses cancellations before Python 3.12; resilient_chat.py has one that does not
        "http_client": sync_client,
        "http_async_client": async_client,
        "http_socket_options": (),  # of clients that are not used; without it a proxy in the environment gets a warning
    }


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
