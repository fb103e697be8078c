"""A request that is sent twice under one key is done once."""

import asyncio
import json
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from extensions.idempotency import replies
from extensions.idempotency.replies import Attempt, FirstReply, IdempotencyStore, InFlight
from foundation.errors import Stopped, StorageFull, StoreUnavailable
from foundation.extensions import installed
from foundation.machine import worker
from foundation.stores.registry import Person
from foundation.types import Principal
from serving import runtime
from serving.access.identity import KeyStore
from serving.app import create_app
from serving.cli.govern.erasure import stores_of
from tests.doubles.orchestration import ManualClock
from tests.doubles.serving import TEXT, World, world
from tests.faults.test_time import SetClock

PATIENCE_S = 60


@pytest.fixture
def given(tmp_path: Path) -> World:
    return world(tmp_path, extensions=("idempotency",), concurrent_answers=64)


def client(given: World) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(create_app(given.system)), base_url="http://127.0.0.1")


@pytest.fixture
async def api(given: World) -> AsyncIterator[httpx2.AsyncClient]:
    async with client(given) as opened:
        yield opened


async def ask(
    api: httpx2.AsyncClient, caller: str, question: str = "When?", key: str = "k-1", **headers: str
) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {caller}", "Idempotency-Key": key, **headers}
    return await api.post("/v1/answers", json={"question": question}, headers=headers)


def asked(given: World) -> list[Any]:
    return given.system.agent.asked


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_the_second_request_gets_the_first_reply_and_nothing_is_done(
    given: World, api: httpx2.AsyncClient, accept: str
) -> None:
    first, second = [await ask(api, given.reader, Accept=accept) for _ in range(2)]
    assert len(asked(given)) == 1
    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert second.headers["content-type"] == first.headers["content-type"]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["x-request-id"] != first.headers["x-request-id"]


async def test_the_reply_survives_a_restart(given: World, api: httpx2.AsyncClient, tmp_path: Path) -> None:
    first = await ask(api, given.reader)
    again = type(given.system)(given.system.settings, given.system.context)
    transport = httpx2.ASGITransport(create_app(again))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as other:
        assert (await ask(other, given.reader)).content == first.content
    assert again.agent.asked == []


async def test_the_same_key_with_another_request_is_refused(given: World, api: httpx2.AsyncClient) -> None:
    await ask(api, given.reader)
    for other in (
        await ask(api, given.reader, "Why?"),
        await ask(api, given.reader, Accept="text/event-stream"),
        await api.post(
            "/v1/search",
            json={"query": "x"},
            headers={"Authorization": f"Bearer {given.reader}", "Idempotency-Key": "k-1"},
        ),
    ):
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len(asked(given)) == 1


async def test_a_key_is_its_callers_own(given: World, api: httpx2.AsyncClient) -> None:
    for caller in (given.reader, given.agent, given.stranger):
        assert "idempotent-replayed" not in (await ask(api, caller)).headers
    assert len(asked(given)) == 3


async def test_a_reply_is_for_the_rights_that_it_was_made_with(given: World, api: httpx2.AsyncClient) -> None:
    member = given.key("reader", subject="ada", groups=["hr"])
    assert (await ask(api, member)).status_code == 200
    for roles, groups in ((["reader"], []), (["agent"], ["hr"]), (["reader"], ["hr", "desk"])):
        refused = await ask(api, given.key(*roles, subject="ada", groups=groups))
        assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
        assert "other roles or groups" in refused.json()["detail"]
    again = await ask(api, given.key("reader", subject="ada", groups=["hr"]))
    assert again.headers["idempotent-replayed"] == "true", "another key of the same rights"
    assert len(asked(given)) == 1


async def test_a_reply_is_given_again_only_to_who_may_still_make_the_request(
    given: World, api: httpx2.AsyncClient
) -> None:
    assert (await ask(api, given.reader)).status_code == 200

    def refuse(kind: str, name: str = "") -> None:
        if (kind, name) == ("tenant", "north"):
            raise Stopped("We are looking.")

    given.system.hooks.guards.append(refuse)
    stopped = await ask(api, given.reader)
    assert (stopped.status_code, stopped.json()["code"]) == (503, "stopped")
    given.system.hooks.guards.remove(refuse)
    assert (await ask(api, given.reader)).headers["idempotent-replayed"] == "true"
    keys = KeyStore.of(given.system.settings, given.system.context.clock)
    keys.revoke(next(key.key_id for key in keys.list() if key.subject == "reader@north"))
    assert (await ask(api, given.reader)).status_code == 401


