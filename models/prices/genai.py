"""Prices of remote models from the genai-prices package, and of local models from the machine's price per hour.

Only the snapshot inside the installed package is read: prices change when the package is updated, on purpose and with
a version to name, and never because a download happened to succeed.
"""

from __future__ import annotations

from decimal import Decimal

from pydantic import BaseModel, ConfigDict

from foundation.components import Context
from foundation.types import Usage
from models.contract import Call, Price, PriceSource


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GenaiPrices:
    """Looks up (provider, model, time); what it does not find is unpriced."""

    def __init__(self, machine_usd_per_hour: float) -> None:
        self._machine_usd_per_hour = Decimal(str(machine_usd_per_hour))

    def price(self, call: Call) -> Price:
        return self._local(call) if call.local else _remote(call)

    def _local(self, call: Call) -> Price:
        usd = Decimal(str(call.seconds)) * self._machine_usd_per_hour / 3600
        return Price(usd=usd, basis=f"local compute {self._machine_usd_per_hour:.2f} USD/h")


def _remote(call: Call) -> Price:
    import genai_prices

    if call.usage.input_tokens is None or call.usage.output_tokens is None:
        return Price(usd=None, basis=f"{call.model} reported no token usage")
    try:
        price = genai_prices.calc_price(
            _usage(call.usage), call.model, provider_id=call.provider, genai_request_timestamp=call.at
        )
    except LookupError:
        return Price(usd=None, basis=f'no price known for "{call.model}" of "{call.provider}"')
    except ValueError as error:  # counts that contradict each other, such as more cached tokens than tokens
        return Price(usd=None, basis=f"{call.model} reported a usage that cannot be priced: {error}")
    return Price(usd=price.total_price, basis=f"genai-prices {genai_prices.__version__}")


def _usage(usage: Usage) -> object:
    import genai_prices

    return genai_prices.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_input_tokens or 0,
        cache_write_tokens=usage.cache_write_tokens or 0,
    )


def build(options: Options, context: Context) -> PriceSource:  # noqa: ARG001  # every adapter has this signature
    return GenaiPrices(context.machine_usd_per_hour)
