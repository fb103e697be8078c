"""Our bill against that of a provider, to the last digit: a double on loopback that knows what it has read and written, and
tells it as OpenAI's and Anthropic's APIs do. Prices here are those that the vendors publish, a million tokens.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from foundation.types import Principal
from observability.reports.layer_bill import LOCAL_BASIS
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer
from retrieval.documents import Source
from retrieval.ingest.preparation import Item
from serving.settings import load
from serving.wiring import System, open_system
from tests.doubles.provider import Behaviour, FaultyProvider, metered, status

STACK = """
extensions = {extensions}
[foundation]
data_dir = "{data}"
[models.chat]
use = "{use}"
model = "{model}"
api_key = "a key for tests"
base_url = "{url}"
{fallback}
[models.resilience]
gap_s = 2
[models.embedder]
use = "hashing"
[retrieval.vectors]
use = "memory"
[retrieval.grounding]
min_evidence = 0.0
answered_from = 0.0
min_support = 0.0
[orchestration.answers]
compose = "generative"
[orchestration.agent]
{agent}
"""
FALLBACK = """
[[models.fallbacks]]
use = "openai_compatible"
model = "gpt-4o"
provider = "openai"
base_url = "{url}/v1"
"""
USD = {
    "gpt-4o-mini": {"read": "0.15", "cached": "0.075", "kept": "0.15", "wrote": "0.60"},
    "gpt-4o": {"read": "2.50", "cached": "1.25", "kept": "2.50", "wrote": "10.00"},
    "claude-3-5-haiku-latest": {"read": "0.80", "cached": "0.08", "kept": "1.00", "wrote": "4.00"},
}
FACT = "The moon lamp runs for nine hours."
QUESTIONS = [
    f"How long does the moon lamp run, asked for the {word} time?" for word in ("first", "second", "third", "fourth")
]
ADA = Principal("ada", "north", frozenset({"reader"}))


@dataclass
class Desk:
    system: System
    provider: FaultyProvider
    second: FaultyProvider | None

    async def ask(self, question: str = QUESTIONS[0]) -> Answer:
        return await answer(self.system.agent, AnswerRequest(question=question), ADA)

    @property
    def ours(self) -> list[Any]:
        return [row for row in self.system.observability.costs.all() if row.kind == "chat"]

    @property
    def theirs(self) -> list[dict[str, Any]]:
        return [*self.provider.billed, *(self.second.billed if self.second else [])]

    def demand_parity(self) -> None:
        """Every call that was billed is charged once, with its tokens by kind and its price."""
        told = [
            (row.model, row.usage.input_tokens, row.usage.output_tokens, row.usage.cached_input_tokens or 0, row.usd)
            for row in self.ours
        ]
        billed = [(one["model"], one["read"], one["wrote"], one["cached"], usd(one)) for one in self.theirs]
        assert sorted(told) == sorted(billed)
        assert sum(row.usd for row in self.ours) == sum(map(usd, self.theirs))


def usd(bill: dict[str, Any]) -> Decimal:
    price = USD[bill["model"]]
    plain = bill["read"] - bill["cached"] - bill["kept"]
    tokens = {"read": plain, "cached": bill["cached"], "kept": bill["kept"], "wrote": bill["wrote"]}
    return sum((Decimal(price[kind]) * count for kind, count in tokens.items()), Decimal(0)) / 1_000_000


Open = Callable[..., Desk]


@pytest.fixture
def open_desk(tmp_path: Path) -> Iterator[Open]:
    with ExitStack() as opened:

        def open_(
            *behaviours: Behaviour,
            anthropic: bool = False,
            fallback: Behaviour | None = None,
            agent: str = 'use = "quoting"',
            extensions: Sequence[str] = (),
        ) -> Desk:
            provider = opened.enter_context(FaultyProvider(*behaviours))
            second = opened.enter_context(FaultyProvider(fallback)) if fallback else None
            use, model = ("anthropic", "claude-3-5-haiku-latest") if anthropic else ("openai_compatible", "gpt-4o-mini")
            url = provider.url if anthropic else f'{provider.url}/v1"\nprovider = "openai'
            more = FALLBACK.format(url=second.url) if second else ""
            stack = tmp_path / "stack.toml"
            values = {"use": use, "model": model, "url": url, "fallback": more, "agent": agent}
            stack.write_text(STACK.format(extensions=json.dumps(extensions), data=tmp_path / "var", **values))
            system = opened.enter_context(open_system(load(stack)))
            system.retrieval.ingestor.ingest_one(Item(Source("moon.md", "north"), FACT.encode(), "moon.md"), scope=None)
            return Desk(system, provider, second)

        yield open_


def reply(*, read: int = 1000, wrote: int = 70, **more: int) -> Behaviour:
    return metered(f"{FACT} [1]", read=read, wrote=wrote, **more)


@pytest.mark.parametrize(
    ("anthropic", "totals"),
    [(False, False), (True, True), (True, False)],
    ids=["openai", "anthropic", "anthropic, told at the beginning alone"],
)
async def test_a_stream_costs_what_the_provider_says(*, anthropic: bool, totals: bool, open_desk: Open) -> None:
    desk = open_desk(reply(read=1234, wrote=57, cached=1024, totals=totals), anthropic=anthropic)
    given = await desk.ask()
    assert given.status == "answered"
    desk.demand_parity()
    machine = sum(row.usd for row in desk.system.observability.costs.all() if row.basis.startswith(LOCAL_BASIS))
    assert given.cost_usd == usd(desk.theirs[0]) + machine


async def test_tokens_that_the_provider_keeps_cost_more_and_those_it_kept_less(open_desk: Open) -> None:
    desk = open_desk(reply(read=5000, wrote=9, kept=4000), reply(read=5000, wrote=9, cached=4000), anthropic=True)
    for question in QUESTIONS[:2]:
        await desk.ask(question)
    desk.demand_parity()
    assert [row.usage.cache_write_tokens for row in desk.ours] == [4000, 0]
    assert desk.ours[0].usd > desk.ours[1].usd * 2


async def test_reasoning_is_part_of_what_was_written_and_not_charged_twice(open_desk: Open) -> None:
    desk = open_desk(reply(read=300, wrote=900, reasoning=850))
    await desk.ask()
    desk.demand_parity()
    assert desk.ours[0].usage.reasoning_tokens == 850


async def test_a_retry_is_charged_for_the_call_that_was_billed(open_desk: Open) -> None:
    desk = open_desk(status(500), status(503), reply())
    assert (await desk.ask()).status == "answered"
    assert len(desk.provider.requests) == 3
    desk.demand_parity()


async def test_a_fallback_is_charged_at_its_own_price(open_desk: Open) -> None:
    desk = open_desk(status(401), fallback=reply(read=2000, wrote=11))
    assert (await desk.ask()).status == "answered"
    assert [row.model for row in desk.ours] == ["gpt-4o"]
    desk.demand_parity()


async def test_answers_side_by_side_are_each_charged_once_and_to_themselves(open_desk: Open) -> None:
    desk = open_desk(*(reply(read=1000 + number, wrote=10 * number) for number in range(1, 5)))
    given = await asyncio.gather(*map(desk.ask, QUESTIONS))
    desk.demand_parity()
    assert {row.answer_id for row in desk.ours} == {one.answer_id for one in given}
    for one in given:
        charged = sum(row.usd for row in desk.system.observability.costs.of_answer(one.answer_id))
        assert one.cost_usd == charged


async def _left_in_the_middle(desk: Desk) -> None:
    async with aclosing(desk.system.agent.stream(AnswerRequest(question=QUESTIONS[0]), ADA)) as events:  # type: ignore[type-var]
        async for event in events:
            if event.kind == "token":
                return


async def test_an_abandoned_stream_is_charged_once_with_what_the_provider_had_told(open_desk: Open) -> None:
    """What it wrote until then nobody reports: counted by us, and said so. What it had read, Anthropic tells first."""
    desk = open_desk(reply(read=4321, wrote=3, upto=6), anthropic=True)
    await _left_in_the_middle(desk)
    [row] = desk.ours
    assert (row.usage.input_tokens, "estimated" in row.basis) == (4321, True)
    assert (
        abs(row.usd - usd(desk.theirs[0])) <= Decimal(4) * 8 / 1_000_000
    )  # a few words, at the price of what is written


async def test_an_abandoned_stream_of_a_provider_that_told_nothing_is_charged_by_count(open_desk: Open) -> None:
    desk = open_desk(reply(read=60, wrote=3, upto=4))
    await _left_in_the_middle(desk)
    [row] = desk.ours
    assert "estimated" in row.basis
    assert row.usd > 0
