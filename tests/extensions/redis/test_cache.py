"""What a cache in a server of its own promises beside the suite of its port: tests/contracts/test_cache.py."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from foundation.components import Context, extra_of, load
from foundation.errors import StoreUnavailable, UnknownPart
from foundation.settings import Part
from serving.app import create_app
from serving.cli.doctor import check_part
from serving.contract import Cache
from serving.http.quotas import Quotas
from serving.settings import load as load_settings
from tests import services
from tests.contracts import bad_line
from tests.doubles.serving import World, world
from tests.integration.test_deploy import ROOT, variables

HOUR = 3600
PATIENCE_S = 60


def test_its_package_is_installed_by_the_extra_of_its_name() -> None:
    assert extra_of("redis") == "redis"


def opened(folder: Path, **options: Any) -> Any:
    part = Part(use="redis", **services.options("redis", folder) | options)
    return load("serving.cache", part, Context(data_dir=folder), expected=Cache)


def test_a_server_that_is_not_there_is_an_error_that_names_it(data_dir: Path) -> None:
    url = "redis://:swordfish@127.0.0.1:9/0"
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:9 cannot be used: .*Check that it runs") as caught:
        opened(data_dir, url=url)
    assert caught.value.__cause__ is not None
    assert "swordfish" not in str(caught.value)


def test_a_server_that_never_answers_is_given_up(data_dir: Path) -> None:
    with (
        bad_line.to_nobody("redis", data_dir) as options,
        pytest.raises(StoreUnavailable, match="cannot be used: Timeout") as caught,
    ):
        opened(data_dir, **options)
    assert caught.value.__cause__ is not None


async def test_a_server_that_falls_silent_is_given_up_and_used_again(data_dir: Path) -> None:
    with (
        bad_line.to_server("redis", data_dir) as (line, options),
        closing(opened(data_dir, **options)) as cache,
    ):
        await cache.set("acme", "k", b"1", ttl_s=HOUR)
        line.silence()
        for call in (lambda: cache.get("acme", "k"), lambda: cache.take("acme", "k", limit=1, window_s=1)):
            with pytest.raises(StoreUnavailable, match="Timeout") as caught:
                await call()
            assert caught.value.__cause__ is not None
        line.heal()

        give_up, value = time.monotonic() + PATIENCE_S, None
        while value != b"1":
            assert time.monotonic() < give_up, "it was never used again"
            with suppress(StoreUnavailable):
                value = await cache.get("acme", "k")


async def test_two_processes_count_together(data_dir: Path) -> None:
    """Each is another client here, which holds nothing in common with the first."""
    with closing(opened(data_dir)) as one, closing(opened(data_dir)) as other:
        taken = await asyncio.gather(
            *(each.take("acme", "k", limit=7, window_s=HOUR) for each in (one, other) for _ in range(6))
        )
        assert sum(said.allowed for said in taken) == 7
        await one.set("acme", "k", b"1", ttl_s=HOUR)
        assert await other.get("acme", "k") == b"1"


async def test_two_systems_share_a_server_without_meeting(data_dir: Path) -> None:
    with closing(opened(data_dir)) as one, closing(opened(data_dir, prefix="else")) as other:
        await one.set("acme", "k", b"1", ttl_s=HOUR)
        assert await other.get("acme", "k") is None


def counting(folder: Path) -> World:
    return world(folder, serving={"quotas": {"caller": {"requests": {"day": 7}}}}, concurrent_answers=8)


async def test_two_servers_on_one_redis_count_together(tmp_path: Path) -> None:
    given = [counting(tmp_path / name) for name in ("one", "two")]
    caches = [opened(tmp_path) for _ in given]
    for one, cache in zip(given, caches, strict=True):
        one.system.serving.quotas = Quotas(
            one.system.settings.serving.quotas, one.system.settings.orchestration.budget, cache
        )
    statuses = []
    for one in given:
        transport = httpx2.ASGITransport(create_app(one.system))
        headers = {"Authorization": f"Bearer {one.reader}"}
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as api:
            statuses += [
                reply.status_code for reply in await asyncio.gather(*(api.get("/v1/usage") for _ in range(10)))
            ]
    for cache in caches:
        cache.close()
    assert sorted(statuses) == [200] * 7 + [429] * 13


def test_as_compose_starts_it_it_needs_no_credential() -> None:
    assert check_part("serving.cache", Part(use="redis", url="redis://redis:6379/0")).ok


def test_replicas_are_deployed_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = {name: value for name, value in variables().items() if "__CACHE__" in name}
    for name, value in cache.items():
        monkeypatch.setenv(name, value)
    part = load_settings(ROOT / "stack.toml").settings.serving.cache
    assert part.use == "redis"
    assert check_part("serving.cache", part).ok


def test_while_it_is_off_nobody_can_choose_it(tmp_path: Path) -> None:
    stack = tmp_path / "stack.toml"
    stack.write_text('[serving.cache]\nuse = "redis"\n')
    with pytest.raises(UnknownPart, match="make add NAME=redis"):
        load_settings(stack)
