"""Who gets through to what: one rule for every route of the app, written here once more, and the attacks on them.

A route that is new in the app and not in `RULES` fails the first test: say who may call it, and what of it is whose.
Numbers such as C11 are those of the attack matrix that the design began with.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from foundation.clock import SystemClock
from foundation.errors import Overloaded
from foundation.extensions import find, installed
from foundation.types import Principal
from serving import runtime
from serving.access.admission import Admission
from serving.access.identity import Access, KeyStore, anyone
from serving.app import create_app
from tests.doubles.rules import ASK, DECIDERS, OPERATORS, PUBLIC, ROLES, WRITERS, Begun, Rule
from tests.doubles.serving import TEXT, World, world

ROOT = Path(__file__).parents[2]

FILE = {"file": ("double.md", TEXT.encode())}
BROUGHT = {
    name: import_module(f"tests.extensions.{name}.rules")
    for name in installed()
    if (ROOT / "tests" / "extensions" / name / "rules.py").is_file()
}
"""What the extensions say of their routes."""
EXTENSIONS = tuple(dict.fromkeys(each for name in BROUGHT for each in (*find(name).requires, name)))

RULES = {
    "POST /v1/answers": Rule(json=ASK, answers=True),
    "POST /v1/search": Rule(json={"query": "ships"}),
    "GET /v1/conversations": Rule(paged=True),
    "GET /v1/conversations/{thread_id}": Rule(paged=True, of_tenant=True, of_person=True),
    "PATCH /v1/conversations/{thread_id}": Rule(json={"title": "Hours"}, of_tenant=True, of_person=True),
    "DELETE /v1/conversations/{thread_id}": Rule(of_tenant=True, of_person=True),
    "GET /v1/usage": Rule(),
    "POST /v1/documents": Rule(WRITERS, files=FILE),
    "POST /v1/documents/retry": Rule(WRITERS),
    "GET /v1/documents": Rule(paged=True),
    "GET /v1/documents/{document_id}": Rule(of_tenant=True),
    "DELETE /v1/documents": Rule(WRITERS, query="uri=double.md", of_tenant=True),
    "GET /v1/approvals": Rule(DECIDERS, paged=True, queued=False),
    "DELETE /v1/approvals/{approval_id}": Rule(of_tenant=True, queued=False),
    "POST /v1/approvals/{approval_id}": Rule(DECIDERS, json={"approve": True}, of_tenant=True, queued=False),
    "GET /metrics": Rule(OPERATORS, queued=False),
    "GET /openapi.json": Rule(OPERATORS),
    "GET /docs": Rule(OPERATORS),
    "GET /docs/{name}": Rule(OPERATORS),
    "GET /health/live": Rule(PUBLIC),
    "HEAD /health/live": Rule(PUBLIC),
    "HEAD /health/ready": Rule(PUBLIC),
    "GET /health/ready": Rule(PUBLIC),
    **{name: rule for brought in BROUGHT.values() for name, rule in brought.RULES.items()},
}
KEYED = {name: rule for name, rule in RULES.items() if not rule.who & PUBLIC}
OURS = {
    "answer_id": "a-1", "thread_id": "t-1", "document_id": "doc-1", "approval_id": "ap-1",
    "what": "effects", "name": "favicon.png",
    **{kind: known for brought in BROUGHT.values() for kind, known in getattr(brought, "OURS", {}).items()},
}  # fmt: skip
"""What is there, all of it in the tenant north."""
IDS = [known for kind, known in OURS.items() if kind.endswith("_id")]
BEGUN = [begun for brought in BROUGHT.values() for begun in getattr(brought, "BEGUN", ())]
ABSENT = dict.fromkeys(OURS, "none-of-these") | {"what": "effects", "double.md": "none-of-these"}


def in_app(app: FastAPI) -> Iterator[tuple[str, Any]]:
    for context in iter_route_contexts(app.routes):
        for method in sorted(context.methods or {"GET"}):
            yield f"{method} {context.path}", context


def dependants(dependant: Any) -> Iterator[Any]:
    yield dependant
    for inner in dependant.dependencies:
        yield from dependants(inner)


class Caller:
    """Calls any route by its name in `RULES`."""

    def __init__(self, api: httpx2.AsyncClient, app: FastAPI) -> None:
        self.api = api
        self.app = app

    async def call(
        self, name: str, key: str = "", *, absent: bool = False, query: str = "", **changes: Any
    ) -> httpx2.Response:
        method, path = name.split(" ")
        rule, names = RULES[name], ABSENT if absent else OURS
        for parameter, value in names.items():
            path = path.replace(f"{{{parameter}}}", value)
        own = rule.query.replace("double.md", "none-of-these") if absent else rule.query
        given = {"json": rule.json, "files": rule.files, "headers": {"Authorization": f"Bearer {key}"} if key else {}}
        given |= changes
        given["headers"] = rule.headers | given["headers"]
        return await self.api.request(method, f"{path}?{'&'.join(filter(None, (own, query)))}", **given)


def key_of(given: World, *roles: str, tenant: str) -> str:
    keys = KeyStore.of(given.system.settings, SystemClock())
    return keys.create(subject=f"other@{tenant}", tenant=tenant, roles=roles)


async def opened(given: World) -> AsyncIterator[Caller]:
    app, ready, over = create_app(given.system), asyncio.Event(), asyncio.Event()

    async def alive() -> None:
        """In a task of its own: a fixture is entered in one and left in another, which task groups do not allow."""
        async with app.router.lifespan_context(app):
            ready.set()
            await over.wait()

    life = asyncio.create_task(alive())
    await ready.wait()
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1") as api:
        yield Caller(api, app)
    over.set()
    await life


@pytest.fixture
def given(tmp_path: Path) -> World:
    return world(tmp_path, extensions=EXTENSIONS)


@pytest.fixture
async def caller(given: World) -> AsyncIterator[Caller]:
    """The app, with one of everything in the tenant north."""
    async for caller in opened(given):
        for begun in (Begun("POST /v1/documents", "agent"), *BEGUN):
            assert (await caller.call(begun.name, getattr(given, begun.key), **begun.changes)).is_success
        yield caller


# -- every route -------------------------------------------------------------------------------------------------------


def test_every_extension_with_routes_brings_their_rules() -> None:
    plugs = {path.parent.name: path.read_text(encoding="utf-8") for path in (ROOT / "extensions").glob("*/plug.py")}
    having = {name for name in installed() if "hooks.routers" in plugs.get(name, "")}
    in_browsers = {"page", "outside_tools"}  # whose own tests have the rules of where people sign in
    assert having - BROUGHT.keys() <= in_browsers, "write tests/extensions/NAME/rules.py"


def test_every_route_of_the_app_has_its_rule_here_and_declares_one_there(given: World) -> None:
    app = create_app(given.system)
    found = dict(in_app(app))
    assert found.keys() == RULES.keys(), "give the new route a line in RULES"
    for name, route in found.items():
        rule = RULES[name]
        parts = list(dependants(route.dependant))
        rules = [one.call for one in parts if isinstance(one.call, Access) or one.call is anyone]
        assert len(rules) == 1, f"{name} declares {len(rules)} rules; give it one of serving/access/identity.py"
        assert (rules[0] is anyone) == (rule.who == PUBLIC), name
        paged = {"limit", "cursor"} <= {parameter.name for one in parts for parameter in one.query_params}
        assert paged == rule.paged, name


async def test_every_way_in_takes_its_place_in_the_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "PLACES", dict.fromkeys(runtime.PLACES, (1, 0)))
    monkeypatch.setattr(runtime, "QUEUED_SHARE", 0)
    given = world(tmp_path, extensions=EXTENSIONS, concurrent_answers=1)
    async for caller in opened(given):
        async with AsyncExitStack() as held:
            for places in caller.app.state.runtime.admission.values():
                await held.enter_async_context(places.place(Principal("somebody", "elsewhere")))
            for name, rule in KEYED.items():
                for call in rule.calls:
                    reply = await caller.call(name, given.reader, json=call)
                    assert "overloaded" in reply.text, call
                if not rule.calls:
                    reply = await caller.call(name, given.all_roles)
                    assert (reply.status_code == 503 and "overloaded" in reply.text) == rule.queued, name


async def test_on_no_way_in_does_a_flood_of_one_tenant_turn_another_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "PLACES", dict.fromkeys(runtime.PLACES, (1, 2)))
    monkeypatch.setattr(runtime, "QUEUED_SHARE", 2)
    given = world(tmp_path, extensions=EXTENSIONS, concurrent_answers=1)
    async for caller in opened(given):
        # what goes on after its reply comes last, since it waits for places too
        for name in sorted(KEYED, key=lambda name: KEYED[name].last):
            rule = KEYED[name]
            for call in rule.calls:
                await _serve_in_a_flood(caller, partial(caller.call, name, given.reader, json=call))
            if rule.queued and not rule.calls:
                await _serve_in_a_flood(caller, partial(caller.call, name, given.all_roles))


async def _serve_in_a_flood(caller: Caller, send: Callable[[], Awaitable[httpx2.Response]]) -> None:
    """Every place and every queue is full of one tenant's work; another's request comes in, and is served when one piece ends."""
    kinds = caller.app.state.runtime.admission.values()
    until = asyncio.Event()

    async def flood(places: Admission) -> None:
        async with places.place(Principal("eve", "evil")):
            await until.wait()

    floods = [asyncio.create_task(flood(places)) for places in kinds for _ in range(3)]
    await asyncio.sleep(0)
    assert {(places.running, places.waiting) for places in kinds} == {(1, 2)}
    sent = asyncio.ensure_future(send())
    await asyncio.wait([sent, *floods], return_when=asyncio.FIRST_COMPLETED)
    until.set()
    reply = await sent
    assert "overloaded" not in reply.text
    ended = await asyncio.gather(*floods, return_exceptions=True)
    assert {type(one) for one in ended if one} == {Overloaded}, "the last of the flood makes room"


async def test_without_a_credential_a_route_is_401(caller: Caller) -> None:
    for name, rule in RULES.items():
        reply = await caller.call(name)
        if rule.who == PUBLIC:
            assert reply.status_code in {200, 303, 422}, name
        else:
            assert reply.status_code == 401, name
            assert "Bearer" in reply.headers["www-authenticate"]
            assert re.search("unauthenticated|invalid_api_key", reply.text), name


async def test_a_role_without_the_permission_is_403_and_one_with_it_is_let_in(given: World, caller: Caller) -> None:
    for name, rule in KEYED.items():
        for role in ROLES:
            status = (await caller.call(name, getattr(given, role))).status_code
            assert (status == 403) == (role not in rule.who), f"{name} as {role}: {status}"
            assert status != 401


async def test_what_is_another_tenants_or_persons_is_404_as_if_it_did_not_exist(given: World, caller: Caller) -> None:
    stranger = key_of(given, *ROLES, tenant="south")
    colleague = key_of(given, *ROLES, tenant="north")
    told: dict[str, str] = {}
    for name, rule in KEYED.items():
        others = [stranger] * rule.of_tenant + [colleague] * rule.of_person
        for other in others:
            hidden = await caller.call(name, other)
            absent = await caller.call(name, other, absent=True)
            assert (hidden.status_code, absent.status_code) == (404, 404), f"{name}: {hidden.text}"
            same = said(hidden)
            for ours in ("double.md", *sorted(IDS, key=len, reverse=True)):  # "t-1" is in "fact-1", too
                same = same.replace(ours, "none-of-these")
            assert same == said(absent), name
            told[name] = same
    assert told.keys() == {name for name, rule in KEYED.items() if "_id}" in name or name == "DELETE /v1/documents"}


def said(reply: httpx2.Response) -> str:
    body = reply.json()
    return str(body["detail"] if "detail" in body else body["error"]["message"])


async def test_a_body_over_the_limit_is_413_on_every_route(tmp_path: Path) -> None:
    given = world(tmp_path, max_body_bytes=1_000)
    async for caller in opened(given):
        for name in RULES:
            reply = await caller.call(name, given.all_roles, json=None, files=None, content=b'"' + b"x" * 2_000 + b'"')
            assert reply.status_code == 413, name
            assert "too_large" in reply.text or name.startswith("HEAD "), name
    assert not given.system.agent.asked


async def test_a_page_over_the_limit_and_a_forged_cursor_are_422_on_every_list(given: World, caller: Caller) -> None:
    for name, rule in KEYED.items():
        for query in ("limit=1001", "limit=0", "cursor=%00", "cursor=Li4vLi4%3D%3D%3D"):
            if rule.paged:
                assert (await caller.call(name, given.all_roles, query=query)).status_code == 422, name
    assert (await caller.call("POST /v1/search", given.reader, json={"query": "a", "limit": 101})).status_code == 422


# -- the attacks -------------------------------------------------------------------------------------------------------


async def test_c11_nothing_of_a_tenant_is_in_any_reply_to_another(given: World, caller: Caller) -> None:
    canary = "CANARY-7d1f the north's secret"
    files = {"file": ("canary.md", canary.encode())}
    assert (await caller.call("POST /v1/documents", given.agent, files=files)).status_code == 201
    assert canary in (await caller.call("POST /v1/search", given.reader)).text
    stranger = key_of(given, "reader", "agent", "approver", tenant="south")
    for name, rule in KEYED.items():
        reply = await caller.call(name, stranger)
        if not rule.answers:
            for ours in (canary, "canary.md", "@north", "Tuesdays"):
                assert ours not in reply.text, f"{name} shows {ours}"


async def test_c12_a_tenant_replaces_and_deletes_only_its_own(given: World, caller: Caller) -> None:
    stranger = key_of(given, "agent", tenant="south")
    theirs = {"file": ("double.md", b"The south's words.")}
    assert (await caller.call("POST /v1/documents", stranger, files=theirs)).status_code == 201
    assert (await caller.call("GET /v1/documents/{document_id}", given.reader)).json()["text"] == TEXT
    assert (await caller.call("DELETE /v1/documents", stranger)).status_code == 204
    assert (await caller.call("DELETE /v1/documents", stranger)).status_code == 404
    assert (await caller.call("GET /v1/documents/{document_id}", given.reader)).json()["text"] == TEXT


async def test_c13_a_filter_that_carries_operators_is_422(given: World, caller: Caller) -> None:
    for where in (
        {"$or": [{"tenant": "north"}]},
        {"key": {"$ne": ""}, "in": ["a"]},
        {"key": "tenant", "in": [{"$gt": ""}]},
        {"key": "a", "in": [["b"]]},
        {"key": "a\0b", "in": ["c"]},
        {"key": "x" * 501, "in": ["c"]},
        {"all": [{"all": []}]},
        {"where": "1=1"},
    ):
        reply = await caller.call("POST /v1/search", given.stranger, json={"query": "ships", "where": where})
        assert (reply.status_code, reply.json()["code"]) == (422, "invalid_request"), where


async def test_c13_a_filter_key_is_only_ever_a_name(given: World, caller: Caller) -> None:
    for key in ("x' OR '1'='1", 'tenant") OR 1=1 --', "$where", "__class__", "tenant", "uri); DROP"):
        for value in ("north", "' OR 1=1 --"):
            where = {"any": [{"key": key, "in": [value]}, {"key": key, "from": ""}]}
            reply = await caller.call("POST /v1/search", given.stranger, json={"query": "ships", "where": where})
            assert reply.status_code in {200, 422}, reply.text
            assert not reply.json().get("hits")


async def test_c14_an_id_that_is_no_id_is_refused_before_anything_is_looked_up(given: World, caller: Caller) -> None:
    for name in [name for name in KEYED if "_id}" in name]:
        method, path = name.split(" ")
        start, _, end = path.replace("}", "{").split("{")
        for forged in ("..%2f..%2fetc%2fpasswd", "%00", "a%0d%0ab", "x" * 129, "*", "'%20OR%201=1--", "%f0%9f%99%82"):
            reply = await caller.api.request(
                method, f"{start}{forged}{end}", json=RULES[name].json, headers=bearer(given.all_roles)
            )
            refused = {404, 405, RULES[name].no_id}
            assert reply.status_code in refused, f"{name} {forged}: {reply.status_code}"


def test_c17_nothing_that_serves_requests_fetches_addresses() -> None:
    """The operator's command may; a caller cannot make this machine call anything."""
    served = [path for folder in ("serving", "extensions") for path in (ROOT / folder).rglob("*.py")]
    reading = [str(path.relative_to(ROOT)) for path in served if "DocumentSource" in path.read_text("utf-8")]
    assert {*reading} <= {"serving/cli/documents.py", "extensions/web_documents/plug.py"}


