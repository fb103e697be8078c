"""The page's connection, joined, spoken to and listened to by somebody who knows another's ids from an access log."""

from __future__ import annotations

import json
import re
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx

from lab.attacks.contract import Attack, Tried
from lab.attacks.victim import Victim

ENGINE = "/_nicegui_ws/socket.io/"
LISTEN_S = 0.5
"""How long to wait for what must not come."""


@dataclass
class Visitor:
    """A signed-in browser, by polling: what it sends is what a browser sends."""

    http: httpx.Client
    page: str = ""
    """Id of its page."""
    button: tuple[int, str] = (0, "")
    """Element and listener of the button "Documents" on it."""
    connection: str = ""
    tab: str = field(default_factory=lambda: str(uuid.uuid4()))

    def open(self) -> None:
        """Open the page and connect to it."""
        html = self.http.get("/").text
        self.page = _group(r"'client_id': '([0-9a-f-]{36})'", html)
        number, listener = re.findall(
            r'"(\d+)":\{"tag":"q-btn"[^{}]*\{"label":"Documents".*?"listener_id":"([0-9a-f-]+)"', html
        )[0]
        self.button = int(number), listener
        self.connect(client_id=self.page)
        self.say("handshake", _handshake(self))

    def connect(self, **query: str) -> int:
        """Open a connection and its namespace; the status."""
        opened = self.http.get(ENGINE, params={"EIO": "4", "transport": "polling", **query})
        if opened.status_code == httpx.codes.OK:
            self.connection = json.loads(opened.text[1:])["sid"]
            self.post("40")
            self.listen()
        return opened.status_code

    def say(self, event: str, message: dict[str, Any]) -> str:
        """Send a message and what came back, with its acknowledgement."""
        self.post("420" + json.dumps([event, message]))
        return self.listen()

    def post(self, text: str, connection: str = "") -> int:
        return self.http.post(ENGINE, params=self._at(connection), content=text).status_code

    def listen(self, connection: str = "") -> str:
        """What the server sends; empty where it sends nothing for a while."""
        with suppress(httpx.TimeoutException):
            reply = self.http.get(ENGINE, params=self._at(connection), timeout=LISTEN_S)
            return reply.text if reply.status_code == httpx.codes.OK else ""
        return ""

    def _at(self, connection: str) -> dict[str, str]:
        return {"EIO": "4", "transport": "polling", "sid": connection or self.connection}


def join_another_page(victim: Victim) -> Tried:
    """Know the id of Hanna's page and of her connection, and be signed in as somebody of another tenant."""
    tried = Tried()
    hanna = _sign_in(victim, "page-hanna", "edges-page")
    victim.upload(victim.person("page-hanna", "agent", tenant="edges-page"), "canarypage.md", "canarypage")
    hanna.open()

    for attacker in (_sign_in(victim, "page-bob", "edges-other"), _sign_in(victim, "page-hanna", "edges-page")):
        status = attacker.connect(client_id=hanna.page)
        tried.check(held=status == httpx.codes.FORBIDDEN, otherwise=f"connected to another session's page: {status}")
        attacker.connect()  # names no page, which is allowed, and then does
        told = attacker.say("handshake", _handshake(hanna))
        tried.check(held="true" not in told, otherwise=f"joined another session's page: {told[:100]}")
        attacker.say("event", _click(hanna))
        heard = attacker.listen() + attacker.listen()
        tried.check(held="canarypage" not in heard, otherwise="was sent another session's documents")
        upload = attacker.http.post(f"/_nicegui/client/{hanna.page}/upload/1", files={"file": ("x.md", b"x")})
        tried.check(held=upload.status_code == httpx.codes.FORBIDDEN, otherwise=f"uploaded to it: {upload.status_code}")
        for what, status in {
            "spoke through": attacker.post("42" + json.dumps(["event", _click(hanna)]), hanna.connection),
            "listened to": attacker.http.get(ENGINE, params=attacker._at(hanna.connection), timeout=30).status_code,
        }.items():
            tried.check(
                held=status == httpx.codes.FORBIDDEN, otherwise=f"{what} another session's connection: {status}"
            )

    tried.check(held="canarypage" not in hanna.listen(), otherwise="another session clicked on this one's button")
    hanna.post("42" + json.dumps(["event", _click(hanna)]))
    shown = ""
    for _ in range(40):
        shown += hanna.listen()
        if "canarypage" in shown:
            break
    tried.check(held="canarypage" in shown, otherwise="the owner cannot use her own page")
    return tried


def _sign_in(victim: Victim, subject: str, tenant: str) -> Visitor:
    browser = victim.client()
    browser.post("/sign-in", data={"key": victim.key(subject, "agent", tenant=tenant)})
    return Visitor(browser)


def _handshake(owner: Visitor) -> dict[str, Any]:
    """All that stands in the address of the owner's websocket."""
    return {"client_id": owner.page, "tab_id": owner.tab, "document_id": str(uuid.uuid4()), "next_message_id": 0}


def _click(owner: Visitor) -> dict[str, Any]:
    element, listener = owner.button
    return {"id": element, "client_id": owner.page, "listener_id": listener, "args": []}


def _group(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found, pattern
    return found[1]


def _take_any_session() -> None:
    from extensions.page import belonging

    belonging._same = lambda *_: True


ATTACKS = (
    Attack(
        name="page-of-another",
        title="a signed-in person joins, hears and uses the page of somebody else, whose id stands in access logs",
        run=join_another_page,
        reopen=_take_any_session,
    ),
)
