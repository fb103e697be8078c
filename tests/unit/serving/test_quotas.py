"""Quotas: exact under concurrent calls of several workers, fair to others, honest about when there is more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from extensions.development.scripted_chat import ScriptedChat
from foundation.components import Context, available
from foundation.components import load as load_part
from foundation.errors import InvalidSetting, UpstreamDown
from foundation.settings import Part
from foundation.types import Principal
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer
from orchestration.run.spending import SqliteSpending
from orchestration.settings import AnswerSettings, BudgetSettings
from serving.caches.memory import MemoryCache
from serving.contract import Cache
from serving.http.quotas import AT_ONCE, QuotaAgent, QuotaExceeded, Quotas, QuotaSpending
from serving.settings import QuotaSettings, load
from tests import services
from tests.doubles.orchestration import ManualClock, World

ADA, BO, EVE = Principal("ada", "north"), Principal("bo", "north"), Principal("ada", "south")
BUDGET = BudgetSettings(usd=0.05, seconds=60)


def quotas_on(cache: Cache, **settings: Any) -> Quotas:
    return Quotas(QuotaSettings(**settings), BUDGET, cache)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def memory(clock: ManualClock) -> MemoryCache:
    return MemoryCache(clock)


@pytest.fixture(params=available("serving.cache"))
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Quotas]]:
    """Opens the quotas as one more worker would: over a connection of its own, where there are connections."""
    with ExitStack() as opened:
        shared: list[Any] = []

        def another(**settings: Any) -> Quotas:
            if request.param != "memory" or not shared:
                part = Part(use=request.param, **services.options(request.param, tmp_path))
                shared.append(
                    opened.enter_context(closing(load_part("serving.cache", part, Context(data_dir=tmp_path))))
                )
            return quotas_on(shared[-1], **settings)

        yield another


async def outcomes(calls: Any) -> tuple[int, list[QuotaExceeded]]:
    """How many passed, and what the others were told."""
    told = await asyncio.gather(*calls, return_exceptions=True)
    refused = [one for one in told if isinstance(one, QuotaExceeded)]
    assert all(isinstance(one, QuotaExceeded) for one in told if isinstance(one, BaseException)), told
    return len(told) - len(refused), refused


async def test_two_workers_together_let_exactly_the_quota_through(worker: Callable[..., Quotas]) -> None:
    limits = {"caller": {"requests": {"day": 10}}}
    both = [worker(**limits), worker(**limits)]
    passed, refused = await outcomes(both[number % 2].admit(ADA) for number in range(30))
    assert (passed, len(refused)) == (10, 20)
    assert {(one.limit, one.status, one.retryable) for one in refused} == {("requests_per_day", 429, True)}
    assert all(one.retry_after_s and one.retry_after_s > 0 for one in refused)
    for other in (BO, EVE):
        await both[0].admit(other)


async def test_a_tenants_quota_is_for_all_its_callers_and_a_named_tenant_has_its_own(
    worker: Callable[..., Quotas],
) -> None:
    quotas = worker(tenant={"requests": {"day": 2}}, tenants={"south": {"requests": {"day": 3}}})
    passed, refused = await outcomes(quotas.admit(who) for who in (ADA, BO, ADA))
    assert passed == 2
    assert "Your tenant has used up the quota of 2 requests per day. Try again in 24 hours." in str(refused[0])
    passed, refused = await outcomes(quotas.admit(EVE) for _ in range(4))
    assert (passed, len(refused)) == (3, 1)


async def test_what_one_quota_refuses_is_counted_on_no_other(worker: Callable[..., Quotas]) -> None:
    quotas = worker(caller={"requests": {"day": 1}}, tenant={"requests": {"day": 2}})
    passed, refused = await outcomes(quotas.admit(who) for who in (ADA, ADA, ADA, BO))
    assert (passed, len(refused)) == (2, 2)


async def test_at_most_so_many_at_once_and_a_slot_comes_back(worker: Callable[..., Quotas]) -> None:
    limits = {"caller": {"concurrent": 3}}
    both = [worker(**limits), worker(**limits)]
    told = await asyncio.gather(*(both[number % 2].admit(ADA) for number in range(8)), return_exceptions=True)
    held = [one for one in told if not isinstance(one, BaseException)]
    assert len(held) == 3
    await both[0].release(held[0])
    await both[0].release(held[0])
    passed, refused = await outcomes(both[1].admit(ADA) for _ in range(3))
    assert (passed, len(refused)) == (1, 2)
    assert refused[0].limit == "concurrent"
    assert refused[0].retry_after_s
    await both[1].admit(BO)


async def test_without_a_quota_one_caller_has_so_many_at_once_even_where_the_cache_fails() -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise UpstreamDown("The cache is gone.")

    quotas = quotas_on(Broken())  # type: ignore[arg-type]
    held = [await quotas.admit(ADA) for _ in range(AT_ONCE)]
    with pytest.raises(QuotaExceeded) as refused:
        await quotas.admit(ADA)
    assert refused.value.limit == "concurrent"
    await quotas.admit(BO)
    await quotas.release(held[0])
    await quotas.release(held[0])
    held[0] = await quotas.admit(ADA)
    with pytest.raises(QuotaExceeded):
        await quotas.admit(ADA)


async def test_tokens_and_money_count_from_the_reservation_and_are_settled(worker: Callable[..., Quotas]) -> None:
    quotas = worker(caller={"tokens": {"day": 100}, "usd": {"day": 0.01}})
    booked = await quotas.reserve(ADA, tokens=150, usd=Decimal("0.002"))
    with pytest.raises(QuotaExceeded, match="100 tokens per day"):
        await quotas.demand_left(ADA)
    await quotas.settle(ADA, booked, tokens=40, usd=Decimal("0.001"))
    await quotas.demand_left(ADA)
    await quotas.reserve(ADA, tokens=1, usd=Decimal("0.009"))
    with pytest.raises(QuotaExceeded, match=r"0\.01 USD per day"):
        await quotas.demand_left(ADA)
    await quotas.demand_left(BO)


async def test_a_call_without_a_known_price_counts_as_all_that_a_request_may_spend(memory: MemoryCache) -> None:
    quotas = quotas_on(memory, caller={"usd": {"day": 0.1}})
    for _ in range(2):
        await quotas.demand_left(ADA)
        booked = await quotas.reserve(ADA, tokens=10, usd=None)
        await quotas.settle(ADA, booked, tokens=10, usd=None)
    with pytest.raises(QuotaExceeded):
        await quotas.demand_left(ADA)


async def test_retry_after_is_when_it_works_again_and_not_much_later(memory: MemoryCache, clock: ManualClock) -> None:
    quotas = quotas_on(memory, caller={"requests": {"minute": 6}})
    for _ in range(6):
        await quotas.admit(ADA)
        clock.forward(seconds=5)
    with pytest.raises(QuotaExceeded) as refused:
        await quotas.admit(ADA)
    wait_s = refused.value.retry_after_s
    assert wait_s is not None
    clock.forward(seconds=wait_s - 1)
    with pytest.raises(QuotaExceeded):
        await quotas.admit(ADA)
    clock.forward(seconds=1.01)
    await quotas.admit(ADA)


async def test_a_quota_of_nothing_has_no_time_after_which_to_come_back(memory: MemoryCache) -> None:
    with pytest.raises(QuotaExceeded) as refused:
        await quotas_on(memory, caller={"requests": {"day": 0}}).admit(ADA)
    assert refused.value.retry_after_s is None


async def test_the_slot_of_a_killed_process_comes_back_by_itself(memory: MemoryCache, clock: ManualClock) -> None:
    quotas = quotas_on(memory, caller={"concurrent": 1})
    lost = await quotas.admit(ADA)
    clock.forward(seconds=BUDGET.seconds + 61)
    await quotas.admit(ADA)
    await quotas.release(lost)  # it is another request's by now
    with pytest.raises(QuotaExceeded):
        await quotas.admit(ADA)


async def test_a_reply_says_what_holds_and_what_is_left(memory: MemoryCache) -> None:
    quotas = quotas_on(memory, caller={"requests": {"minute": 5}, "concurrent": 2}, tenant={"usd": {"month": 1.5}})
    assert await quotas.headers(await quotas.admit(ADA)) == {
        "RateLimit-Policy": '"caller-requests-minute";q=5;w=60;qu="requests", '
        '"tenant-usd-month";q=1500000;w=2592000;qu="microdollars", "caller-concurrent";q=2;qu="concurrent-requests"',
        "RateLimit": '"caller-requests-minute";r=4;t=120, "tenant-usd-month";r=1500000;t=0',
    }
    assert await quotas_on(memory).headers(await quotas_on(memory).admit(ADA)) == {}


@pytest.fixture
def desk(data_dir: Path) -> Iterator[World]:
    made = World(data_dir, agents="quoting", answers=AnswerSettings(compose="generative"))
    made.chat = ScriptedChat(replies=("A parcel may weigh at most 30 kilograms [1].",))
    with closing(made):
        yield made


async def test_what_the_model_calls_of_an_answer_used_is_counted_for_who_asked(
    desk: World, memory: MemoryCache
) -> None:
    quotas = quotas_on(memory, caller={"tokens": {"day": 300}})
    spending = SqliteSpending(desk.folder / "spending.sqlite", desk.budget, desk.clock)
    desk.spending = QuotaSpending(spending, quotas)
    agent = QuotaAgent(desk.agent(), quotas)
    asked = AnswerRequest(question="How much may a parcel weigh?")
    used = 0
    while used < 300:
        given = await answer(agent, asked, ADA)
        used += (given.usage.input_tokens or 0) + (given.usage.output_tokens or 0)
        headers = await quotas.headers(await quotas.admit(ADA))
        assert f'"caller-tokens-day";r={max(0, 300 - used)};' in headers["RateLimit"]
    with pytest.raises(QuotaExceeded):
        await answer(agent, asked, ADA)
    assert (await answer(agent, asked, BO)).path == "generative"
    spending.close()


async def test_a_call_that_never_came_about_counts_nothing(desk: World, memory: MemoryCache) -> None:
    quotas = quotas_on(memory, caller={"tokens": {"day": 300}, "usd": {"day": 1}})
    spending = SqliteSpending(desk.folder / "spending.sqlite", desk.budget, desk.clock)
    desk.spending = QuotaSpending(spending, quotas)
    desk.chat = ScriptedChat(replies=(UpstreamDown("The double is down."),))
    with pytest.raises(UpstreamDown):
        await answer(desk.agent(), AnswerRequest(question="How much may a parcel weigh?"), ADA)
    headers = await quotas.headers(await quotas.admit(ADA))
    assert headers["RateLimit"] == '"caller-tokens-day";r=300;t=0, "caller-usd-day";r=1000000;t=0'
    spending.close()


@pytest.mark.parametrize("section", ["tenant", "tenants.north"])
def test_a_tenants_dollars_a_day_are_a_budget_and_a_quota_that_says_them_is_refused(
    tmp_path: Path, section: str
) -> None:
    stack = tmp_path / "stack.toml"
    stack.write_text(f"[serving.quotas.{section}]\nusd = {{ day = 2.0, month = 9.0 }}\n")
    with pytest.raises(InvalidSetting, match=r"serving\.quotas\.tenant.*\[orchestration\.budget\] tenant_day"):
        load(stack)


def test_callers_and_other_windows_of_a_tenant_have_quotas_of_dollars(tmp_path: Path) -> None:
    stack = tmp_path / "stack.toml"
    stack.write_text("[serving.quotas]\ncaller.usd.day = 1.0\ntenant.usd.month = 9.0\n")
    quotas = load(stack).settings.serving.quotas
    assert (quotas.caller.usd["day"], quotas.tenant.usd["month"]) == (1.0, 9.0)
