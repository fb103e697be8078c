"""One key that fills every place and queue of a server, so that nobody of another tenant is served."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx2 as httpx

from lab.attacks.contract import Attack, Tried
from lab.attacks.victim import Victim

CONNECTIONS = 24
ASKED = 3
PATIENCE_S = 120.0
Send = Callable[[httpx.Client], httpx.Response]
SCHEMA = {"type": "object", "properties": {f"field_{number}": {"type": "integer"} for number in range(5)}}
LONG = "".join(f"Rule {number} of the house is kept by {number} people. " for number in range(500)).encode()


def shut_others_out(victim: Victim) -> Tried:
    """Send what takes long over many connections of one key; meanwhile another tenant sends a few short requests."""
    tried = Tried()
    guest = victim.person("gina", "agent", tenant="flood-guests", timeout_s=PATIENCE_S)
    for kind, floods, asks in (("answers", _fill_object, _ask), ("writes", _upload_long, _upload_short)):
        over, full = threading.Event(), threading.Event()
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            for _ in range(CONNECTIONS):
                pool.submit(_flood, victim, floods, over, full)
            full.wait(PATIENCE_S)
            replies = [asks(guest).status_code for _ in range(ASKED)]
            over.set()
        tried.check(held=full.is_set(), otherwise=f"{kind}: the flood filled nothing")
        for status in replies:
            tried.check(held=status in (200, 201), otherwise=f"{kind}: a guest's request got {status}")
    return tried


def _flood(victim: Victim, send: Send, over: threading.Event, full: threading.Event) -> None:
    with victim.person("mal", "agent", tenant="flood-evil", timeout_s=PATIENCE_S) as client, suppress(httpx.HTTPError):
        while not over.is_set():
            if send(client).status_code == httpx.codes.SERVICE_UNAVAILABLE:
                full.set()


def _fill_object(client: httpx.Client) -> httpx.Response:
    return client.post("/v1/objects", json={"question": "Which?", "text": "9 " * 1_000, "schema": SCHEMA})


def _ask(client: httpx.Client) -> httpx.Response:
    return client.post("/v1/answers", json={"question": "hello there"})


def _upload_long(client: httpx.Client) -> httpx.Response:
    return client.post("/v1/documents", files={"file": (f"{threading.get_ident()}.md", LONG)})


def _upload_short(client: httpx.Client) -> httpx.Response:
    return client.post("/v1/documents", files={"file": ("short.md", b"Lamps stay on.")})


def reopen_shares() -> None:
    """First come, first served, whoever it is."""
    from foundation.types import Principal
    from serving.access.admission import Admission

    place = Admission.place
    setattr(Admission, "place", lambda places, _: place(places, Principal("", "")))  # noqa: B010 - a defence is taken out


ATTACKS = (
    Attack(
        name="flood-of-one-key",
        title="one key fills the places and queues, and nobody of another tenant is served",
        run=shut_others_out,
        reopen=reopen_shares,
        alone=True,
    ),
)
