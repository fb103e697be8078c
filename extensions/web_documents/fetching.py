"""Fetching of documents from web addresses, guarded against server-side request forgery (SSRF).

An address could make us call what only this machine can reach: a cloud's metadata, a database on loopback, a printer.
So the name is resolved once, *every* address that it has must be public, and the connection goes to the one that was
checked; each redirect is checked like the first.
"""

from __future__ import annotations

import asyncio
import ipaddress
import mimetypes
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

from extensions.web_documents.settings import WebDocumentsSettings
from foundation.errors import DocumentRefused, InvalidRequest, PolicyDenied, TooLarge, UpstreamDown, UpstreamTimeout
from retrieval.documents import ParseLimits, Source
from retrieval.ingest.parsing import CORE, supported_suffixes

if TYPE_CHECKING:
    import httpx2

# (host, port) -> its IP addresses, as texts
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_SECTION = "[web_documents]"
# Most redirects that are followed, and the time limit with all of them
REDIRECTS, TIMEOUT_S = 3, 20.0
_REDIRECTS = (301, 302, 303, 307, 308)
# All assigned public IPv6 addresses; Python calls some others global that are site-local or not routed
_INTERNET = ipaddress.ip_network("2000::/3")
# Networks from the special-purpose registries (RFC 6890) that Python calls global and that serve no documents
_SPECIAL = tuple(
    ipaddress.ip_network(network)
    for network in (
        "2002::/16",  # 6to4: embeds an IPv4 address, whose target is unknown here
        "2001::/23",  # protocol assignments: Teredo, which carries one too, ORCHID, anycast of the nearest router
        "3fff::/20",  # documentation (RFC 9637), which Python 3.11 to 3.14 do not all know
        "2620:4f:8000::/48",  # AS112, a sink
        "192.0.0.0/24",  # protocol assignments, of which Python calls the anycast of the nearest router global
        "192.88.99.0/24",  # the nearest 6to4 relay
        "192.31.196.0/24",  # AS112
        "192.175.48.0/24",  # AS112
        "192.52.193.0/24",  # the nearest multicast relay
    )
)
# Media types that servers send for unknown files; the suffix of the address then decides
_VAGUE = ("application/octet-stream", "binary/octet-stream", "text/plain", "")
_SUFFIXES = {
    "application/csv": ".csv",
    "application/x-ndjson": ".ndjson",
    "application/xhtml+xml": ".xhtml",
    "text/html": ".html",
    "text/markdown": ".md",
    "text/x-markdown": ".md",
    "text/plain": ".txt",
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """A document from the requested `address`, which names it; the suffix of the file's `name` chooses the parser."""

    address: str
    content: bytes
    name: str
    media_type: str

    def source(self, tenant: str, groups: frozenset[str]) -> Source:
        parts = urlsplit(self.address)
        origin = f"{parts.scheme}://{parts.netloc}"
        return Source(uri=self.address, tenant=tenant, groups=groups, media_type=self.media_type, origin=origin)


def fetch(
    address: str,
    settings: WebDocumentsSettings,
    *,
    max_bytes: int,
    limits: ParseLimits = CORE,
    resolve: Resolve | None = None,
) -> Fetched:
    """Fetch a document, if a parser of `limits` reads it. It runs an event loop, so call it in a thread where one is running.

    Raises PolicyDenied: it may not be fetched from there. InvalidRequest: it is no address, or holds a
    password. DocumentRefused: no parser reads its type. TooLarge, UpstreamDown, UpstreamTimeout.
    """
    import httpx2

    try:
        return asyncio.run(_follow(address, settings, max_bytes, resolve or _resolve, supported_suffixes(limits)))
    except TimeoutError as error:
        raise UpstreamTimeout(
            f"{address} was not there within {TIMEOUT_S:g} s. Try again, or download the file and ingest that."
        ) from error
    except httpx2.HTTPError as error:
        what = str(error) or type(error).__name__
        raise UpstreamDown(f"{address} could not be fetched: {what}. Check the address, or try again.") from error


async def _follow(
    address: str, settings: WebDocumentsSettings, max_bytes: int, resolve: Resolve, readable: Sequence[str]
) -> Fetched:
    import httpx2

    here = address
    # One limit of time for the whole, so that a slow server cannot hold us; a proxy would resolve the name again
    async with asyncio.timeout(TIMEOUT_S), httpx2.AsyncClient(trust_env=False, timeout=None) as client:
        for _ in range(REDIRECTS + 1):
            # To the address that was checked, so that a name which resolves otherwise a moment later changes nothing
            request = await _request_to_checked_ip(client, here, settings, resolve)
            response = await client.send(request, stream=True, follow_redirects=False)
            async with aclosing(response):
                if response.status_code not in _REDIRECTS:
                    return await _read_answer(response, address, here, max_bytes, readable)
                here = urljoin(here, response.headers.get("location", ""))
    raise PolicyDenied(f"{address} redirects more than {REDIRECTS} times. Name the address where it ends.")


async def _request_to_checked_ip(
    client: httpx2.AsyncClient, address: str, settings: WebDocumentsSettings, resolve: Resolve
) -> httpx2.Request:
    scheme, host, port, path = _parts(address, settings)
    ip = await _checked_ip(host, port, settings, resolve)
    shown = f"[{ip}]" if ":" in ip else ip
    default = {"https": 443, "http": 80}[scheme]
    headers = {
        "Host": host if port == default else f"{host}:{port}",
        "User-Agent": "sixply-ingest",
        "Accept": "*/*",
        "Accept-Encoding": "identity",  # compressed content could be a bomb
    }
    url = f"{scheme}://{shown}:{port}{path}"
    return client.build_request("GET", url, headers=headers, extensions={"sni_hostname": host})


def _parts(address: str, settings: WebDocumentsSettings) -> tuple[str, str, int, str]:
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").encode("idna").decode("ascii") if parts.hostname else ""
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except (ValueError, UnicodeError) as error:
        raise InvalidRequest(f"{address[:200]!r} is no address: {error}. Write https://host/path.") from error
    if parts.scheme not in settings.schemes:
        raise _refusal(address, f"its scheme is {parts.scheme!r}; allowed: {', '.join(settings.schemes)}", "schemes")
    if not host:
        raise InvalidRequest(f"{address[:200]!r} names no host. Write https://host/path.")
    if parts.username or parts.password:
        raise InvalidRequest("The address carries a name and a password. Leave them out: they would be stored with it.")
    if port not in settings.ports:
        raise _refusal(address, f"its port is {port}; allowed: {', '.join(map(str, settings.ports))}", "ports")
    if settings.hosts and not any(_is_below(host, allowed) for allowed in settings.hosts):
        raise _refusal(address, f"{host} is not among the hosts allowed", "hosts")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.scheme, host, port, path


def _is_below(host: str, allowed: str) -> bool:
    """
    >>> _is_below("a.example.com", ".example.com"), _is_below("badexample.com", ".example.com")
    (True, False)
    """
    host, allowed = host.lower().rstrip("."), allowed.lower()
    return host.endswith(allowed) if allowed.startswith(".") else host == allowed


async def _checked_ip(host: str, port: int, settings: WebDocumentsSettings, resolve: Resolve) -> str:
    try:
        addresses = await resolve(host, port)
    except OSError as error:
        raise UpstreamDown(f"{host} has no address: {error}. Check its spelling.") from error
    if not addresses:
        raise UpstreamDown(f"{host} has no address. Check its spelling.")
    for ip in addresses:
        if not is_public(ip) and not any(ipaddress.ip_address(ip) in listed for listed in settings.networks):
            raise _refusal(host, f"{ip}, which it leads to, is not a public address", "networks")
    return addresses[0]


async def _resolve(host: str, port: int) -> list[str]:
    rows = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(row[4][0]).partition("%")[0] for row in rows]


