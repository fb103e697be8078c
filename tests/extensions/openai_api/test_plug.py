"""OpenAI's APIs as an extension: on they are there with their errors, off the paths are those of nobody."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import openai
import pytest

from extensions.openai_api.plug import BASE_URL
from foundation import extensions
from foundation.extensions import turn_on
from serving.app import create_app
from serving.http.quotas import QuotaAgent
from serving.server import running
from tests.doubles.serving import World, world
from tests.extensions.openai_api.rules import CHAT

EXTENSIONS = tuple(turn_on(("forks", "jobs", "openai_api", "structured")))


def opened(given: World) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(create_app(given.system))
    headers = {"Authorization": f"Bearer {given.reader}"}
    return httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers)


async def test_off_its_paths_are_not_there_and_nothing_of_it_is_told(tmp_path: Path) -> None:
    async with opened(world(tmp_path)) as api:
        for path in ("/v1/chat/completions", "/v1/responses"):
            reply = await api.post(path, json=CHAT)
            assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
            assert "base_url" not in reply.text
        assert (await api.get("/v1/models")).status_code == 404


async def test_on_a_path_that_is_not_quite_its_own_says_how_a_base_url_ends(tmp_path: Path) -> None:
    async with opened(world(tmp_path, extensions=EXTENSIONS)) as api:
        assert BASE_URL in (await api.post("/chat/completions", json=CHAT)).json()["detail"]
        assert (await api.post("/v1/embeddings", json={})).json()["error"]["type"] == "invalid_request_error"


def test_it_requires_jobs_for_what_is_answered_in_the_background_and_forks_for_earlier_responses() -> None:
    assert extensions.find("openai_api").requires == ("forks", "jobs", "structured")


@pytest.mark.parametrize("content", [b"{", b"[]", b""])
async def test_a_body_that_is_no_json_is_told_in_openais_shape(tmp_path: Path, content: bytes) -> None:
    async with opened(world(tmp_path, extensions=EXTENSIONS)) as api:
        headers = {"Content-Type": "application/json"}
        reply = await api.post("/v1/chat/completions", content=content, headers=headers)
        assert (reply.status_code, reply.json()["error"]["type"]) == (400, "invalid_request_error")


async def test_openais_client_gets_its_own_error_of_a_quota(tmp_path: Path) -> None:
    quotas = {"caller": {"requests": {"day": 2}}}
    given = world(tmp_path, serving={"quotas": quotas}, extensions=EXTENSIONS)
    with running(given.system) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=given.reader, max_retries=0)
        for _ in range(2):
            await asyncio.to_thread(client.models.list)
        with pytest.raises(openai.RateLimitError) as refused:
            await asyncio.to_thread(client.models.list)
        client.close()
    assert refused.value.code == "rate_limit_exceeded"
    assert refused.value.response.headers["retry-after"]


async def test_where_nothing_is_left_to_spend_no_run_begins(tmp_path: Path) -> None:
    given = world(tmp_path, serving={"quotas": {"tenant": {"tokens": {"day": 10}}}}, extensions=EXTENSIONS)
    system = given.system
    agent, system.agent = system.agent, QuotaAgent(system.agent, system.serving.quotas)
    async with opened(given) as api:
        assert (await api.post("/v1/chat/completions", json=CHAT)).status_code == 200
        await system.serving.quotas.reserve(agent.asked[0][1], tokens=10, usd=None)
        for more in ({}, {"stream": True}):
            refused = await api.post("/v1/chat/completions", json=CHAT | more)
            assert refused.status_code == 429
            assert refused.headers["retry-after"]
    assert len(agent.asked) == 1
