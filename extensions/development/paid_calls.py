"""What it costs to test a part whose calls are paid, before they are made: `tests/contracts/` asks the person's own provider."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

import typer

from foundation import components
from foundation.settings import Part
from foundation.types import Usage
from models.contract import Call, PriceSource
from models.pricing import identity, is_local
from serving.cli.opening import open_parts
from serving.settings import Settings

Paid = Annotated[bool, typer.Option("--paid", envvar="PAID", help="Make paid calls without asking first, for CI.")]
# Port -> about how many calls its suite makes, and the tokens that they read and write; a test counts the calls
CALLS = {"models.chat": (80, 10_000, 8_000), "models.embedder": (64, 2_000, 0)}


LEAST_USD = Decimal("0.0001")
# What stands in the place of the promises of a part that is left out
PROMISE = "keeps its promises, which paid calls would show"


def describe_cost(settings: Settings, port: str, part: Mapping[str, Any]) -> str:
    """Return how many calls testing the part makes and what they cost; empty where it makes none, or they are free.
    Raises as `foundation.components.load`.
    """
    # one without options is tested on doubles and bundled models
    if port not in CALLS or len(part) == 1 or not _may_call_elsewhere(port, part["use"]):
        return ""
    count, read, written = CALLS[port]
    with open_parts(settings) as parts:
        model = parts.part(port, Part.model_validate(part))
        prices = parts.part("models.prices", settings.models.prices, PriceSource)
        provider, name = _names_of(model)
        call = Call(provider, name, Usage(read, written), 0.0, is_local(model), parts.context.clock.now())
        price = prices.price(call)
    if call.local or price.usd == 0:
        return ""
    cost = (
        f"about ${max(price.usd, LEAST_USD):.4f}"
        if price.usd is not None
        else f"what they cost is not known ({price.basis})"
    )
    return f"about {count} calls of {name}, {cost}"


def _may_call_elsewhere(port: str, use: str) -> bool:
    options = components.options_of(port, use)
    return ":" in use or (options is not None and "base_url" in options.model_fields)


def _names_of(model: Any) -> tuple[str, str]:
    if hasattr(model, "_get_ls_params"):
        return identity(model)
    return getattr(model, "provider", "unknown"), getattr(model, "model_name", type(model).__name__)