async def test_a_first_reply_takes_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "QUEUED_SHARE", 0)
    given = world(tmp_path, extensions=("idempotency",), concurrent_answers=1)
    async with client(given) as api:
        await ask(api, given.reader)
        busy = asyncio.create_task(ask(api, given.agent, "wait"))
        assert await asyncio.to_thread(given.system.agent.started.wait, PATIENCE_S)
        assert (await ask(api, given.reader)).headers["idempotent-replayed"] == "true"
        assert (await ask(api, given.reader, key="k-2")).status_code == 503
        given.system.agent.let_go.set()
        await busy


async def test_while_the_first_is_at_work_a_second_is_told_so(given: World, api: httpx2.AsyncClient) -> None:
    first = asyncio.create_task(ask(api, given.reader, "wait"))
    assert await asyncio.to_thread(given.system.agent.started.wait, PATIENCE_S)
    second = await ask(api, given.reader, "wait")
    assert (second.status_code, second.json()["code"], second.json()["retryable"]) == (409, "in_flight", True)
    assert second.headers["retry-after"] == "1"
    given.system.agent.let_go.set()
    third = (await first), await ask(api, given.reader, "wait")
    assert third[0].content == third[1].content
    assert len(asked(given)) == 1


async def test_pairs_that_arrive_together_are_done_once_each(given: World, api: httpx2.AsyncClient) -> None:
    keys = [f"k-{number // 2}" for number in range(40)]
    replies = await asyncio.gather(*(ask(api, given.reader, f"Question {key}?", key) for key in keys))
    assert len(asked(given)) == 20
    for first, second in zip(replies[::2], replies[1::2], strict=True):
        statuses = sorted((first.status_code, second.status_code))
        assert statuses in ([200, 200], [200, 409])
        assert statuses == [200, 409] or first.content == second.content


async def test_a_failure_frees_the_key_and_the_next_attempt_goes_on_where_it_stopped(
    given: World, api: httpx2.AsyncClient
) -> None:
    for accept, status in (("application/json", 503), ("text/event-stream", 200)):
        asked(given).clear()
        for _ in range(2):
            failed = await ask(api, given.reader, "down", accept, Accept=accept)
            assert (failed.status_code, "upstream_down" in failed.text) == (status, True)
            assert "idempotent-replayed" not in failed.headers
        assert [request.thread_id for request, _ in asked(given)] == [None, "t-1"]


async def test_what_a_client_did_wrong_is_told_again(given: World, api: httpx2.AsyncClient) -> None:
    first, second = [await ask(api, given.reader, "x" * 9_000) for _ in range(2)]
    assert (first.status_code, second.status_code) == (413, 413)
    assert second.headers["idempotent-replayed"] == "true"


async def test_a_form_is_the_same_though_its_boundary_is_new(given: World, api: httpx2.AsyncClient) -> None:
    headers = {"Authorization": f"Bearer {given.agent}", "Idempotency-Key": "k-1"}
    replies = [
        await api.post("/v1/documents", files={"file": ("a.md", text.encode())}, headers=headers)
        for text in (TEXT, TEXT, "Another.")
    ]
    assert [one.status_code for one in replies] == [201, 201, 422]
    assert replies[0].content == replies[1].content
    assert replies[2].json()["code"] == "idempotency_key_reused"


@pytest.mark.parametrize("key", ["", "a b", "x" * 256])
async def test_a_key_that_is_none_is_refused(given: World, api: httpx2.AsyncClient, key: str) -> None:
    refused = await ask(api, given.reader, key=key)
    assert (refused.status_code, refused.json()["code"]) == (400, "request")
    assert asked(given) == []


async def test_a_body_over_the_limit_is_still_413_in_our_shape(tmp_path: Path) -> None:
    given = world(tmp_path, extensions=("idempotency",), max_body_bytes=1_000)
    async with client(given) as api:
        refused = await ask(api, given.reader, "x" * 2_000)
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")


async def test_a_key_of_a_process_that_died_is_free_and_one_of_a_living_process_is_not(data_dir: Path) -> None:
    path = data_dir / "idempotency.sqlite"
    with closing(IdempotencyStore(path, ManualClock())) as store:
        assert isinstance(await store.begin("ada", "k-1", "r"), Attempt)
        with pytest.raises(Exception, match="still at work"):
            await store.begin("ada", "k-1", "r")
        with closing(sqlite3.connect(path)) as database, database:
            copy = (
                "INSERT INTO requests (caller, key, request, at, worker) SELECT caller, ?, request, at, ? FROM requests"
            )
            database.execute(copy, ("k-2", "1:0.0"))  # process 1 lives, but began at another time
            parent = f"{os.getppid()}:{worker._began(os.getppid())}:{worker._boot()}"
            database.execute(f"{copy} WHERE key = 'k-1'", ("k-3", parent))
        assert isinstance(await store.begin("ada", "k-2", "r"), Attempt)
        with pytest.raises(InFlight):
            await store.begin("ada", "k-3", "r")


