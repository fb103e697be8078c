"""Price sources with one fault each, and the promise that must catch it."""

from __future__ import annotations

from decimal import Decimal

from models.contract import Call, Price


class Healthy:
    """Knows one model, at a dollar a million tokens either way, half of it for cached ones."""

    caught_by: str | None = None
    usd_per_hour = Decimal("3.6")

    def price(self, call: Call) -> Price:
        if call.local:
            return Price(usd=Decimal(str(call.seconds)) * self.usd_per_hour / 3600, basis="local compute")
        read, wrote = call.usage.input_tokens, call.usage.output_tokens
        if call.model != "gpt-4o" or call.provider != "openai":
            return Price(usd=None, basis="no price known")
        if read is None or wrote is None or (call.usage.cached_input_tokens or 0) > read:
            return Price(usd=None, basis="no usage")
        cached = call.usage.cached_input_tokens or 0
        return Price(usd=(Decimal(read + wrote) - Decimal(cached) / 2) / 1_000_000, basis="a list of one")


class ZeroForUnknown(Healthy):
    caught_by = "an_unknown_model_is_unpriced"

    def price(self, call: Call) -> Price:
        known = super().price(call)
        return Price(usd=known.usd or Decimal(0), basis=known.basis)


class RaisesForUnknown(Healthy):
    caught_by = "an_unknown_model_is_unpriced"

    def price(self, call: Call) -> Price:
        known = super().price(call)
        if known.usd is None:
            raise LookupError(call.model)
        return known


class LocalIsFree(Healthy):
    caught_by = "local_seconds_cost_money"
    usd_per_hour = Decimal(0)


class IgnoresTheCache(Healthy):
    caught_by = "cached_tokens_cost_less"

    def price(self, call: Call) -> Price:
        from dataclasses import replace

        return super().price(replace(call, usage=replace(call.usage, cached_input_tokens=None)))


class UnreportedIsZero(Healthy):
    caught_by = "unreported_usage_is_unpriced"

    def price(self, call: Call) -> Price:
        from foundation.types import Usage

        usage = call.usage if call.usage.input_tokens is not None else Usage(0, 0)
        return super().price(Call(call.provider, call.model, usage, call.seconds, call.local, call.at))


class Speechless(Healthy):
    caught_by = "says_where_the_figure_comes_from"

    def price(self, call: Call) -> Price:
        return Price(usd=super().price(call).usd, basis="")


class Floats(Healthy):
    caught_by = "figures_are_exact_decimals"

    def price(self, call: Call) -> Price:
        known = super().price(call)
        return Price(usd=known.usd and float(known.usd), basis=known.basis)  # type: ignore[arg-type]  # the fault


BROKEN = [ZeroForUnknown, RaisesForUnknown, LocalIsFree, IgnoresTheCache, UnreportedIsZero, Speechless, Floats]
