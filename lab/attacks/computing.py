"""Requests that cost the attacker nothing and are to cost the server minutes of computing."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx2 as httpx
import psutil

from lab.attacks.contract import Attack, Tried
from lab.attacks.victim import Victim

START_S, COMPUTING_S = 20.0, 1.0
"""Until when the server has begun, and how much it has computed by then."""
MOST_S, IDLE_S = 1.5, 0.2
"""Of computing: more than an abandoned request may cost, and less than any work at all takes in a moment."""
GRACE_S = 2.0
SHORT_GRACE = f"[serving.http]\nport = 0\ngrace_s = {GRACE_S}\n"


def _schema(count: int, **kind: Any) -> dict[str, Any]:
    names = [f"field_{number}" for number in range(count)]
    return {"type": "object", "properties": {name: {"description": name, **kind} for name in names}, "required": names}


LONG = {"question": "What is it?", "schema": _schema(100, type="integer"), "text": "1 " * 10_000}
"""Many fields, each with thousands of candidates: the most that the limits on fields and characters let through."""


def slow_patterns(victim: Victim) -> Tried:
    """Patterns with a single star, which are taken, on texts where each place of the text is tried to its end."""
    tried = Tried()
    person = victim.person("pat", tenant="pattern", timeout_s=15)
    for text in ("-" * 19_990 + "xa", "- " * 9_995 + "xa"):
        before = victim.cpu_s()
        body = {
            "question": "What is it?",
            "schema": _schema(8, type="string", pattern=r"\W*\Wx"),
            "text": text,
        }
        try:
            person.post("/v1/objects", json=body)
        except httpx.TimeoutException:
            # On a busy machine the caller has left before five seconds of computing; the server goes on
            end = time.monotonic() + 40
            while victim.cpu_s() - before < 5 and time.monotonic() < end:
                time.sleep(0.5)
        used = victim.cpu_s() - before
        tried.check(held=used < 5, otherwise=f"a pattern kept the server busy for {used:.1f} s of computing")
    return tried


def leave_long_objects(victim: Victim) -> Tried:
    """Objects of the greatest size that is taken; whoever asked does not wait."""
    tried = Tried()
    _hang_up(victim, 4, tenant="endless")
    used = _computed_for_nobody(victim)
    tried.check(held=used < MOST_S, otherwise=f"{used:.1f} s and more of computing for nobody")
    answer = victim.person("other", tenant="elsewhere").post("/v1/answers", json={"question": "Who is there?"})
    tried.check(held=answer.status_code == httpx.codes.OK, otherwise=f"another tenant got {answer.status_code}")
    return tried


def keep_alive_at_the_end(victim: Victim) -> Tried:
    """Stop the server while long objects are being made."""
    tried = Tried()
    _hang_up(victim, 3, tenant="undying", stop=lambda: victim.process.send_signal(signal.SIGTERM))
    began = time.monotonic()
    with suppress(psutil.TimeoutExpired):
        victim.process.wait(GRACE_S + 8)
    waited = time.monotonic() - began
    tried.check(held=not victim.process.is_running(), otherwise=f"still alive {waited:.0f} s after SIGTERM")
    return tried


def _computed_for_nobody(victim: Victim) -> float:
    """Seconds of computing from now on until there is none to speak of, or more than `MOST_S`."""
    time.sleep(0.5)
    before = latest = victim.cpu_s()
    while latest - before < MOST_S:
        time.sleep(1.5)
        now = victim.cpu_s()
        if now - latest < IDLE_S:
            break
        latest = now
    return latest - before


def _hang_up(victim: Victim, count: int, *, tenant: str, stop: Callable[[], None] = lambda: None) -> None:
    """Ask for long objects, and leave all of them once they are being computed."""
    key, before, body = victim.key("ina", tenant=tenant), victim.cpu_s(), json.dumps(LONG).encode()
    port = int(victim.url.rpartition(":")[2])
    head = (
        f"POST /v1/objects HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    callers = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for caller in callers:
        caller.sendall(head.encode() + body)
    give_up = time.monotonic() + START_S
    while victim.cpu_s() - before < COMPUTING_S and time.monotonic() < give_up:
        time.sleep(0.05)
    stop()
    for caller in callers:
        caller.close()


def reopen_patterns() -> None:
    """A search may take as long as it takes."""
    from foundation.text import patterns

    patterns.PATTERN_S = 1e6


def reopen_abandoned() -> None:
    """Work in a thread goes on to its end, whoever still waits for it."""
    from extensions.objects import objects
    from foundation.machine.deadline import Deadline

    Deadline.end = lambda _: None  # type: ignore[method-assign, assignment]
    objects.READING_S = 1e6


def reopen_end() -> None:
    """The same, and the process waits for its threads."""
    from serving import server

    reopen_abandoned()
    server.LAST_S = 1e6


ATTACKS = (
    Attack(
        name="slow-patterns",
        title="a reader's pattern keeps the server busy for minutes",
        run=slow_patterns,
        reopen=reopen_patterns,
    ),
    Attack(
        name="abandoned-objects",
        title="objects that nobody waits for any more are computed to their end",
        run=leave_long_objects,
        reopen=reopen_abandoned,
    ),
    Attack(
        name="no-end-at-sigterm",
        title="long computing keeps the server alive after its grace period",
        run=keep_alive_at_the_end,
        reopen=reopen_end,
        stack=SHORT_GRACE,
        alone=True,
    ),
)
