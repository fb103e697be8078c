"""The promises of the cache, on every adapter in serving/caches, and on broken ones that must be rejected."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from foundation.components import Context, load
from foundation.errors import StoreUnavailable
from serving.contract import Cache, Window
from tests import services
from tests.contracts import under_test
from tests.contracts.broken import cache as broken

SECTION = "serving.cache"
HOUR = 3600
PATIENCE_S = 60


async def until(happened: Callable[[], Awaitable[bool]]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not await happened():
        assert time.monotonic() < give_up, "it never happened"
        await asyncio.sleep(0.01)


async def gives_back_what_it_was_given(cache: Cache) -> None:
    values = [b"", b"\x00\xff\r\n", "漢字 🙂".encode(), b"x" * 200_000]
    for number, value in enumerate(values):
        assert await cache.set("acme", f"k{number}", value, ttl_s=HOUR)
    assert [await cache.get("acme", f"k{number}") for number in range(len(values))] == values
    assert await cache.get("acme", "never was") is None


async def takes_any_name(cache: Cache) -> None:
    names = ["", "a b", "a:b", "{a}", "漢字 🙂", "a\x00b", "\ud800", "*", "x" * 2000, "A", "a"]
    for name in names:
        await cache.set(name, name, name.encode(errors="surrogatepass"), ttl_s=HOUR)
        assert (await cache.take(name, name, 3, limit=9, window_s=HOUR)).remaining == 6
    for name in names:
        assert await cache.get(name, name) == name.encode(errors="surrogatepass")


async def keeps_tenants_apart(cache: Cache) -> None:
    await cache.set("acme", "k", b"1", ttl_s=HOUR)
    await cache.take("acme", "k", 5, limit=5, window_s=HOUR)
    assert await cache.get("globex", "k") is None
    assert await cache.set("globex", "k", b"2", ttl_s=HOUR, only_new=True)
    assert (await cache.take("globex", "k", 5, limit=5, window_s=HOUR)).allowed
    assert await cache.delete("globex", "k")
    assert await cache.get("acme", "k") == b"1"
    await cache.set("a:b", "c", b"3", ttl_s=HOUR)
    assert await cache.get("a", "b:c") is None


async def replaces_a_value(cache: Cache) -> None:
    await cache.set("acme", "k", b"1", ttl_s=HOUR)
    assert await cache.set("acme", "k", b"2", ttl_s=HOUR)
    assert await cache.get("acme", "k") == b"2"


async def stores_only_new_once(cache: Cache) -> None:
    """How several workers agree on who does the work."""
    stored = await asyncio.gather(
        *(cache.set("acme", "k", str(number).encode(), ttl_s=HOUR, only_new=True) for number in range(20))
    )
    assert stored.count(True) == 1
    assert await cache.get("acme", "k") == str(stored.index(True)).encode()


async def deletes(cache: Cache) -> None:
    await cache.set("acme", "k", b"1", ttl_s=HOUR)
    assert [await cache.delete("acme", "k") for _ in range(2)] == [True, False]
    assert await cache.get("acme", "k") is None


async def forgets_what_begins_alike(cache: Cache) -> None:
    """Whatever the beginning looks like as a pattern, and no other tenant's."""
    for tenant, key in [("acme", "a*b 1"), ("acme", "a*b 2"), ("acme", "axb 3"), ("acme", "other"), ("acme2", "a*b 4")]:
        await cache.set(tenant, key, b"1", ttl_s=HOUR)
    assert [await cache.forget("acme", "a*b") for _ in range(2)] == [2, 0]
    assert await cache.get("acme", "a*b 1") is None
    left = [("acme", "axb 3"), ("acme", "other"), ("acme2", "a*b 4")]
    assert [await cache.get(tenant, key) for tenant, key in left] == [b"1"] * 3


async def forgets_a_value_in_time(cache: Cache) -> None:
    await cache.set("acme", "k", b"1", ttl_s=0.05)
    await cache.set("acme", "long", b"2", ttl_s=HOUR)

    async def gone() -> bool:
        return await cache.get("acme", "k") is None

    await until(gone)
    assert await cache.set("acme", "k", b"3", ttl_s=HOUR, only_new=True)
    assert await cache.get("acme", "long") == b"2"


async def takes_until_the_limit_and_says_what_remains(cache: Cache) -> None:
    said = [await cache.take("acme", "k", 2, limit=5, window_s=HOUR) for _ in range(3)]
    assert [each.allowed for each in said] == [True, True, False]
    assert [each.remaining for each in said] == [3, 1, 1]
    assert {each.limit for each in said} == {5}
    assert all(HOUR < each.reset_s <= 2 * HOUR for each in said)
    assert (said[0].retry_after_s, said[1].retry_after_s) == (0, 0)
    assert 0 < said[2].retry_after_s < 2 * HOUR
    assert (await cache.take("acme", "k", 1, limit=5, window_s=HOUR)).remaining == 0


async def takes_all_or_nothing_under_concurrent_calls(cache: Cache) -> None:
    said = await asyncio.gather(*(cache.take("acme", "k", 3, limit=100, window_s=HOUR) for _ in range(60)))
    assert sum(each.allowed for each in said) == 33
    assert (await cache.take("acme", "k", 0, limit=100, window_s=HOUR)).remaining == 1


