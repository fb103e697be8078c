"""Signing in and out of the page, without a browser."""
# ruff: noqa: F401, F811 - fixtures of test_api.py

import base64
import hashlib
from pathlib import Path

import httpx2
import pytest

from extensions.page.sessions import Sessions
from foundation.errors import Unauthenticated
from serving.access.identity import KeyStore
from serving.app import create_app
from tests.doubles.serving import World, charge, world
from tests.integration.test_api import api, assert_problem, bearer


@pytest.fixture
def given(tmp_path: Path) -> World:
    return world(tmp_path, extensions=("feedback", "jobs", "page", "reports"))


async def test_who_is_not_signed_in_gets_a_form_without_any_script(api: httpx2.AsyncClient) -> None:
    page = await api.get("/")
    policy = page.headers["content-security-policy"]
    style = page.text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"style-src 'sha256-{digest}'" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert "<script" not in page.text
    assert "http" not in page.text


async def test_a_session_opens_the_page_and_nothing_of_the_api(given: World, api: httpx2.AsyncClient) -> None:
    begun = await api.post("/sign-in", data={"key": given.all_roles})
    assert (begun.status_code, begun.headers["location"]) == (303, "/")
    cookie = begun.headers["set-cookie"].casefold()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert given.all_roles.casefold() not in cookie
    assert_problem(await api.get("/v1/documents"), 401, "unauthenticated")
    assert_problem(await api.post("/v1/answers", json={"question": "When?"}), 401, "unauthenticated")


async def test_a_session_ends_with_its_sign_out_and_with_its_key(given: World, api: httpx2.AsyncClient) -> None:
    sessions, keys = (
        create_app(given.system).state.runtime.part(Sessions),
        KeyStore.of(given.system.settings, given.system.context.clock),
    )
    first, second = [await sessions.begin(given.reader) for _ in range(2)]
    assert (await sessions.principal(first)).subject == "reader@north"
    await sessions.end(first)
    with pytest.raises(Unauthenticated):
        await sessions.principal(first)
    keys.revoke(next(key.key_id for key in keys.list() if key.subject == "reader@north"))
    with pytest.raises(Unauthenticated):
        await sessions.principal(second)


async def test_a_wrong_key_is_told_in_the_form(api: httpx2.AsyncClient) -> None:
    refused = await api.post("/sign-in", data={"key": "sixply_<script>"})
    assert refused.status_code == 401
    assert "no valid API key" in refused.text
    assert "set-cookie" not in refused.headers


async def test_another_site_signs_nobody_in(given: World, api: httpx2.AsyncClient) -> None:
    foreign = {"Origin": "https://evil.example"}
    assert_problem(await api.post("/sign-in", data={"key": given.reader}, headers=foreign), 403, "forbidden")
