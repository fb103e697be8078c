"""Documents from addresses: what is refused before anything is called, and that what is called is what was checked."""

from __future__ import annotations

import functools
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from extensions.web_documents import fetching
from extensions.web_documents.fetching import Fetched, fetch, is_public
from extensions.web_documents.settings import WebDocumentsSettings
from foundation.errors import DocumentRefused, InvalidRequest, PolicyDenied, TooLarge, UpstreamDown, UpstreamTimeout

PAGE = b"<html><body><article><h1>Lamps</h1><p>The moon lamp runs for nine hours.</p></article></body></html>"
ODD = [
    "127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1",
    "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
    "64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1", "ff02::1", "192.0.2.1", "fec0::1", "2001:0:7f00:1::",
    "3fff::1", "3fff:fff::1", "192.88.99.1", "::ffff:192.88.99.1", "192.0.0.9", "192.0.0.10", "192.31.196.1", "192.52.193.1",
    "192.175.48.1", "2001:1::1", "2001:1::2", "2001:3::1", "2001:4:112::1", "2001:20::1", "2001:30::1", "2001:db8::1",
    "2620:4f:8000::1", "198.18.0.1", "5f00::1", "100::1",
]  # fmt: skip


@dataclass
class Site:
    """A server on loopback that the settings of a test allow, and the names that lead to it."""

    port: int
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Path and Host of each request."""
    looked_up: list[str] = field(default_factory=list)
    leads_to: dict[str, Sequence[str]] = field(default_factory=dict)

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        del port
        self.looked_up.append(host)
        found = self.leads_to.get(host, ["127.0.0.1"])
        return found if isinstance(found, list) else next(found)  # type: ignore[call-overload]

    def fetch(self, path: str, *, host: str = "docs.example", max_bytes: int = 10_000, **settings: Any) -> Fetched:
        usual: dict[str, Any] = {
            "networks": ["127.0.0.0/8"],
            "schemes": ["http"],
            "ports": [self.port],
        }
        allowed = WebDocumentsSettings(**(usual | settings))
        return fetch(f"http://{host}:{self.port}{path}", allowed, max_bytes=max_bytes, resolve=self.resolve)


def pages(port: int) -> dict[str, tuple[int, bytes, str, dict[str, str]]]:
    """Path to status, body, type and further headers."""

    def moved(location: str) -> tuple[int, bytes, str, dict[str, str]]:
        return 302, b"", "text/plain", {"Location": location}

    return {
        "/": (200, PAGE, "text/html; charset=utf-8", {}),
        "/guide.html": (200, PAGE, "text/html; charset=utf-8", {}),
        "/notes.md": (200, b"# Notes", "text/plain", {}),
        "/image": (200, b"x", "image/png", {}),
        "/packed": (200, b"x", "text/html", {"Content-Encoding": "gzip"}),
        "/large": (200, b"x" * 20_000, "text/plain", {}),
        "/round": moved("/round"),
        "/moved": moved("/guide.html"),
        "/inward": moved(f"http://metadata.example:{port}/keys"),
        "/file": moved("file:///etc/hostname"),
    }


@pytest.fixture
def site() -> Iterator[Site]:
    release = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append((self.path, self.headers["Host"]))
            path = self.path.split("?")[0]
            if path == "/slow":
                self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                release.wait(60)
            else:
                status, body, media_type, headers = pages(site.port).get(path, (404, b"", "text/plain", {}))
                self.answer(status, body, media_type, **headers)

        def answer(self, status: int, body: bytes, media_type: str, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": media_type, "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site = Site(server.server_port)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield site
        release.set()
        server.shutdown()
        thread.join()


def test_a_page_is_fetched_from_the_address_that_was_checked_and_asked_for_by_its_name(site: Site) -> None:
    fetched = site.fetch("/guide.html?edition=2#part")
    assert (fetched.content, fetched.name, fetched.media_type) == (PAGE, "guide.html", "text/html")
    assert site.asked == [("/guide.html?edition=2", f"docs.example:{site.port}")]
    assert site.looked_up == ["docs.example"], "a second look-up could lead elsewhere"
    source = fetched.source("acme", frozenset({"board"}))
    assert source.uri == f"http://docs.example:{site.port}/guide.html?edition=2"
    assert source.origin == f"http://docs.example:{site.port}"


@pytest.mark.parametrize(("path", "name"), [("/", "index.html"), ("/notes.md", "notes.md")])
def test_the_type_chooses_the_parser_and_the_suffix_where_the_type_says_nothing(
    site: Site, path: str, name: str
) -> None:
    assert site.fetch(path).name == name


def test_redirects_are_followed_within_the_limit(site: Site) -> None:
    assert site.fetch("/moved").content == PAGE
    with pytest.raises(PolicyDenied, match="more than 3 times"):
        site.fetch("/round")
    assert [path for path, _ in site.asked].count("/round") == 4


def test_a_redirect_inward_is_stopped_before_it_is_called(site: Site) -> None:
    site.leads_to["metadata.example"] = ["169.254.169.254"]
    with pytest.raises(PolicyDenied, match=r"169\.254\.169\.254"):
        site.fetch("/inward")
    with pytest.raises(PolicyDenied, match="schemes"):
        site.fetch("/file")
    assert [path for path, _ in site.asked] == ["/inward", "/file"]


def test_a_name_that_resolves_otherwise_a_moment_later_changes_nothing(site: Site) -> None:
    """DNS rebinding: the first look-up is checked, and it is the only one."""
    site.leads_to["docs.example"] = iter([["127.0.0.1"], ["10.0.0.1"]])  # type: ignore[assignment]
    assert site.fetch("/guide.html").content == PAGE
    with pytest.raises(PolicyDenied, match=r"10\.0\.0\.1"):
        site.fetch("/guide.html")


def test_one_inward_address_among_several_is_enough_to_refuse(site: Site) -> None:
    site.leads_to["docs.example"] = ["127.0.0.1", "10.0.0.1"]
    with pytest.raises(PolicyDenied, match=r"10\.0\.0\.1"):
        site.fetch("/guide.html")
    assert site.asked == []


@pytest.mark.parametrize("ip", ODD)
def test_an_address_that_is_not_public_is_never_called(site: Site, ip: str) -> None:
    assert not is_public(ip)
    site.leads_to["docs.example"] = [ip]
    with pytest.raises(PolicyDenied, match="not a public address"):
        site.fetch("/guide.html", networks=[])
    assert site.asked == []


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::1]", "localhost"])
def test_odd_spellings_of_loopback_are_seen_through_by_the_real_resolver(site: Site, host: str) -> None:
    """A resolver either takes them for loopback or for nothing; neither is called."""
    settings = WebDocumentsSettings(schemes=("http",), ports=(site.port,))
    with pytest.raises((PolicyDenied, UpstreamDown)):
        fetch(f"http://{host}:{site.port}/guide.html", settings, max_bytes=10_000)
    assert site.asked == []


@pytest.mark.parametrize("ip", ["93.184.216.34", "192.88.98.1", "2606:4700:4700::1111", "2001:200::1", "2a00:1450::1"])
def test_what_anybody_could_call_is_public(ip: str) -> None:
    assert is_public(ip)


def test_only_the_listed_hosts_schemes_and_ports_are_called(site: Site) -> None:
    assert site.fetch("/guide.html", hosts=[".example"]).content == PAGE
    for denied in ({"hosts": ["other.example"]}, {"ports": [443]}, {"schemes": ["https"]}):
        with pytest.raises(PolicyDenied, match=next(iter(denied))):
            site.fetch("/guide.html", **denied)
    assert len(site.asked) == 1


def test_too_much_the_wrong_type_and_an_error_are_told_apart(site: Site) -> None:
    with pytest.raises(TooLarge):
        site.fetch("/large")
    with pytest.raises(DocumentRefused, match="image/png"):
        site.fetch("/image")
    with pytest.raises(UpstreamDown, match="404"):
        site.fetch("/nothing")
    with pytest.raises(UpstreamDown, match="packed"):
        site.fetch("/packed")


def test_a_server_that_never_finishes_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "TIMEOUT_S", 0.3)
    with pytest.raises(UpstreamTimeout, match=r"within 0\.3 s\. Try again, or download the file"):
        site.fetch("/slow")


@pytest.mark.parametrize(
    "address", ["https://", "https://ann:secret@docs.example/", "https://[::1/", "https://h:99999/"]
)
def test_what_is_no_address_is_told(address: str) -> None:
    with pytest.raises(InvalidRequest):
        fetch(address, WebDocumentsSettings(), max_bytes=1)


def test_the_certificate_is_checked_against_the_name_and_not_against_the_address(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, served = certificate(tmp_path, "docs.example")
    trusting = ssl.create_default_context(cafile=str(authority))
    monkeypatch.setattr(httpx2, "AsyncClient", functools.partial(httpx2.AsyncClient, verify=trusting))
    with secured(served) as port:
        allowed = WebDocumentsSettings(networks=("127.0.0.0/8",), ports=(port,))
        fetched = fetch(f"https://docs.example:{port}/", allowed, max_bytes=10, resolve=site.resolve)
        assert fetched.content == b"Nine hours"
        with pytest.raises(UpstreamDown, match=r"(?i)certificate|hostname"):
            fetch(f"https://other.example:{port}/", allowed, max_bytes=10, resolve=site.resolve)


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for `name`, and the same with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    public = signed.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "authority.pem").write_bytes(public)
    (folder / "served.pem").write_bytes(public + secret)
    return folder / "authority.pem", folder / "served.pem"


@contextmanager
def secured(served: Path) -> Iterator[int]:
    """A server that speaks TLS and says ten bytes."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", "10")
            self.end_headers()
            self.wfile.write(b"Nine hours")

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:  # a client that turns away is what one test wants
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(served)
    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()