def is_public(ip: str) -> bool:
    """Whether the IP address is public.

    >>> is_public("93.184.216.34"), is_public("127.0.0.1"), is_public("169.254.169.254"), is_public("::ffff:10.0.0.1")
    (True, False, False, False)
    """
    address = ipaddress.ip_address(ip)
    address = getattr(address, "ipv4_mapped", None) or address
    if any(address in network for network in _SPECIAL) or (address.version == 6 and address not in _INTERNET):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


async def _read_answer(
    response: httpx2.Response, address: str, here: str, max_bytes: int, readable: Sequence[str]
) -> Fetched:
    if response.status_code != 200:
        raise UpstreamDown(f"{here} answered {response.status_code}. Check the address, or try again.")
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    name = _name(here, media_type, readable)
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise UpstreamDown(f"{here} sends it packed although asked not to. Download the file and ingest that.")
    content = bytearray()
    async for block in response.aiter_raw():
        content += block
        if len(content) > max_bytes:
            raise TooLarge(f"{here} holds more than {max_bytes:,} bytes. Raise retrieval.parsing.max_bytes.")
    return Fetched(address.partition("#")[0], bytes(content), name, media_type or "application/octet-stream")


def _name(address: str, media_type: str, readable: Sequence[str]) -> str:
    path = PurePosixPath(unquote(urlsplit(address).path))
    suffix = _SUFFIXES.get(media_type) or mimetypes.guess_extension(media_type) or ""
    if media_type in _VAGUE and path.suffix.lower() in readable:
        suffix = path.suffix.lower()
    if suffix not in readable:
        raise DocumentRefused(
            f"{address} is of the type {media_type or 'unknown'}, which no parser reads. Supported: {', '.join(readable)}.",
            reason="unsupported",
        )
    return f"{path.stem or 'index'}{suffix}"


def _refusal(address: str, why: str, setting: str) -> PolicyDenied:
    return PolicyDenied(f"{address[:200]} may not be fetched: {why}. {_SECTION} {setting} says what may be.")
