"""The promises of a price source, on every adapter in models/prices, and on broken ones that must be rejected."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from foundation.components import Context, load
from foundation.types import Usage
from models.contract import Call, PriceSource
from tests.contracts import under_test
from tests.contracts.broken import prices as broken

USAGE = Usage(input_tokens=1_000_000, output_tokens=500_000)


def _call(
    model: str = "gpt-4o", provider: str = "openai", *, usage: Usage = USAGE, seconds: float = 10, local: bool = False
) -> Call:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    return Call(provider=provider, model=model, usage=usage, seconds=seconds, local=local, at=at)


def a_known_model_has_a_price(prices: PriceSource) -> None:
    usd = prices.price(_call()).usd
    assert usd is not None
    assert usd > 0


def an_unknown_model_is_unpriced(prices: PriceSource) -> None:
    assert prices.price(_call("no-such-model-9")).usd is None
    assert prices.price(_call(provider="nobody")).usd is None


def unreported_usage_is_unpriced(prices: PriceSource) -> None:
    assert prices.price(_call(usage=Usage())).usd is None


def contradictory_usage_is_unpriced(prices: PriceSource) -> None:
    assert prices.price(_call(usage=Usage(input_tokens=5, output_tokens=1, cached_input_tokens=9))).usd is None


def more_tokens_cost_more(prices: PriceSource) -> None:
    more = prices.price(_call(usage=USAGE + USAGE)).usd
    less = prices.price(_call()).usd
    assert more is not None
    assert less is not None
    assert more > less


def cached_tokens_cost_less(prices: PriceSource) -> None:
    cached = Usage(input_tokens=1_000_000, output_tokens=500_000, cached_input_tokens=900_000)
    less, more = prices.price(_call(usage=cached)).usd, prices.price(_call()).usd
    assert less is not None
    assert more is not None
    assert less < more


def local_seconds_cost_money(prices: PriceSource) -> None:
    """An hour of the machine at 3.60 USD is a thousandth of a dollar a second, whatever the model is called."""
    assert prices.price(_call("anything", "llama_cpp", seconds=2, local=True)).usd == Decimal("0.002")


def figures_are_exact_decimals(prices: PriceSource) -> None:
    assert isinstance(prices.price(_call()).usd, Decimal)


def says_where_the_figure_comes_from(prices: PriceSource) -> None:
    for call in (_call(), _call("no-such-model-9"), _call(local=True)):
        assert prices.price(call).basis


PROMISES: list[Callable[[PriceSource], None]] = [
    a_known_model_has_a_price, an_unknown_model_is_unpriced, unreported_usage_is_unpriced,
    contradictory_usage_is_unpriced, more_tokens_cost_more, cached_tokens_cost_less, local_seconds_cost_money,
    figures_are_exact_decimals, says_where_the_figure_comes_from,
]  # fmt: skip


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("adapter", under_test.adapters("models.prices"))
def test_every_adapter_keeps(
    adapter: str, promise: Callable[[PriceSource], None], watched: under_test.Watch, tmp_path: Path
) -> None:
    context = Context(data_dir=tmp_path, machine_usd_per_hour=3.6)
    prices = load("models.prices", under_test.part("models.prices", adapter), context, expected=PriceSource)
    promise(watched("models.prices", prices))


def _failures(prices: PriceSource) -> list[str]:
    failed = []
    for promise in PROMISES:
        try:
            promise(prices)
        except Exception:  # any failure counts, as it does in pytest
            failed.append(promise.__name__)
    return failed


def test_the_suite_accepts_a_healthy_double() -> None:
    assert _failures(broken.Healthy()) == []


@pytest.mark.parametrize("fault", broken.BROKEN, ids=lambda fault: fault.__name__)
def test_the_suite_rejects(fault: Any) -> None:
    assert fault.caught_by in _failures(fault())
