"""Quotas over HTTP: what a caller sees of them, and what goes on when they are used up."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import httpx2
import pytest

from serving.app import create_app
from serving.http.errors import Surface
from serving.http.quotas import QuotaAgent
from serving.server import running
from tests.doubles.serving import World, world

ASK = {"question": "When does it ship?"}
PATIENCE_S = 60


def limited(folder: Path, **quotas: Any) -> World:
    return world(folder, serving={"quotas": quotas}, concurrent_answers=8)


def client_of(given: World) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(create_app(given.system)), base_url="http://127.0.0.1")


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def given(tmp_path: Path) -> World:
    return limited(tmp_path, caller={"requests": {"day": 2}})


@pytest.fixture
async def api(given: World) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(given) as client:
        yield client


async def test_a_reply_says_what_is_left_and_beyond_it_is_429_with_a_time(
    given: World, api: httpx2.AsyncClient
) -> None:
    for left in (1, 0):
        reply = await api.post("/v1/answers", json=ASK, headers=bearer(given.reader))
        assert reply.status_code == 200
        assert reply.headers["ratelimit-policy"] == '"caller-requests-day";q=2;w=86400;qu="requests"'
        assert reply.headers["ratelimit"].startswith(f'"caller-requests-day";r={left};t=')
    refused = await api.post("/v1/answers", json=ASK, headers=bearer(given.reader))
    assert (refused.status_code, refused.json()["code"], refused.json()["retryable"]) == (429, "quota_exceeded", True)
    assert int(refused.headers["retry-after"]) > 0
    assert refused.headers["ratelimit"].startswith('"caller-requests-day";r=0;t=')
    assert len(given.system.agent.asked) == 2
    assert (await api.get("/v1/documents", headers=bearer(given.agent))).status_code == 200


async def test_approvals_switches_metrics_and_health_are_never_counted(given: World, api: httpx2.AsyncClient) -> None:
    for _ in range(3):
        await api.get("/v1/documents", headers=bearer(given.all_roles))
    assert (await api.get("/v1/documents", headers=bearer(given.all_roles))).status_code == 429
    for path in ("/v1/approvals", "/metrics", "/docs", "/health/live", "/health/ready"):
        reply = await api.get(path, headers=bearer(given.all_roles))
        assert reply.status_code == 200, path
        assert "ratelimit" not in reply.headers
    decided = await api.post("/v1/approvals/ap-1", json={"approve": True}, headers=bearer(given.all_roles))
    assert decided.status_code == 200


async def test_an_extension_says_whether_its_paths_are_counted(given: World, api: httpx2.AsyncClient) -> None:
    given.system.hooks.surfaces += [
        Surface(paths=("/v1/documents",), counted=False),
        Surface(paths=("/health/live/",), counted=True),
    ]
    for _ in range(3):
        reply = await api.get("/v1/documents", headers=bearer(given.reader))
        assert (reply.status_code, "ratelimit" in reply.headers) == (200, False)
    statuses = [(await api.get("/health/live/x", headers=bearer(given.reader))).status_code for _ in range(3)]
    assert statuses == [404, 404, 429]


async def test_the_caller_is_the_subject_whichever_key_it_sends(given: World, api: httpx2.AsyncClient) -> None:
    from serving.access.identity import KeyStore

    keys = KeyStore.of(given.system.settings, given.system.context.clock)
    second = keys.create(subject="reader@north", tenant="north", roles=["reader"])
    told = [(await api.get("/v1/usage", headers=bearer(key))).status_code for key in (given.reader, second, second)]
    assert told == [200, 200, 429]


async def test_where_nothing_is_left_to_spend_no_run_begins_and_reading_goes_on(tmp_path: Path) -> None:
    given = limited(tmp_path, tenant={"tokens": {"day": 10}})
    system = given.system
    agent, system.agent = system.agent, QuotaAgent(system.agent, system.serving.quotas)
    async with client_of(given) as api:
        assert (await api.post("/v1/answers", json=ASK, headers=bearer(given.reader))).status_code == 200
        await system.serving.quotas.reserve(agent.asked[0][1], tokens=10, usd=None)
        refused = await api.post("/v1/answers", json=ASK, headers=bearer(given.reader))
        assert refused.status_code == 429
        assert refused.headers["retry-after"]
        streamed = await api.post(
            "/v1/answers", json=ASK, headers=bearer(given.reader) | {"Accept": "text/event-stream"}
        )
        assert streamed.status_code == 429
        assert (await api.get("/v1/documents", headers=bearer(given.reader))).status_code == 200
        assert (await api.post("/v1/answers", json=ASK, headers=bearer(given.stranger))).status_code == 200
    assert len(agent.asked) == 2


def test_a_caller_has_at_most_so_many_requests_at_work(tmp_path: Path) -> None:
    given = limited(tmp_path, caller={"concurrent": 1})
    told: list[int] = []

    def ask(question: str, key: str) -> int:
        return httpx2.post(
            f"{url}/v1/answers", json={"question": question}, headers=bearer(key), timeout=PATIENCE_S
        ).status_code

    with running(given.system) as url:
        waiting = threading.Thread(target=lambda: told.append(ask("wait", given.reader)))
        waiting.start()
        assert given.system.agent.started.wait(PATIENCE_S)
        refused = httpx2.post(f"{url}/v1/answers", json=ASK, headers=bearer(given.reader), timeout=PATIENCE_S)
        assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
        assert ask("When?", given.agent) == 200
        given.system.agent.let_go.set()
        waiting.join(PATIENCE_S)
        for _ in range(5):  # a slot is free before its reply has ended
            assert ask("When?", given.reader) == 200
    assert told == [200]


async def test_without_its_counters_the_api_is_503_and_approvals_are_still_decided(
    given: World, api: httpx2.AsyncClient
) -> None:
    given.system.serving.cache.close()
    given.system.serving.cache.take = AsyncMock(side_effect=given.system.serving.cache.take)
    refused = await api.post("/v1/answers", json=ASK, headers=bearer(given.reader))
    assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
    assert given.system.serving.cache.take.await_count == 1, "each further one would wait for its time limit"
    decided = await api.post("/v1/approvals/ap-1", json={"approve": True}, headers=bearer(given.approver))
    assert decided.status_code == 200


async def test_a_server_is_ready_without_a_cache_only_where_nothing_is_counted(tmp_path: Path) -> None:
    for name, quotas, reasons in (
        ("counting", {"tenants": {"north": {"concurrent": 2}}}, ["cache: store_unavailable"]),
        ("not counting", {}, []),
    ):
        given = limited(tmp_path / name, **quotas)
        given.system.serving.cache.close()
        async with client_of(given) as api:
            assert (await api.get("/health/ready")).json() == {"ready": not reasons, "reasons": reasons}