async def looks_without_taking(cache: Cache) -> None:
    said = await cache.take("acme", "k", 0, limit=5, window_s=HOUR)
    assert (said.allowed, said.remaining, said.reset_s) == (True, 5, 0)
    await cache.take("acme", "k", 5, limit=5, window_s=HOUR)
    assert [(await cache.take("acme", "k", 0, limit=5, window_s=HOUR)).remaining for _ in range(2)] == [0, 0]


async def refuses_for_ever_what_exceeds_the_limit(cache: Cache) -> None:
    said = await cache.take("acme", "k", 6, limit=5, window_s=HOUR)
    assert (said.allowed, said.remaining, said.retry_after_s) == (False, 5, math.inf)


async def books_what_was_used_though_it_goes_over_and_gives_back(cache: Cache) -> None:
    over = await cache.take("acme", "k", 7, limit=5, window_s=HOUR, forced=True)
    assert (over.allowed, over.remaining) == (True, 0)
    assert not (await cache.take("acme", "k", 1, limit=5, window_s=HOUR)).allowed
    back = await cache.take("acme", "k", -4, limit=5, window_s=HOUR, forced=True)
    assert (back.allowed, back.remaining) == (True, 2)


async def keeps_windows_of_different_length_apart(cache: Cache) -> None:
    await cache.take("acme", "k", 5, limit=5, window_s=HOUR)
    assert (await cache.take("acme", "k", 1, limit=5, window_s=HOUR + 1)).remaining == 4


async def gives_the_limit_back_when_the_window_has_passed(cache: Cache) -> None:
    assert (await cache.take("acme", "k", 4, limit=4, window_s=1)).allowed

    async def free() -> bool:
        said = await cache.take("acme", "k", 0, limit=4, window_s=1)
        return (said.remaining, said.reset_s) == (4, 0)

    await until(free)


async def serves_one_event_loop_after_another(cache: Cache) -> None:
    for remaining in (4, 3, 2):
        assert await asyncio.to_thread(lambda: asyncio.run(_remaining(cache))) == remaining


async def _remaining(cache: Cache) -> int:
    return (await cache.take("acme", "k", limit=5, window_s=HOUR)).remaining


async def says_that_it_was_closed(cache: Cache) -> None:
    cache.close()
    cache.close()
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: cache.get("acme", "k"),
        lambda: cache.set("acme", "k", b"", ttl_s=1),
        lambda: cache.delete("acme", "k"),
        lambda: cache.take("acme", "k", limit=1, window_s=1),
    ]
    for call in calls:
        with pytest.raises(StoreUnavailable, match="closed"):
            await call()


Promise = Callable[[Cache], Awaitable[None]]
PROMISES: list[Promise] = [
    gives_back_what_it_was_given, takes_any_name, keeps_tenants_apart, replaces_a_value, stores_only_new_once, deletes, forgets_what_begins_alike,
    forgets_a_value_in_time, takes_until_the_limit_and_says_what_remains, takes_all_or_nothing_under_concurrent_calls,
    looks_without_taking,
    refuses_for_ever_what_exceeds_the_limit, books_what_was_used_though_it_goes_over_and_gives_back,
    keeps_windows_of_different_length_apart, gives_the_limit_back_when_the_window_has_passed,
    serves_one_event_loop_after_another, says_that_it_was_closed,
]  # fmt: skip


def opened(name: str, folder: Path, **options: Any) -> Cache:
    part = under_test.part(SECTION, name, **(services.options(name, folder) | options))
    cache: Cache = load(SECTION, part, Context(data_dir=folder), expected=Cache)
    return cache


@pytest.fixture(params=under_test.adapters(SECTION))
def cache(request: pytest.FixtureRequest, data_dir: Path) -> Iterator[Cache]:
    with closing(opened(request.param, data_dir)) as built:
        yield built


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
async def test_every_adapter_keeps(promise: Promise, watched: under_test.Watch, cache: Cache) -> None:
    await promise(watched(SECTION, cache))


@pytest.mark.parametrize(
    ("window", "free", "after_s"),
    [
        (Window(0, 10, 0, 60), 9, 60),  # this window ends, and then a tenth of it no longer counts
        (Window(0, 10, 30, 60), 4, 30 + 30),
        (Window(10, 0, 0, 60), 4, 30),
        (Window(10, 2, 30, 60), 2, 30 - 6),
    ],
)
def test_when_a_refused_amount_will_fit(window: Window, free: int, after_s: float) -> None:
    """At that moment one more is used than fits, and an instant later it fits."""
    said = window.quota(allowed=False, limit=10, amount=10 - free)
    assert said.retry_after_s == pytest.approx(after_s)


async def _failures(fault: Callable[[], Cache]) -> list[str]:
    failed = []
    for promise in PROMISES:
        try:
            await promise(fault())
        except (Exception, pytest.fail.Exception):  # any failure counts, as it does in pytest
            failed.append(promise.__name__)
    return failed


async def test_the_suite_accepts_a_healthy_double() -> None:
    assert await _failures(broken.Healthy) == []


@pytest.mark.parametrize("fault", broken.BROKEN, ids=lambda fault: fault.__name__)
async def test_the_suite_rejects(fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "PATIENCE_S", 0.6)  # it waits for what never happens
    promise = next(promise for promise in PROMISES if promise.__name__ == fault.caught_by)
    with pytest.raises((Exception, pytest.fail.Exception)):  # any failure counts, as it does in pytest
        await promise(fault())
