"""Models that think before they speak, behind each vendor's protocol and by the classes that people name, through the agent.

The provider is a double on loopback. It answers 400 to what the vendor's own API answers with 400.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from foundation.errors import UpstreamMalformed
from foundation.types import EVERY_TENANT, Principal
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer
from retrieval.documents import Source
from retrieval.ingest.preparation import Item
from serving.settings import load
from serving.wiring import System, open_system
from tests.doubles.provider import Behaviour, FaultyProvider, ok, strict, thinks
from tests.doubles.stacks import stack

CHAT = """
use = "{use}"
model = "a-thinking-one"
api_key = "a key for tests"
base_url = "{url}"
max_tokens = 4000
profile = {{ tool_calling = true, max_input_tokens = 100000 }}
{options}
"""
PRICES = """
[models.resilience]
attempts = 1
[models.prices]
use = "genai"
stated = { a-thinking-one = { input = 10.0, output = 100.0, cached_input = 1.0, cache_write = 12.5 } }
"""
THINKING = '{ type = "enabled", budget_tokens = 2000 }'
VENDORS = {
    "openai_compatible": 'extra = { reasoning_effort = "high" }',
    "langchain_openai:ChatOpenAI": 'reasoning_effort = "high"\nstream_usage = true\nmax_retries = 0',
    "anthropic": f"cache_prompts = true\nextra = {{ thinking = {THINKING} }}",
    "langchain_anthropic:ChatAnthropic": f"thinking = {THINKING}\nmax_retries = 0",
}
PERSON = Principal("ana", "north", frozenset({"agent"}))
TEXT = b"# Parcels\n\nA parcel may weigh at most 30 kilograms.\n\n# Letters\n\nLetters go out at noon."
BOTH = (("search_documents", {"query": "weight of a parcel"}), ("search_documents", {"query": "when letters go out"}))
SAID = "A parcel may weigh at most 30 kilograms [1]."
UNCHECKED = ()

Opened = Callable[..., AbstractContextManager[tuple[System, FaultyProvider]]]


@pytest.fixture(params=VENDORS)
def vendor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opened(vendor: str, tmp_path: Path) -> Opened:
    @contextmanager
    def opening(*behaviours: Behaviour) -> Iterator[tuple[System, FaultyProvider]]:
        with FaultyProvider(*map(strict, behaviours)) as provider:
            url = provider.url + ("" if "nthropic" in vendor else "/v1")
            chat = CHAT.format(use=vendor, url=url, options=VENDORS[vendor])
            with open_system(load(stack(tmp_path, PRICES, chat=chat))) as system:
                system.retrieval.ingestor.ingest_one(Item(Source("desk.md", EVERY_TENANT), TEXT, "desk.md"), scope=None)
                yield system, provider

    return opening


async def test_two_tools_are_called_at_once_and_thoughts_come_back_as_they_were(opened: Opened, vendor: str) -> None:
    with opened(thinks("Let me look.", *BOTH, reasoning=300), ok(SAID)) as (system, provider):
        given = await answer(system.agent, AnswerRequest(question="How heavy may a parcel be?"), PERSON)
    assert (given.text, given.status, given.degraded) == (SAID, "answered", UNCHECKED)
    results = json.dumps(provider.requests[1][2])
    assert results.count("30 kilograms") >= 1
    assert {"t0", "t1"} <= {piece for piece in ("t0", "t1") if f'"{piece}"' in results}
    if "nthropic" in vendor:
        assert "signed-by-the-double" in results, "a request without it would have been refused"


async def test_options_of_the_vendor_reach_its_request(opened: Opened, vendor: str) -> None:
    with opened(ok("Hello.")) as (system, provider):
        await answer(system.agent, AnswerRequest(question="Hello?"), PERSON)
    body = provider.requests[0][2]
    if "nthropic" in vendor:
        assert body["thinking"] == {"type": "enabled", "budget_tokens": 2000}
        assert (body.get("cache_control") is not None) == (vendor == "anthropic")
        if vendor == "anthropic":  # what each conversation begins with is written into the cache once
            marked = [*body["tools"], *body["system"]]
            assert [block.get("cache_control") is not None for block in marked].count(True) == 2
            assert body["tools"][-1]["cache_control"] == body["system"][-1]["cache_control"] == {"type": "ephemeral"}
    else:
        assert body["reasoning_effort"] == "high"


async def test_what_was_read_from_and_written_to_the_cache_and_thought_is_on_the_bill(
    opened: Opened, vendor: str
) -> None:
    said = thinks(SAID, reasoning=300, cached=1000, kept=0 if "penai" in vendor.casefold() else 200)
    with opened(thinks("", BOTH[0], reasoning=300, cached=1000), said) as (system, _):
        given = await answer(system.agent, AnswerRequest(question="How heavy may a parcel be?"), PERSON)
        charges = [
            charge for charge in system.observability.costs.of_trace(given.trace_id or "") if charge.kind == "chat"
        ]
    written = 0 if "penai" in vendor.casefold() else 200
    expected = [_price(cached=1000, written=0), _price(cached=1000, written=written)]
    assert [charge.usd for charge in charges] == expected
    assert (given.usage.cached_input_tokens, given.usage.cache_write_tokens or 0) == (2000, written)
    assert given.usage.output_tokens == 2 * 310, "thoughts are paid as words are"


def _price(*, cached: int, written: int) -> Decimal:
    return (100 * Decimal(10) + cached * Decimal(1) + written * Decimal("12.5") + 310 * Decimal(100)) / 1_000_000


async def test_a_reply_of_thoughts_alone_is_asked_for_once_more_and_then_an_error_that_says_so(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(thinks("", reasoning=390)) as (system, provider), pytest.raises(UpstreamMalformed) as raised:
        await answer(system.agent, AnswerRequest(question="How heavy may a parcel be?"), PERSON)
    assert len(provider.requests) == 2
    told = f"{raised.value} {caplog.text}"
    assert "used 390 of 400 tokens for thinking and wrote no word" in told
