"""HTTP clients for the chat adapters: one place that decides on timeouts, proxies and kept-alive connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2


def timeouts(*, connect_s: float, read_s: float) -> httpx2.Timeout:
    """`read_s` is the longest silence: until the first byte, and between two pieces of a stream."""
    import httpx2

    return httpx2.Timeout(read_s, connect=connect_s)


def clients(
    timeout: httpx2.Timeout, *, keep_alive: bool, proxies: bool = True
) -> tuple[httpx2.Client, httpx2.AsyncClient]:
    """A client for sync and one for async calls. Nothing is connected yet.

    A kept-alive async connection belongs to the event loop that opened it and fails in any other, and a process may
    have several loops (a command line, a notebook, tests). So connections are kept only when asked for: a new one costs
    some milliseconds, a reply seconds.
    """
    import httpx2

    limits = httpx2.Limits(max_keepalive_connections=None if keep_alive else 0)
    return (
        httpx2.Client(timeout=timeout, limits=limits, trust_env=proxies, follow_redirects=True),
        httpx2.AsyncClient(timeout=timeout, limits=limits, trust_env=proxies, follow_redirects=True),
    )