async def test_c18_a_file_name_never_brings_a_folder_along(given: World, caller: Caller) -> None:
    for name in ("../../etc/passwd.md", "..\\..\\passwd.md", "/etc/passwd.md", "C:\\passwd.md"):
        added = await caller.call("POST /v1/documents", given.agent, files={"file": (name, TEXT.encode())})
        assert added.json()["uri"] == "passwd.md"


async def test_c18_no_file_but_those_of_the_documentation_is_served(given: World, caller: Caller) -> None:
    for name in ("..%2f..%2fserver.py", "..%5c..%5cserver.py", "%2fetc%2fpasswd", "core.py", "%2e%2e"):
        reply = await caller.api.get(f"/docs/{name}", headers=bearer(given.operator))
        assert reply.status_code == 404, name


async def test_c19_a_compressed_body_is_never_unpacked(given: World, caller: Caller) -> None:
    bomb = gzip.compress(json.dumps({"question": "x" * 8_000_000}).encode())
    headers = bearer(given.reader) | {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    reply = await caller.api.post("/v1/answers", content=bomb, headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (400, "request")


async def test_c24_a_callers_secrets_and_words_are_in_no_log_and_make_no_line_of_their_own(
    given: World, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    words = "explode CANARY-9c4e alice@example.com"
    for headers in (bearer(given.reader), bearer("sixply_CANARY-9c4e"), bearer("CANARY-9c4e.CANARY-9c4e.CANARY-9c4e")):
        for extra in ({}, {"X-Request-Id": "a\tERROR CANARY-9c4e", "Idempotency-Key": "CANARY-9c4e"}):
            await caller.api.post("/v1/answers", json={"question": words}, headers=headers | extra)
            await caller.api.post("/v1/search", json={"query": words}, headers=headers | extra)
    assert [record for record in caplog.records if record.levelname == "ERROR"]
    kept = caplog.text + (await caller.call("GET /metrics", given.operator)).text
    for secret in (given.reader, "CANARY-9c4e", "alice@example.com"):
        assert secret not in kept
    assert not [record for record in caplog.records if "\n" in record.getMessage() or "\r" in record.getMessage()]


async def test_c25_no_forged_credential_opens_any_route(given: World, caller: Caller) -> None:
    stored = KeyStore.of(given.system.settings, SystemClock()).list()[0].sha256
    for authorization in (
        "Bearer", "Bearer sixply_", f"Bearer sixply_{stored}", f"Bearer {stored}", f"Bearer {given.reader}x", "Bearer a.b.c",
        f"Bearer {given.reader[:-1]}", f"Digest {given.reader}", given.reader, f"Token {given.reader}",
    ):  # fmt: skip
        await demand_closed(caller, {"Authorization": authorization})
    await demand_closed(caller, {"Cookie": f"sixply_session={given.reader}; Authorization=Bearer {given.reader}"})
    await demand_closed(caller, {}, query=f"key={given.reader}&access_token={given.reader}")


async def demand_closed(caller: Caller, headers: dict[str, str], query: str = "") -> None:
    """Assert that these headers open no route that asks for a credential."""
    for name in KEYED:
        assert (await caller.call(name, headers=headers, query=query)).status_code == 401, (
            f"{name} takes {headers}{query}"
        )


async def test_c26_another_host_is_refused_on_every_route(given: World, caller: Caller) -> None:
    for name in RULES:
        for host in ("evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example", ""):
            reply = await caller.call(name, headers=bearer(given.all_roles) | {"Host": host})
            assert reply.status_code == 400, name


async def test_c26_forms_and_ranges_are_bounded(given: World, caller: Caller) -> None:
    add = "POST /v1/documents"
    many_files = [("file", ("a.md", b"x"))] * 1_100
    many_fields = {f"field{number}": "v" for number in range(1_100)}
    assert (await caller.call(add, given.agent, files=many_files)).status_code == 400
    assert (await caller.call(add, given.agent, data=many_fields)).status_code == 400
    assert (await caller.call(add, given.agent, data={"title": "x" * 2_000_000})).status_code == 400
    form = bearer(given.agent) | {"Content-Type": "multipart/form-data"}
    assert (await caller.call(add, headers=form, files=None, content=b"--x\r\n")).status_code == 400
    whole = await caller.call("GET /docs/{name}", given.operator)
    overlapping = bearer(given.operator) | {"Range": "bytes=" + ",".join(["0-"] * 10_000)}
    ranged = await caller.call("GET /docs/{name}", headers=overlapping)
    assert ranged.status_code in {200, 206, 416}
    assert len(ranged.content) <= 2 * len(whole.content)


async def test_c28_no_reply_of_the_api_is_ever_read_as_a_page(given: World, caller: Caller) -> None:
    markup = "<script>alert(1)</script>"
    for name in [name for name in KEYED if name.split(" ")[1].startswith(("/v1/", "/mcp"))]:
        for accept in ("text/html", "text/event-stream, application/json"):
            reply = await caller.call(
                name, headers=bearer(given.all_roles) | {"Accept": accept, "X-Request-Id": markup}, query=f"x={markup}"
            )
            assert "html" not in reply.headers.get("content-type", ""), name
            assert reply.headers["x-content-type-options"] == "nosniff"
            assert markup not in reply.headers["x-request-id"]
    echoed = await caller.call("POST /v1/answers", given.reader, json={"question": markup})
    assert echoed.headers["content-type"] == "application/json"
    assert echoed.json()["question"] == markup


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
