"""A chat model outside of a run, and what its calls cost."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from extensions.structured.generating import REPLY_TOKENS, constrain
from foundation.clock import Clock
from models.contract import BaseChatModel, PriceSource
from models.pricing import call_of, identity


class PricedChat:
    """A chat model that sums up the cost of its calls. Not safe for two tasks at a time."""

    def __init__(self, chat: BaseChatModel, prices: PriceSource, clock: Clock) -> None:
        self._chat, self._prices, self._clock = chat, prices, clock
        self._costs: list[Decimal | None] = []

    @property
    def model(self) -> str:
        return "/".join(identity(self._chat))

    @property
    def cost_usd(self) -> Decimal | None:
        """Cost of all calls so far; `None` if the price of a call is unknown."""
        priced = [cost for cost in self._costs if cost is not None]
        return sum(priced, Decimal(0)) if len(priced) == len(self._costs) else None

    async def ask(self, messages: Sequence[BaseMessage], schema: Mapping[str, Any]) -> AIMessage:
        started_s = self._clock.monotonic_s()
        reply = await constrain(self._chat, schema).ainvoke(list(messages), max_tokens=REPLY_TOKENS)
        seconds = self._clock.monotonic_s() - started_s
        self._costs.append(self._prices.price(call_of(self._chat, reply, seconds=seconds, at=self._clock.now())).usd)
        return reply
