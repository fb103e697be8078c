"""What a run has cost so far, and the single way to the chat model: reserve, call, price, charge, settle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.utils import count_tokens_approximately

from foundation.errors import BudgetExceeded, ComponentError, SixplyError
from foundation.machine.threads import waiting_for_loop
from foundation.tracing import trace_id
from foundation.types import Usage
from models.contract import Call, Price, requests_made
from models.embedding import on_behalf_of
from models.pricing import call_of, message_until_cut
from models.resilience.resilient_chat import FALLBACK
from models.resilience.streams import join_chunks
from orchestration.events import Charge, charge_details
from orchestration.run.state import charges_of_all
from orchestration.run.tokens import count_tokens

if TYPE_CHECKING:
    from orchestration.run.run import Run

_PICODOLLAR = Decimal("1e-12")
# Seconds that a thread waits at most until what it used is charged
_CHARGED_S = 30.0
# Tokens reserved for a reply whose length the call does not limit
REPLY_TOKENS = 256
Chunks = AsyncGenerator[AIMessageChunk, None]

# The usage of a run that has not called its language model. Zeros, not `None`, which means that a provider did not report it
UNCALLED = Usage(input_tokens=0, output_tokens=0)


@dataclass
class _Spent:
    """Tokens and US dollars that a call used. `usd` is `None` where the price is unknown; both are 0 where no call was made."""

    tokens: int = 0
    usd: Decimal | None = Decimal(0)


@dataclass(eq=False)
class Bill:
    """Charges each call to the answer, and holds it to the budgets of the run and of the day."""

    run: Run
    usage: Usage = UNCALLED
    costs: list[Decimal | None] = field(default_factory=list)
    calls: int = 0
    """Calls of the chat model by an agent's graph, within this process."""
    slowest_s: float = 0.0
    """Seconds of the longest call of the chat model so far."""
    first_token_s: float | None = None
    """Seconds from the run's beginning to the chat model's first text; `None` before it."""
    loop: asyncio.AbstractEventLoop | None = None
    """The event loop on which calls are charged; `None` once the run is closed."""
    _local_s: float = 0.0
    _begun_s: float = field(default_factory=time.perf_counter)
    _seconds: float | None = None

    @property
    def seconds(self) -> float:
        """Wall time of the run so far, or until it was closed."""
        return time.perf_counter() - self._begun_s if self._seconds is None else self._seconds

    @property
    def cost_usd(self) -> Decimal | None:
        """Sum of all charges; `None` if one of them has no price."""
        priced = [cost for cost in self.costs if cost is not None]
        return sum(priced, Decimal(0)) if len(priced) == len(self.costs) else None

    async def generate(
        self,
        messages: Sequence[BaseMessage],
        open_stream: Callable[[], Chunks] | None = None,
        *,
        max_tokens: int = REPLY_TOKENS,
        tools: Sequence[Any] = (),
        seen: Callable[[AIMessageChunk], None] = lambda _: None,
        model: BaseChatModel | None = None,
    ) -> AIMessage:
        """Call `model`, or else the run's chat model, once, by `open_stream` where it is given; `seen` gets each chunk. Cancelling it
        closes the provider's stream. Raises BudgetExceeded: the call does not fit into what is left to this run or this day, or the
        seconds ran out during it. ComponentError: the model failed, after retries and fallbacks.
        """
        chat = model or self.run.parts.chat

        def stream_plainly() -> Chunks:
            return cast("Chunks", chat.astream(list(messages), max_tokens=max_tokens))

        expected = self._expected_call(chat, count_tokens(messages, tools), max_tokens)
        heard: list[AIMessageChunk] = []
        requests_made.set(lost := list[Call]())
        async with self._reserve(_tokens_of(expected), self.run.parts.prices.price(expected).usd) as spent:
            begun_s, begun_at_s = time.perf_counter(), self.run.parts.clock.monotonic_s()
            try:
                with on_behalf_of(self.run.principal.tenant):
                    await self._listen(open_stream or stream_plainly, heard, seen)
            except (SixplyError, asyncio.CancelledError) as error:
                if heard or not isinstance(error, ComponentError):  # providers charge for an abandoned call
                    call = self._priced_call(chat, message_until_cut(heard, messages), expected, begun_s)
                    await self._charge(call, spent, whole=any(chunk.usage_metadata for chunk in heard))
                raise
            finally:
                for call in lost:  # replies that broke off before their first word, and were tried again
                    await self._charge(call, spent)
            self.slowest_s = max(self.slowest_s, self.run.parts.clock.monotonic_s() - begun_at_s)
            message = join_chunks(heard)
            made = self._priced_call(chat, message, expected, begun_s)
            await self._charge(made, spent)
            # where the provider did not say, an estimate, or the run would have no limit
            spent.tokens = spent.tokens or count_tokens_approximately([*messages, message])
        if message.response_metadata.get(FALLBACK):
            self.run.note(f"answered by the fallback model {made.model}")
        return message

    @asynccontextmanager
    async def _reserve(self, tokens: int, usd: Decimal | None) -> AsyncIterator[_Spent]:
        """Reserve a call in the budgets of this run and of the day; on exit, settle with what the yielded `_Spent` says."""
        spent, shared = _Spent(), self.run.parts.spending
        reservation = self.run.budget.reserve(tokens=tokens, usd=usd or Decimal(0))
        try:
            held = await shared.reserve(self.run.principal, tokens=tokens, usd=usd) if shared else None
            try:
                yield spent
            finally:
                if shared:
                    await shared.settle(held, tokens=spent.tokens, usd=spent.usd)
        finally:
            self.run.budget.settle(reservation, tokens=spent.tokens, usd=spent.usd or Decimal(0))

    async def _listen(
        self, open_stream: Callable[[], Chunks], heard: list[AIMessageChunk], seen: Callable[[AIMessageChunk], None]
    ) -> None:
        """Read the stream to its end into `heard`, which after a failure holds the chunks before it."""
        try:
            async with asyncio.timeout(self.run.budget.remaining_s()), aclosing(open_stream()) as chunks:
                async for chunk in chunks:
                    heard.append(chunk)
                    if self.first_token_s is None and chunk.text:
                        self.first_token_s = self.seconds
                    seen(chunk)
        except TimeoutError as error:
            raise BudgetExceeded("The seconds of this run ran out during a model call.", limit="seconds") from error

    def aside(self, run: Run) -> Bill:
        """Return the bill of `run`, which does a part of the work. Its costs are on this one at once; `add` adds the rest."""
        return replace(self, run=run, usage=UNCALLED, calls=0, first_token_s=None, _local_s=0.0)

    def add(self, aside: Bill, *, silent: bool = False) -> None:
        """Add what the part used; `silent`: its first word is none of the run's."""
        self._use(aside.usage)
        self._local_s += aside._local_s
        if not silent:
            self.first_token_s = min(filter(None, (self.first_token_s, aside.first_token_s)), default=None)

    def _use(self, usage: Usage) -> None:
        if usage is not UNCALLED:
            self.usage = usage if self.usage is UNCALLED else self.usage + usage

    async def close(self) -> None:
        """Charge the machine's time that local model calls were not charged for, and end the run. A second call does nothing."""
        if self._seconds is not None:
            return
        self._seconds, self.loop = time.perf_counter() - self._begun_s, None
        rate = self.run.parts.machine_usd_per_hour
        seconds = max(0.0, self._seconds - self._local_s)
        usd = (Decimal(str(rate)) * Decimal(str(seconds)) / 3600).quantize(_PICODOLLAR)
        await self.record("machine", "machine", seconds=seconds, usd=usd, basis=f"local compute {rate:g} USD/h")

    def expect(self, tokens: int, reply: int) -> tuple[int, Decimal]:
        """Return the tokens and US dollars of a call that reads and writes so many tokens; 0 dollars where it has no price."""
        return tokens + reply, self.run.parts.prices.price(
            self._expected_call(self.run.parts.chat, tokens, reply)
        ).usd or Decimal(0)

    def _expected_call(self, chat: BaseChatModel, tokens: int, max_tokens: int) -> Call:
        usage = UsageMetadata(input_tokens=tokens, output_tokens=max_tokens, total_tokens=tokens + max_tokens)
        message = AIMessage(content="", usage_metadata=usage)
        return call_of(chat, message, seconds=0.0, at=self.run.parts.clock.now())

    def _priced_call(self, chat: BaseChatModel, message: AIMessage, expected: Call, begun: float) -> Call:
        return call_of(chat, message, seconds=time.perf_counter() - begun, at=expected.at)

    async def _charge(self, call: Call, spent: _Spent, *, whole: bool = True) -> None:
        price = self.run.parts.prices.price(call)
        self._use(call.usage)
        self._local_s += call.seconds if call.local else 0.0
        spent.tokens += _tokens_of(call)
        spent.usd = None if spent.usd is None or price.usd is None else spent.usd + price.usd
        if price.usd is None:
            self.run.notes.cost.append(f"{price.basis}, so its cost is unknown.")
        basis = price.basis if whole else f"{price.basis}, tokens estimated: the call was cut off"
        await self.record("chat", call.provider, **charge_details(call, Price(price.usd, basis)))

    def pay_embedding(self, call: Call) -> None:
        """Charge a request of an embedder, from its thread. Raises BudgetExceeded: no budget has room for it."""
        if self.loop is None:
            return
        charged = asyncio.run_coroutine_threadsafe(self._charge_embedding(call), self.loop)
        if asyncio._get_running_loop() is not self.loop:  # noqa: SLF001 - it would wait for itself
            with waiting_for_loop():
                charged.result(_CHARGED_S)

    async def _charge_embedding(self, call: Call) -> None:
        price, tokens = self.run.parts.prices.price(call), _tokens_of(call)
        await self.record("embeddings", call.provider, **charge_details(call, price))
        if price.usd:  # free calls need no budget; a call without a known price is not reserved as a whole request, as a chat call is
            async with self._reserve(tokens, price.usd) as spent:
                spent.tokens, spent.usd = tokens, price.usd

    async def record(self, kind: str, part: str, *, usd: Decimal | None, **details: Any) -> None:
        self.costs.append(usd)
        charge = Charge(
            kind=kind,
            part=part,
            usd=usd,
            tenant=self.run.principal.tenant,
            subject=self.run.principal.subject,
            answer_id=self.run.answer_id,
            **{"at": self.run.parts.clock.now(), "trace_id": trace_id()} | details,
        )
        if (charges := charges_of_all.get()) is not None:
            charges.append(charge)
        # the disk must not block the event loop; shielded, or a cancel would take back what waits for a thread
        await asyncio.shield(asyncio.to_thread(self.run.parts.meter.record, charge))


def _tokens_of(call: Call) -> int:
    return (call.usage.input_tokens or 0) + (call.usage.output_tokens or 0)
