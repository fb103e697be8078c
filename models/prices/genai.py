"""Prices of remote models: those stated in the options, else those of the package genai-prices; local models cost the machine's time.

    [models.prices]
    use = "genai"
    stated = { "my-model" = { input = 3.0, output = 15.0, cached_input = 0.3 } }     # USD for a million tokens

Only the snapshot in the installed package is used, so prices change with its version, and never by a download.
"""

from collections.abc import Mapping
from decimal import Decimal

from pydantic import Field

from foundation.components import Context
from foundation.settings import Section
from foundation.types import Usage
from models.contract import Call, Price, PriceSource


class StatedPrice(Section):
    """US dollars per million tokens of each kind."""

    input: Decimal = Field(ge=0)
    output: Decimal = Field(ge=0)
    cached_input: Decimal | None = Field(default=None, ge=0)
    """Price of tokens read from the provider's cache; unset: as `input`."""
    cache_write: Decimal | None = Field(default=None, ge=0)

    def usd(self, usage: Usage) -> Decimal:
        cached, written = usage.cached_input_tokens or 0, usage.cache_write_tokens or 0
        fresh = max(0, (usage.input_tokens or 0) - cached - written)
        read = self.input if self.cached_input is None else self.cached_input
        write = self.input if self.cache_write is None else self.cache_write
        total = fresh * self.input + cached * read + written * write + (usage.output_tokens or 0) * self.output
        return total / 1_000_000


class Options(Section):
    stated: dict[str, StatedPrice] = Field(default_factory=dict)
    """Prices by model name, as in your contract; they override the package."""


class GenaiPrices:
    """Looks up prices by provider, model and time; unknown ones are unpriced."""

    def __init__(self, machine_usd_per_hour: float, stated: Mapping[str, StatedPrice]) -> None:
        self._machine_usd_per_hour = Decimal(str(machine_usd_per_hour))
        self._stated = stated

    def price(self, call: Call) -> Price:
        if call.local:
            usd = Decimal(str(call.seconds)) * self._machine_usd_per_hour / 3600
            return Price(usd=usd, basis=f"local compute {self._machine_usd_per_hour:.2f} USD/h")
        if call.usage.input_tokens is None or call.usage.output_tokens is None:
            return Price(usd=None, basis=f"{call.model} reported no token usage")
        stated = self._stated.get(call.model)
        return _remote(call) if stated is None else Price(usd=stated.usd(call.usage), basis="stated in [models.prices]")


def _remote(call: Call) -> Price:
    import genai_prices

    usage = genai_prices.Usage(
        input_tokens=call.usage.input_tokens,
        output_tokens=call.usage.output_tokens,
        cache_read_tokens=call.usage.cached_input_tokens or 0,
        cache_write_tokens=call.usage.cache_write_tokens or 0,
    )
    try:
        price = genai_prices.calc_price(usage, call.model, provider_id=call.provider, genai_request_timestamp=call.at)
    except LookupError:
        return Price(usd=None, basis=f"No price is set for {call.model}")
    except ValueError as error:  # counts that contradict each other, such as more cached tokens than tokens
        return Price(usd=None, basis=f"{call.model} reported a usage that cannot be priced: {error}")
    return Price(usd=price.total_price, basis=f"genai-prices {genai_prices.__version__}")


def build(options: Options, context: Context) -> PriceSource:
    return GenaiPrices(context.machine_usd_per_hour, options.stated)