async def test_a_reply_that_could_not_be_stored_is_stored_when_that_can_be_done_and_nothing_is_done_twice(
    given: World, api: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "AGAIN_S", 0.01)
    update, full = IdempotencyStore._update, True

    async def fail(store: IdempotencyStore, attempt: Attempt, change: str, *values: Any) -> None:
        if full and "status" in change:
            raise StorageFull("No room is left on the disk.")
        await update(store, attempt, change, *values)

    monkeypatch.setattr(IdempotencyStore, "_update", fail)
    first, second = [await ask(api, given.reader) for _ in range(2)]
    assert (first.status_code, second.status_code, second.json()["code"]) == (200, 409, "in_flight")
    full = False
    async with asyncio.timeout(PATIENCE_S):
        while (third := await ask(api, given.reader)).status_code == 409:
            pass
    assert (third.content, third.headers["idempotent-replayed"]) == (first.content, "true")
    assert len(asked(given)) == 1


async def test_a_reply_to_a_person_who_was_erased_meanwhile_is_not_stored_later(
    given: World, api: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "AGAIN_S", 0.01)
    keep, tried = IdempotencyStore._update, []

    async def fail(store: IdempotencyStore, attempt: Attempt, change: str, *values: Any) -> None:
        tried.extend(["status"] * ("status" in change))
        if tried == ["status"]:
            raise StoreUnavailable("It is locked.")
        if len(tried) == 2 and "status" in change:
            with given.system.erasures.erasing(Principal("reader@north", "north")):
                pass
        await keep(store, attempt, change, *values)

    monkeypatch.setattr(IdempotencyStore, "_update", fail)
    assert (await ask(api, given.reader)).status_code == 200
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*given.system.hooks.service(IdempotencyStore)._late)
    second = await ask(api, given.reader)
    assert (second.status_code, len(asked(given))) == (200, 2)
    assert "idempotent-replayed" not in second.headers


async def test_replies_are_kept_for_a_day(data_dir: Path) -> None:
    clock = ManualClock()
    with closing(IdempotencyStore(data_dir / "idempotency.sqlite", clock)) as store:
        taken = await store.begin("ada", "k-1", "r")
        assert isinstance(taken, Attempt)
        await store.keep(taken, FirstReply(200, "text/plain", b"\0\xff"))
        clock.time += timedelta(hours=23)
        assert await store.begin("ada", "k-1", "r") == FirstReply(200, "text/plain", b"\0\xff")
        clock.time += timedelta(hours=2)
        assert isinstance(await store.begin("ada", "k-1", "other"), Attempt)


@pytest.mark.parametrize("hours", [-1, 24, 48])
async def test_a_reply_and_a_request_at_work_keep_their_key_when_the_clock_is_set(data_dir: Path, hours: int) -> None:
    clock, reply = SetClock(), FirstReply(200, "text/plain", b"done")
    with closing(IdempotencyStore(data_dir / "idempotency.sqlite", clock)) as store:
        attempt = await store.begin("ada", "k-1", "r")
        assert isinstance(attempt, Attempt)
        await store.keep(attempt, reply)
        assert isinstance(await store.begin("ada", "k-2", "r"), Attempt)
        clock.off = timedelta(hours=hours)
        assert await store.begin("ada", "k-1", "r") == reply
        with pytest.raises(InFlight):
            await store.begin("ada", "k-2", "r")
        clock.forward(hours=25)
        assert isinstance(await store.begin("ada", "k-1", "r"), Attempt)


def test_every_operation_that_changes_something_declares_the_header_and_its_refusal(tmp_path: Path) -> None:
    document = create_app(world(tmp_path, extensions=tuple(installed())).system).openapi()
    header = {"$ref": f"#/components/parameters/{replies.HEADER}"}
    assert document["components"]["parameters"][replies.HEADER]["in"] == "header"
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            changes = method.upper() in replies.METHODS
            assert (header in operation.get("parameters", [])) == changes, f"{method} {path}"
            assert not changes or "409" in operation["responses"]


async def test_off_the_header_counts_for_nothing_and_what_is_kept_is_still_erased(
    given: World, api: httpx2.AsyncClient, tmp_path: Path
) -> None:
    await ask(api, given.reader)
    off = world(tmp_path / "off")
    async with client(off) as other:
        for _ in range(2):
            assert "idempotent-replayed" not in (await ask(other, off.reader)).headers
    assert len(asked(off)) == 2
    assert "Idempotency" not in json.dumps(create_app(off.system).openapi())
    (store,) = [store for store in stores_of(off.system.settings)[0] if store.name == "idempotency"]
    assert store.erase
    assert store.erase(tmp_path, Person(tenant="north", subject="reader@north")) == 1
