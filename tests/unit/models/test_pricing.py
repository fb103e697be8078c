"""From a reply to a call that can be priced."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk

from extensions.development.scripted_chat import NAME, ScriptedChat
from foundation.components import Context, load
from foundation.settings import Part
from foundation.types import Usage
from models.contract import Call, PriceSource
from models.pricing import call_of, identity, is_local, usage_of
from models.resilience.streams import join_chunks

AT = datetime(2026, 11, 1, tzinfo=UTC)


def test_reported_tokens_are_read_with_their_details() -> None:
    message = AIMessage(
        "x",
        usage_metadata={
            "input_tokens": 10,
            "output_tokens": 5,
            "total_tokens": 15,
            "input_token_details": {"cache_read": 4},
            "output_token_details": {"reasoning": 2},
        },
    )
    assert usage_of(message) == Usage(input_tokens=10, output_tokens=5, cached_input_tokens=4, reasoning_tokens=2)


def test_unreported_tokens_are_none_and_not_zero() -> None:
    assert usage_of(AIMessage("x")) == Usage(None, None, None, None)


def test_a_count_that_is_none_is_not_claimed() -> None:
    used: Any = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    message = AIMessage("x", usage_metadata=used | {"input_token_details": {"cache_read": -5}})
    assert usage_of(message) == Usage(input_tokens=10, output_tokens=5)
    message.usage_metadata = used | {"output_tokens": None}
    assert usage_of(message) == Usage()


def test_of_a_reason_and_a_name_that_come_twice_the_last_counts() -> None:
    said = [{"finish_reason": "length", "model_name": "a-2026-01-01"}, {"finish_reason": "length"}, {"model_name": "a"}]
    message = join_chunks([AIMessageChunk(content="x", response_metadata=metadata) for metadata in said])
    assert message.response_metadata == {"finish_reason": "length", "model_name": "a"}


def test_a_call_has_the_models_identity() -> None:
    chat = ScriptedChat()
    call = call_of(chat, chat.invoke("one two"), seconds=2, at=AT)
    assert call == Call("scripted", NAME, call.usage, 2, local=False, at=AT)
    assert call.usage.input_tokens == 2


def test_a_model_that_does_not_say_who_it_is_is_unknown() -> None:
    assert identity(FakeListChatModel(responses=["x"]))[1] == "unknown"


def test_a_model_is_local_only_if_its_class_says_so() -> None:
    class Local(ScriptedChat):
        local: bool = True

    assert is_local(Local())
    assert not is_local(ScriptedChat())


def test_the_basis_names_the_snapshot_or_the_machines_price(tmp_path: Path) -> None:
    prices: PriceSource = load(
        "models.prices", Part(use="genai"), Context(data_dir=tmp_path, machine_usd_per_hour=0.36)
    )
    usage = Usage(input_tokens=1_000_000, output_tokens=0)
    remote = prices.price(Call("openai", "gpt-4o", usage, 1, local=False, at=AT))
    local = prices.price(Call("llama_cpp", "m", usage, 10, local=True, at=AT))
    assert remote.basis.startswith("genai-prices ")
    assert (local.usd, local.basis) == (Decimal("0.001"), "local compute 0.36 USD/h")


def test_no_price_is_ever_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import genai_prices.update_prices as updates

    monkeypatch.setattr(updates.UpdatePrices, "start", lambda *_: pytest.fail("a price update was started"))
    prices: PriceSource = load("models.prices", Part(use="genai"), Context(data_dir=tmp_path))
    prices.price(Call("openai", "gpt-4o", Usage(1, 1), 1, local=False, at=AT))


@pytest.mark.parametrize(
    ("stated", "usd"),
    [
        ({"input": 10, "output": 100}, "10.1"),
        ({"input": 10, "output": 100, "cached_input": 1}, "4.7"),
        ({"input": 10, "output": 100, "cached_input": 1, "cache_write": 20}, "6.7"),
    ],
)
def test_each_token_that_was_read_is_charged_once_at_the_price_of_its_kind(
    stated: dict[str, float], usd: str, tmp_path: Path
) -> None:
    options: Any = {"use": "genai", "stated": {"m": stated}}
    prices: PriceSource = load("models.prices", Part.model_validate(options), Context(data_dir=tmp_path))
    usage = Usage(1_000_000, 1_000, cached_input_tokens=600_000, cache_write_tokens=200_000)
    assert prices.price(Call("acme", "m", usage, 1, local=False, at=AT)).usd == Decimal(usd)
