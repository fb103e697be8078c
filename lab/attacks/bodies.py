"""Requests whose bodies cost more than they should, and ways in that go past the queue."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2 as httpx

from lab.attacks.contract import Attack, Tried
from lab.attacks.victim import Victim

TENANT = "ceiling"
BAD_LEAF = {"key": "k", "bad": 1}
WRONG = 40_000
"""Wrong values in one body: a second of the server's time, if it checked them."""
CHEAP_S = 2.0
"""Processor time for all bodies of an attack together."""
BODIES: dict[str, Any] = {
    "/v1/search": {"query": "x", "where": {"all": [{"any": [{"all": [BAD_LEAF] * 50}] * 50}] * 16}},
    "/v1/responses": {"model": "sixply", "input": [{"type": "zzz"}] * WRONG},
    "/v1/messages": {"model": "sixply", "messages": [{"role": "user", "content": [{"type": "zzz"}] * WRONG}]},
    "/v1/chat/completions": {"model": "sixply", "messages": [{"type": "zzz"}] * WRONG},
    "/v1/answers": {"question": "x"} | {f"unknown{number}": 1 for number in range(WRONG)},
}


def send_wrong_values(victim: Victim) -> Tried:
    """One body of very many wrong values for each shape of request; and one inside a form."""
    tried = Tried()
    reader, agent = victim.person("wendy", tenant=TENANT), victim.person("wilma", "agent", tenant=TENANT)
    for path, body in BODIES.items():
        reply = reader.post(path, content=json.dumps(body).encode(), headers={"Content-Type": "application/json"})
        tried.check(
            held=reply.status_code == httpx.codes.CONTENT_TOO_LARGE,
            otherwise=f"{path} checked {len(json.dumps(body)):,} bytes of wrong values: {reply.status_code}",
        )
        tried.check(held=len(reply.content) < 10_000, otherwise=f"{path} sent back {len(reply.content):,} bytes")
    attributes = json.dumps({f"k{number}": {} for number in range(WRONG)})
    reply = victim.upload(agent, "attributes.md", "text", attributes=attributes)
    tried.check(
        held=reply.status_code == httpx.codes.CONTENT_TOO_LARGE,
        otherwise=f"the attributes of an upload were checked: {reply.status_code}",
    )
    return tried


def reopen_values() -> None:
    """Let each body through to its schema, however many values it has."""
    from serving.http import bodies

    bodies.MAX_VALUES = bodies.MAX_NESTING = 10**9
    settings_bytes = 10**8
    init = bodies.BodyLimits.__init__

    def unlimited(self: Any, *args: Any, **parts: Any) -> None:
        init(self, *args, **parts)
        self._most_bytes = settings_bytes

    bodies.BodyLimits.__init__ = unlimited  # type: ignore[method-assign]


def call_past_the_queue(victim: Victim) -> Tried:
    """Very many calls at once by the ways in that are not the search route: more must be turned away than served at once."""
    tried = Tried()
    reader = victim.person("mick", tenant=TENANT)
    headers = {"Accept": "application/json, text/event-stream"}

    def call(number: int) -> str:
        arguments = {"query": f"warranty {number}"}
        message = {"name": "search", "arguments": arguments}
        body = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": message}
        return reader.post("/mcp", json=body, headers=headers).text

    with ThreadPoolExecutor(60) as pool:
        replies = list(pool.map(call, range(120)))
    refused = sum("overloaded" in reply for reply in replies)
    tried.check(held=refused > 0, otherwise=f"{len(replies)} searches at once over MCP, none was turned away")
    for name, bad in (("NUL", "a\0b"), ("a surrogate", "a\ud800b")):
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
        body["params"] = {"name": "answer", "arguments": {"question": bad}}
        reply = reader.post("/mcp", content=json.dumps(body), headers=headers | {"Content-Type": "application/json"})
        tried.check(
            held='"isError":true' in reply.text or '"error"' in reply.text,
            otherwise=f"MCP took {name}: {reply.text[:200]}",
        )
    return tried


def reopen_queue() -> None:
    """Serve every call over MCP at once."""
    from contextlib import nullcontext

    from extensions.mcp_server import server

    made = server.mcp_server
    server.mcp_server = lambda *args, **given: made(*args, **(given | {"place": lambda *_: nullcontext()}))


def open_pages(victim: Victim) -> Tried:
    """Open the page again and again, as one person who looks at none of them."""
    tried = Tried()
    client = victim.client()
    client.headers["Origin"] = victim.url
    client.post("/sign-in", data={"key": victim.key("paige", tenant=TENANT)})
    client.get("/")  # loads what the page is made with
    before = victim.rss_bytes()
    for _ in range(300):
        client.get("/")
    grown = victim.rss_bytes() - before
    tried.check(held=grown < 40_000_000, otherwise=f"300 pages that nobody looks at took {grown / 1e6:.0f} MB")
    return tried


def reopen_pages() -> None:
    """Keep every page for a minute."""
    from extensions.page import shell

    shell.make_room = lambda _: None  # type: ignore[assignment]


ATTACKS = (
    Attack(
        name="wrong-values",
        title="one invalid body holds up every caller for seconds",
        run=send_wrong_values,
        reopen=reopen_values,
    ),
    Attack(
        name="past-the-queue",
        title="calls over MCP go past the queue, and may hold what REST refuses",
        run=call_past_the_queue,
        reopen=reopen_queue,
    ),
    Attack(
        name="pages-nobody-sees",
        title="a person fills the memory by opening the page again and again",
        run=open_pages,
        reopen=reopen_pages,
        alone=True,
    ),
)
