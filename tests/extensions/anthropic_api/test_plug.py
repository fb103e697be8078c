"""Anthropic's API as an extension, and the bodies that it and OpenAI's refuse alike."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import starlette.requests

from serving.app import create_app
from tests.doubles.serving import World, world

EXTENSIONS = ("forks", "jobs", "openai_api", "anthropic_api", "structured")
WORST: dict[str, dict[str, Any]] = {
    "/v1/responses": {"model": "sixply", "input": [{"type": "zzz"}] * 10_000},
    "/v1/messages": {"model": "sixply", "messages": [{"role": "user", "content": [{"type": "zzz"}] * 10_000}]},
    "/v1/chat/completions": {"model": "sixply", "messages": [{"type": "zzz"}] * 10_000},
}


def opened(given: World) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(create_app(given.system))
    return httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1")


@pytest.fixture
def given(tmp_path: Path) -> World:
    return world(tmp_path, extensions=EXTENSIONS)


@pytest.fixture
async def api(given: World) -> AsyncIterator[httpx2.AsyncClient]:
    async with opened(given) as client:
        client.headers["Authorization"] = f"Bearer {given.reader}"
        yield client


async def test_off_its_path_is_not_there_and_takes_no_header_of_its_own(tmp_path: Path) -> None:
    given = world(tmp_path, extensions=("forks", "jobs", "openai_api", "structured"))
    async with opened(given) as api:
        refused = await api.post("/v1/messages", json={}, headers={"x-api-key": given.reader})
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
        absent = await api.post("/v1/messages", json={}, headers={"Authorization": f"Bearer {given.reader}"})
        assert (absent.status_code, absent.json()["code"]) == (404, "not_found")


async def test_the_header_with_the_key_counts_on_its_own_paths_alone(given: World) -> None:
    async with opened(given) as api:
        for path, status in (("/v1/messages", 400), ("/v1/answers", 401), ("/v1/chat/completions", 401)):
            assert (await api.post(path, json={}, headers={"x-api-key": given.reader})).status_code == status, path


@pytest.mark.parametrize("path", WORST)
async def test_a_body_of_too_many_values_is_413_before_it_is_checked(
    api: httpx2.AsyncClient, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starlette.requests.Request, "json", lambda _: pytest.fail("it was parsed"))
    reply = await api.post(path, content=json.dumps(WORST[path]).encode(), headers={"Content-Type": "application/json"})
    assert (reply.status_code, "too_large" in reply.text) == (413, True)
    assert len(reply.content) < 1_000


async def test_a_name_that_is_quoted_in_an_error_is_cut(api: httpx2.AsyncClient) -> None:
    for path in WORST:
        asked = {"messages": [{"role": "user", "content": "a"}], "input": "a"}
        for more in ({"model": "m" * 500_000}, {"model": "sixply", "u" * 500_000: 1}):
            reply = await api.post(path, json=asked | more)
            assert reply.status_code in {400, 404}
            assert len(reply.content) < 5_000
