"""A model server that does not stop talking, and a stop while it talks."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2 as httpx

from lab.attacks.contract import Attack, Tried
from lab.attacks.endless_provider import SENT, TALKS_S
from lab.attacks.victim import Victim

TENANT = "streams"
STACK = """
[models.chat]
use = "lab.attacks.endless_provider:build"
[models.resilience]
attempts = 1
"""
TEXT_BYTES, BODY_BYTES = 10_000_000, 30_000_000
"""More than may be sent of a text and of any reply, with what is on the way in the buffers of a socket."""
STOPPED_S = TALKS_S / 2
SCHEMA = {
    "type": "object",
    "properties": {"colour": {"type": "string", "pattern": "^(red|blue)$", "description": "colour of the lamp"}},
    "required": ["colour"],
}


def talk_on(victim: Victim) -> Tried:
    """Send text without end for an answer of 256 tokens."""
    tried = Tried()
    agent = victim.person("otto", "agent", tenant=TENANT)
    victim.upload(agent, "lamp.md", "The moon lamp of onandon runs for nine hours.")
    before = victim.rss_bytes()
    for _ in range(2):
        victim.ask(agent, "How long does the moon lamp of onandon run?", compose="generative")
    for line in _sent(victim, 2):
        tried.check(held=line["sent"] < TEXT_BYTES, otherwise=f"{line['sent']:,} bytes of text were taken")
    grown = victim.rss_bytes() - before
    tried.check(held=grown < 300_000_000, otherwise=f"the memory grew by {grown:,} bytes")
    return tried


def send_large_replies(victim: Victim) -> Tried:
    """Send a reply in one piece, and a stream of nothing but comments."""
    tried = Tried()
    agent = victim.person("lars", "agent", tenant=TENANT)
    before = victim.rss_bytes()
    body = {"question": "Which colour has the lamp of wholly?", "text": "A wholly made lamp.", "schema": SCHEMA}
    agent.post("/v1/objects", json=body)
    victim.upload(agent, "lamp.md", "The moon lamp of padded runs for nine hours.")
    victim.ask(agent, "How long does the moon lamp of padded run?", compose="generative")
    for line in _sent(victim, 2):
        tried.check(held=line["sent"] < BODY_BYTES, otherwise=f"{line['sent']:,} bytes of a reply were taken")
    grown = victim.rss_bytes() - before
    tried.check(held=grown < 300_000_000, otherwise=f"the memory grew by {grown:,} bytes")
    return tried


def talk_after_the_stop(victim: Victim) -> Tried:
    """Stop a tenant while the model writes for it."""
    tried = Tried()
    agent, operator = victim.person("tess", "agent", tenant=TENANT), victim.person("opal", "operator", tenant=TENANT)
    victim.upload(agent, "lamp.md", "The moon lamp of slowly runs for nine hours.")
    question = {"question": "How long does the moon lamp of slowly run?", "compose": "generative"}
    shape = {"question": "Which colour has the lamp of slowly?", "text": "A slowly made lamp.", "schema": SCHEMA}
    for path, body in (("/v1/answers", question), ("/v1/objects", shape)):
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(agent.post, path, json=body)
            time.sleep(2)
            operator.put(f"/v1/stops/tenant:{TENANT}", json={"reason": "It talks."}).raise_for_status()
            began = time.monotonic()
            status = asking.result().status_code
        waited = time.monotonic() - began
        tried.check(held=waited < STOPPED_S, otherwise=f"{path} ended {waited:.0f} s after the stop")
        tried.check(held=status == httpx.codes.SERVICE_UNAVAILABLE, otherwise=f"{path} gave {status}")
        operator.delete(f"/v1/stops/tenant:{TENANT}").raise_for_status()
    for line in _sent(victim, 2):
        tried.check(held=line["seconds"] < TALKS_S - 2, otherwise=f"the model was heard for {line['seconds']:.0f} s")
    return tried


def _sent(victim: Victim, count: int) -> list[dict[str, Any]]:
    """What the server could send, once it has noted the end of `count` requests."""
    path, give_up = victim.data / SENT, time.monotonic() + 2 * TALKS_S
    while time.monotonic() < give_up:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        if len(lines) >= count:
            break
        time.sleep(0.1)
    path.unlink(missing_ok=True)
    return [json.loads(line) for line in lines]


def reopen_room() -> None:
    """A stream may say as much as it says."""
    from models.resilience import streams

    streams.ROOM_PER_TOKEN = 1_000_000


def reopen_bytes() -> None:
    """A reply may have as many bytes as it has."""
    from models.resilience import http_clients

    http_clients.bounded_stream = lambda stream, _: stream  # type: ignore[assignment]


def reopen_stop() -> None:
    """The switches are looked at between the steps of an answer only."""
    from foundation.machine import deadline

    deadline.LOOK_S = 1e6


ATTACKS = (
    Attack(
        name="endless-text",
        title="a model server that does not stop talking fills the memory",
        run=talk_on,
        reopen=reopen_room,
        stack=STACK,
    ),
    Attack(
        name="endless-reply",
        title="a reply of a model server fills the memory",
        run=send_large_replies,
        reopen=reopen_bytes,
        stack=STACK,
    ),
    Attack(
        name="talks-after-stop",
        title="a model goes on writing for a tenant that was stopped",
        run=talk_after_the_stop,
        reopen=reopen_stop,
        stack=STACK,
    ),
)
