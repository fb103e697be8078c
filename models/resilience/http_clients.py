"""HTTP clients for the remote adapters: one place that decides on timeouts, proxies, kept-alive connections and keys."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import SecretStr

from foundation.errors import MissingCredential

if TYPE_CHECKING:
    import httpx2

OPENAI = "https://api.openai.com/v1"
"""Where the adapters for OpenAI's API ask unless they are told otherwise."""


def on_loopback(address: str) -> bool:
    """Whether a URL leads to this machine."""
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def key_for(section: str, model: str, address: str, key: SecretStr | None) -> SecretStr:
    """The key to send. On this machine none is needed, but the client insists on one; such a server ignores it.

    Raises:
        MissingCredential: there is none for a server elsewhere.
    """
    if key is not None and key.get_secret_value():
        return key
    if on_loopback(address):
        return SecretStr("none")
    variable = f"SIXPLY__{section.upper().replace('.', '__')}__API_KEY"
    raise MissingCredential(
        f'[{section}] "{model}" at {urlsplit(address).hostname} needs an API key and has none. '
        f"Set {variable} in the environment."
    )


def timeouts(*, connect_s: float, read_s: float) -> httpx2.Timeout:
    """`read_s` is the longest silence: until the first byte, and between two pieces of a stream."""
    import httpx2

    return httpx2.Timeout(read_s, connect=connect_s)


def clients(
    timeout: httpx2.Timeout, *, keep_alive: bool, proxies: bool = True
) -> tuple[httpx2.Client, httpx2.AsyncClient]:
    """A client for sync and one for async calls. Nothing is connected yet. They follow no redirect: whoever answers at the
    configured address would otherwise choose who gets the prompt.

    A kept-alive async connection belongs to the event loop that opened it and fails in any other, and a process may
    have several loops (a command line, a notebook, tests). So connections are kept only when asked for: a new one costs
    some milliseconds, a reply seconds.
    """
    import httpx2

    limits = httpx2.Limits(max_keepalive_connections=None if keep_alive else 0)
    return (
        httpx2.Client(timeout=timeout, limits=limits, trust_env=proxies, follow_redirects=False),
        httpx2.AsyncClient(timeout=timeout, limits=limits, trust_env=proxies, follow_redirects=False),
    )
