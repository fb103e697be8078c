"""One run of an agent: its caller, its budget, and the single way to the chat model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.utils import count_tokens_approximately

from foundation.errors import BudgetExceeded, ComponentError, SixplyError
from foundation.machine.deadline import in_thread_within
from foundation.machine.threads import let_threads_wait, waiting_for_loop
from foundation.tracing import trace_id
from foundation.types import Principal, Scope, Usage
from models.contract import Call, Price, requests_made
from models.embedding import on_behalf_of
from models.pricing import call_of, message_until_cut
from models.resilience.resilient_chat import FALLBACK
from models.resilience.streams import join_chunks
from orchestration.actions import Approval
from orchestration.contract import AgentParts
from orchestration.events import (
    Charge,
    DraftOutcome,
    Event,
    NearDocument,
    Step,
    ToolCall,
    Unsupported,
    WorkedOut,
    charge_details,
)
from orchestration.prompts.files import Prompt
from orchestration.requests import AnswerRequest
from orchestration.run.budget import Budget
from orchestration.run.state import abstain, charges_of_all, day_of
from orchestration.run.tokens import count_tokens
from retrieval.documents import Hit

if TYPE_CHECKING:
    from orchestration.run.state import Result, State

_PICODOLLAR = Decimal("1e-12")
# Seconds that a thread waits at most until what it used is charged
_CHARGED_S = 30.0
# Tokens reserved for a reply whose length the call does not limit
REPLY_TOKENS = 256

# The current run; `None` outside of one
run_at_work: ContextVar[Run | None] = ContextVar("run", default=None)
Chunks = AsyncGenerator[AIMessageChunk, None]
P = ParamSpec("P")
T = TypeVar("T")

# The usage of a run that has not called its language model. Zeros, not `None`, which means that a provider did not report it
UNCALLED = Usage(input_tokens=0, output_tokens=0)


@dataclass
class _Spent:
    """Tokens and US dollars that a call used. `usd` is `None` where the price is unknown; both are 0 where no call was made."""

    tokens: int = 0
    usd: Decimal | None = Decimal(0)


@dataclass
class Watch:
    """Detail and outcome of a running step, to be reported at its end."""

    detail: str = ""
    outcome: Literal["done", "failed", "skipped", "waiting"] = "failed"


@dataclass(kw_only=True, eq=False)
class Run:
    """The state of one call of `stream` or `resume`, which is not stored. A run that continues in another process reads its
    documents again, with the rights that the caller then has.
    """

    parts: AgentParts
    principal: Principal
    answer_id: str
    budget: Budget
    emit: Callable[[Event], None]
    steps: list[Step] = field(default_factory=list)
    degraded: list[str] = field(default_factory=list)
    cost_notes: list[str] = field(default_factory=list)
    """Why calls of the chat model have no cost."""
    unsupported: list[Unsupported] = field(default_factory=list)
    worked_out: list[WorkedOut] = field(default_factory=list)
    drafts: list[DraftOutcome] = field(default_factory=list)
    prompts: dict[str, str] = field(default_factory=dict)
    """Labels (version and digest) of the prompts that were used, by name."""
    usage: Usage = UNCALLED
    state: State = field(default_factory=lambda: cast("State", {}))
    """The stored state when the run began: the conversation, and the day that is asked about."""
    request: AnswerRequest | None = None
    """The request; `None` where a run goes on after a decision."""
    client_calls: list[ToolCall] = field(default_factory=list)
    waiting: dict[str, Approval] = field(default_factory=dict)
    """The approvals that tool calls waited for when the run was resumed, by the id of the call."""
    taken_back: tuple[str, ...] = ()
    """The runs that were taken back from the conversation, as in `Origin`."""
    passages: dict[str, Hit] = field(default_factory=dict)
    """Passages that a tool-calling agent has read, by id."""
    numbers: dict[str, int] = field(default_factory=dict)
    """The number under which each passage was shown to the model, by the passage's id."""
    days: dict[str, date] = field(default_factory=dict)
    """The day that the model stated in the search for a passage, by the passage's id; absent: the run's own."""
    loop: asyncio.AbstractEventLoop | None = None
    """The event loop on which calls are charged; `None` once the run is closed."""
    slowest_s: float = 0.0
    """Seconds of the longest call of the chat model so far."""
    calls: int = 0
    """Rounds of a tool-calling agent: calls of the chat model within this process."""
    first_token_s: float | None = None
    """Seconds from the run's beginning to the chat model's first text; `None` before it."""
    _costs: list[Decimal | None] = field(default_factory=list)
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
        priced = [cost for cost in self._costs if cost is not None]
        return sum(priced, Decimal(0)) if len(priced) == len(self._costs) else None

    def prompt(self, name: str) -> Prompt:
        """Return the tenant's version of a prompt, and note its label for the trace."""
        prompt = self.parts.prompts.of(self.principal.tenant)[name]
        self.prompts[name] = prompt.label
        return prompt

    @property
    def scope(self) -> Scope:
        """The documents that the caller may read now."""
        return self.parts.executor.policy.scope(self.principal)

    async def in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in a thread, for at most the seconds that are left. Raises BudgetExceeded: they ran out."""
        return await in_thread_within(self.budget.remaining_s(), work, *args, **kwargs)

    async def search(self, query: str, *, as_of: date | None = None) -> list[Hit]:
        """Search the documents that the caller may read, as of the day that the person asked about, else of `as_of`."""
        search, answers = self.parts.retriever.retrieve, self.parts.settings.answers
        limit, passages, day = answers.evidence_documents, answers.passages_per_document, day_of(self.state) or as_of
        return await self.in_thread(search, query, self.scope, limit=limit, per_document=passages, as_of=day)

    def stated_day(self, citations: Iterable[Mapping[str, Any]]) -> date | None:
        """Return the day that the model stated where it searched for all that is cited; `None`: not one day."""
        days = {self.days.get(cited["chunk_id"]) for cited in citations}
        return days.pop() if len(days) == 1 else None

    def tell(self, kind: Any, **content: Any) -> None:
        self.emit(Event(kind=kind, thread_id=self.state.get("thread_id"), **content))

    def report(self, step: Step) -> None:
        self.steps.append(step)
        self.tell("step", step=step)

    @contextmanager
    def watch(self, name: str) -> Iterator[Watch]:
        """Time the step inside and report it when it ends; it has failed unless the block says otherwise."""
        watch, begun_s = Watch(), time.perf_counter()
        try:
            yield watch
        finally:
            ms = (time.perf_counter() - begun_s) * 1000
            self.report(Step(name=name, detail=watch.detail, outcome=watch.outcome, ms=ms))

    def nothing_found(self, nearest: Sequence[NearDocument] = ()) -> Result:
        return {**abstain(self.prompt("nothing_found").text, nearest), "band": "not_found"}

    async def generate(self, messages: Sequence[BaseMessage], *, max_tokens: int = REPLY_TOKENS) -> AIMessage:
        """Call the chat model once: reserve, call, price, charge, settle. Cancelling it closes the provider's stream. Raises
        BudgetExceeded: the call does not fit into what is left to this run or this day, or the seconds ran out during it.
        ComponentError: the model failed, after retries and fallbacks.
        """

        def open_stream() -> Chunks:
            return cast("Chunks", self.parts.chat.astream(list(messages), max_tokens=max_tokens))

        return await self.pay_for(messages, open_stream, max_tokens=max_tokens)

    async def pay_for(
        self,
        messages: Sequence[BaseMessage],
        open_stream: Callable[[], Chunks],
        *,
        max_tokens: int,
        tools: Sequence[Any] = (),
        seen: Callable[[AIMessageChunk], None] = lambda _: None,
        model: BaseChatModel | None = None,
    ) -> AIMessage:
        """Make a call by `open_stream`, of `model` if not of the run's chat model, and charge it; `seen` gets each chunk. Raises as
        `generate`.
        """
        chat = model or self.parts.chat
        expected = self._expected_call(chat, count_tokens(messages, tools), max_tokens)
        heard: list[AIMessageChunk] = []
        requests_made.set(lost := list[Call]())
        async with self._reserve(_tokens_of(expected), self.parts.prices.price(expected).usd) as spent:
            begun_s, begun_at_s = time.perf_counter(), self.parts.clock.monotonic_s()
            try:
                with on_behalf_of(self.principal.tenant):
                    await self._listen(open_stream, heard, seen)
            except (SixplyError, asyncio.CancelledError) as error:
                if heard or not isinstance(error, ComponentError):  # providers charge for an abandoned call
                    call = self._priced_call(chat, message_until_cut(heard, messages), expected, begun_s)
                    await self._charge(call, spent, whole=any(chunk.usage_metadata for chunk in heard))
                raise
            finally:
                for call in lost:  # replies that broke off before their first word, and were tried again
                    await self._charge(call, spent)
            self.slowest_s = max(self.slowest_s, self.parts.clock.monotonic_s() - begun_at_s)
            message = join_chunks(heard)
            made = self._priced_call(chat, message, expected, begun_s)
            await self._charge(made, spent)
            # where the provider did not say, an estimate, or the run would have no limit
            spent.tokens = spent.tokens or count_tokens_approximately([*messages, message])
        if message.response_metadata.get(FALLBACK):
            self.note(f"answered by the fallback model {made.model}")
        return message

    @asynccontextmanager
    async def _reserve(self, tokens: int, usd: Decimal | None) -> AsyncIterator[_Spent]:
        """Reserve a call in the budgets of this run and of the day; on exit, settle with what the yielded `_Spent` says."""
        spent, shared = _Spent(), self.parts.spending
        reservation = self.budget.reserve(tokens=tokens, usd=usd or Decimal(0))
        try:
            held = await shared.reserve(self.principal, tokens=tokens, usd=usd) if shared else None
            try:
                yield spent
            finally:
                if shared:
                    await shared.settle(held, tokens=spent.tokens, usd=spent.usd)
        finally:
            self.budget.settle(reservation, tokens=spent.tokens, usd=spent.usd or Decimal(0))

    async def _listen(
        self, open_stream: Callable[[], Chunks], heard: list[AIMessageChunk], seen: Callable[[AIMessageChunk], None]
    ) -> None:
        """Read the stream to its end into `heard`, which after a failure holds the chunks before it."""
        try:
            async with asyncio.timeout(self.budget.remaining_s()), aclosing(open_stream()) as chunks:
                async for chunk in chunks:
                    heard.append(chunk)
                    if self.first_token_s is None and chunk.text:
                        self.first_token_s = self.seconds
                    seen(chunk)
        except TimeoutError as error:
            raise BudgetExceeded("The seconds of this run ran out during a model call.", limit="seconds") from error

    def join(self, aside: Run) -> None:
        """Add the usage of a copy of this run that started at zero."""
        self._use(aside.usage)
        self._local_s += aside._local_s
        self.first_token_s = min(filter(None, (self.first_token_s, aside.first_token_s)), default=None)

    def _use(self, usage: Usage) -> None:
        if usage is not UNCALLED:
            self.usage = usage if self.usage is UNCALLED else self.usage + usage

    def note(self, what: str) -> None:
        """Add to `degraded`, once, what is worse than configured."""
        if what not in self.degraded:
            self.degraded.append(what)

    async def close(self) -> None:
        """Charge the machine's time that local model calls were not charged for, and end the run. A second call does nothing."""
        if self._seconds is not None:
            return
        self._seconds, self.loop = time.perf_counter() - self._begun_s, None
        rate = self.parts.machine_usd_per_hour
        seconds = max(0.0, self._seconds - self._local_s)
        usd = (Decimal(str(rate)) * Decimal(str(seconds)) / 3600).quantize(_PICODOLLAR)
        await self.record("machine", "machine", seconds=seconds, usd=usd, basis=f"local compute {rate:g} USD/h")

    def expect(self, tokens: int, reply: int) -> tuple[int, Decimal]:
        """Return the tokens and US dollars of a call that reads and writes so many tokens; 0 dollars where it has no price."""
        return tokens + reply, self.parts.prices.price(
            self._expected_call(self.parts.chat, tokens, reply)
        ).usd or Decimal(0)

    def _expected_call(self, chat: BaseChatModel, tokens: int, max_tokens: int) -> Call:
        usage = UsageMetadata(input_tokens=tokens, output_tokens=max_tokens, total_tokens=tokens + max_tokens)
        message = AIMessage(content="", usage_metadata=usage)
        return call_of(chat, message, seconds=0.0, at=self.parts.clock.now())

    def _priced_call(self, chat: BaseChatModel, message: AIMessage, expected: Call, begun: float) -> Call:
        return call_of(chat, message, seconds=time.perf_counter() - begun, at=expected.at)

    async def _charge(self, call: Call, spent: _Spent, *, whole: bool = True) -> None:
        price = self.parts.prices.price(call)
        self._use(call.usage)
        self._local_s += call.seconds if call.local else 0.0
        spent.tokens += _tokens_of(call)
        spent.usd = None if spent.usd is None or price.usd is None else spent.usd + price.usd
        if price.usd is None:
            self.cost_notes.append(f"{price.basis}, so its cost is unknown.")
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
        price, tokens = self.parts.prices.price(call), _tokens_of(call)
        await self.record("embeddings", call.provider, **charge_details(call, price))
        if price.usd:  # free calls need no budget; a call without a known price is not reserved as a whole request, as a chat call is
            async with self._reserve(tokens, price.usd) as spent:
                spent.tokens, spent.usd = tokens, price.usd

    async def record(self, kind: str, part: str, *, usd: Decimal | None, **details: Any) -> None:
        self._costs.append(usd)
        charge = Charge(
            kind=kind,
            part=part,
            usd=usd,
            tenant=self.principal.tenant,
            subject=self.principal.subject,
            answer_id=self.answer_id,
            **{"at": self.parts.clock.now(), "trace_id": trace_id()} | details,
        )
        if (charges := charges_of_all.get()) is not None:
            charges.append(charge)
        # the disk must not block the event loop; shielded, or a cancel would take back what waits for a thread
        await asyncio.shield(asyncio.to_thread(self.parts.meter.record, charge))


@contextmanager
def running(run: Run) -> Iterator[None]:
    """Make `run` the current run of all code inside."""
    with suppress(RuntimeError):
        run.loop = asyncio.get_running_loop()
        let_threads_wait(run.loop)
    token = run_at_work.set(run)
    try:
        yield
    finally:
        run_at_work.reset(token)


def current_run() -> Run:
    """Return the current run. Raises RuntimeError: there is none, as outside an agent."""
    run = run_at_work.get()
    if run is None:
        raise RuntimeError("No run is at work here. Call this inside `with running(run):`, as the agents do.")
    return run


def _tokens_of(call: Call) -> int:
    return (call.usage.input_tokens or 0) + (call.usage.output_tokens or 0)
