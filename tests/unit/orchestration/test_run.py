"""A run charges each call of a model to its answer and tenant."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel, FakeMessagesListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from extensions.development.scripted_chat import ScriptedChat
from foundation.errors import BudgetExceeded, UpstreamDown
from foundation.machine.threads import AT_WORK
from foundation.types import Usage
from models.contract import Call
from models.resilience.resilient_chat import resilient
from models.settings import ResilienceSettings
from orchestration.run.budget import Budget
from orchestration.run.metered_chat import MeteredChatModel
from orchestration.run.run import Run, running
from orchestration.settings import BudgetSettings
from tests.doubles.orchestration import NORTH, World


@pytest.fixture
async def world(data_dir: Path) -> AsyncIterator[World]:
    made = World(data_dir)
    yield made
    made.close()


def run_of(world: World, **limits: Any) -> Run:
    budget = Budget(BudgetSettings(**limits), world.clock)
    return Run(parts=world.parts(), principal=NORTH, answer_id="a-1", budget=budget, emit=lambda _: None)


async def test_a_call_is_charged_to_its_answer_and_tenant(world: World) -> None:
    world.chat = ScriptedChat(replies=("four words of reply",))
    run = run_of(world)
    reply = await run.bill.generate([HumanMessage("two words")])
    assert reply.text == "four words of reply"
    charge = world.till.charges[0]
    assert (charge.layer, charge.kind, charge.tenant, charge.answer_id) == ("models", "chat", "north", "a-1")
    assert charge.usd == run.bill.cost_usd == Decimal(6) / 1_000_000
    assert (run.bill.usage.input_tokens, run.bill.usage.output_tokens, run.budget.tokens) == (2, 4, 6)


async def test_a_provider_that_tells_no_usage_uses_up_the_tokens_of_the_run_all_the_same(world: World) -> None:
    world.chat = FakeListChatModel(responses=["four words of reply"])
    run = run_of(world)
    await run.bill.generate([HumanMessage("two words")])
    assert run.bill.usage.input_tokens is None, "nothing is claimed"
    assert run.budget.tokens > 0


async def test_the_first_word_of_a_run_is_timed_once(world: World) -> None:
    world.chat = ScriptedChat(replies=("one two", "three"))
    run = run_of(world)
    assert run.bill.first_token_s is None
    await run.bill.generate([HumanMessage("?")])
    first = run.bill.first_token_s
    assert first is not None
    assert 0 < first <= run.bill.seconds
    await run.bill.generate([HumanMessage("?")])
    assert run.bill.first_token_s == first


async def test_a_failed_call_costs_nothing_and_frees_its_reservation(world: World) -> None:
    world.chat = ScriptedChat(replies=(UpstreamDown("It refused."), "fine"))
    run = run_of(world, tokens=300)
    with pytest.raises(UpstreamDown):
        await run.bill.generate([HumanMessage("two words")])
    assert (world.till.charges, run.budget.tokens) == ([], 0)
    assert (await run.bill.generate([HumanMessage("two words")])).text == "fine"


async def test_a_call_that_does_not_fit_is_not_made(world: World) -> None:
    chat = ScriptedChat(replies=("never",))
    world.chat = chat
    with pytest.raises(BudgetExceeded):
        await run_of(world, tokens=10).bill.generate([HumanMessage("a question of some length")])
    assert chat.seen == []


async def test_parallel_calls_overspend_by_no_more_than_themselves(world: World) -> None:
    world.chat = ScriptedChat(replies=("word " * 50,))
    run = run_of(world, tokens=1000)
    calls = (run.bill.generate([HumanMessage("hello")], max_tokens=40) for _ in range(100))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    made = sum(isinstance(outcome, AIMessage) for outcome in outcomes)
    assert 0 < made < 100
    assert all(isinstance(outcome, AIMessage | BudgetExceeded) for outcome in outcomes)
    assert run.budget.tokens <= 1000 + made * 50


async def test_a_call_ends_with_the_seconds_of_its_run(world: World) -> None:
    class Hanging(ScriptedChat):
        async def _astream(self, *args: Any, **kwargs: Any) -> Any:
            await asyncio.Event().wait()
            yield

    world.chat = Hanging()
    with pytest.raises(BudgetExceeded) as refused:
        await run_of(world, seconds=0.05).bill.generate([HumanMessage("hello")])
    assert refused.value.limit == "seconds"


async def test_a_fallback_that_answered_is_told(world: World) -> None:
    reply = AIMessage("fine", response_metadata={"fallback": True})
    world.chat = ScriptedChat(replies=(reply,))
    run = run_of(world)
    await run.bill.generate([HumanMessage("hello")])
    assert len(run.notes.degraded) == 1
    assert "fallback" in run.notes.degraded[0]


async def test_the_machines_time_is_charged_once_and_without_the_time_of_local_calls(world: World) -> None:
    class Local(ScriptedChat):
        local: bool = True

        async def _astream(self, *args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0.2)
            for chunk in self._stream(*args, **kwargs):
                yield chunk

    world.chat = Local(replies=("fine",))
    run = run_of(world)
    await run.bill.generate([HumanMessage("hello")])
    await run.bill.close()
    await run.bill.close()
    machine = [charge for charge in world.till.charges if charge.kind == "machine"]
    assert len(machine) == 1
    call = next(charge for charge in world.till.charges if charge.kind == "chat")
    assert machine[0].seconds == pytest.approx(run.bill.seconds - call.seconds)
    assert machine[0].usd == pytest.approx(
        Decimal(str(machine[0].seconds)) * Decimal("3.6") / 3600, abs=Decimal("1e-9")
    )


class BreaksOff(ScriptedChat):
    """Says a few words, and then does what `then` says."""

    then: Any = None
    says: tuple[str, ...] = ("Some ", "words ")

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        for word in self.says:
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))
        await self.then()


async def test_whole_replies_that_broke_off_are_paid_for_also_where_none_follows(world: World) -> None:
    used: Any = {"input_tokens": 30, "output_tokens": 20, "total_tokens": 50}
    said = AIMessage("Some", usage_metadata=used, response_metadata={"finish_reason": "error"})
    inner = FakeMessagesListChatModel(responses=[said], disable_streaming=True)
    world.chat = resilient(inner, (), ResilienceSettings(), world.clock)
    run = run_of(world)
    with pytest.raises(UpstreamDown, match="broke off"):
        await run.bill.generate([HumanMessage("two words")])
    tried = len(world.till.charges)
    assert tried >= 1
    assert [charge.usage.output_tokens for charge in world.till.charges] == [20] * tried
    assert (run.bill.usage.input_tokens, run.budget.tokens) == (30 * tried, 50 * tried)


async def test_what_was_said_before_a_call_broke_off_is_paid_for(world: World) -> None:
    async def fails() -> None:
        raise UpstreamDown("It went away.")

    world.chat = BreaksOff(then=fails)
    run = run_of(world)
    with pytest.raises(UpstreamDown):
        await run.bill.generate([HumanMessage("two words")])
    (charge,) = world.till.charges
    assert charge.usage.input_tokens
    assert charge.usage.output_tokens
    assert "estimated" in charge.basis
    assert run.budget.tokens == charge.usage.input_tokens + charge.usage.output_tokens
    assert run.bill.cost_usd == charge.usd


async def test_of_a_call_that_broke_off_what_was_reported_counts_and_arguments_are_words(world: World) -> None:
    class Breaks(BreaksOff):
        last: Any = None

        async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
            yield ChatGenerationChunk(message=self.last)
            raise UpstreamDown("It went away.")

    used: Any = {"input_tokens": 30, "output_tokens": 20, "total_tokens": 50}
    arguments: Any = {"name": "send", "args": "a word " * 100, "id": "1", "index": 0}
    for last in (
        AIMessageChunk(content="x", usage_metadata=used),
        AIMessageChunk(content="", tool_call_chunks=[arguments]),
    ):
        world.chat = Breaks(last=last)
        with pytest.raises(UpstreamDown):
            await run_of(world).bill.generate([HumanMessage("two words")])
    reported, estimated = world.till.charges
    assert (reported.usage.input_tokens, reported.usage.output_tokens) == (30, 20)
    assert "estimated" not in reported.basis
    assert (estimated.usage.output_tokens or 0) > 100
    assert "estimated" in estimated.basis


async def test_a_cancelled_call_is_paid_for_and_gives_its_reservation_back(world: World) -> None:
    said = asyncio.Event()

    async def hangs() -> None:
        said.set()
        await asyncio.Event().wait()

    world.chat = BreaksOff(then=hangs)
    run = run_of(world, tokens=400)
    task = asyncio.create_task(run.bill.generate([HumanMessage("two words")], max_tokens=300))
    await said.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(world.till.charges) == 1
    run.budget.reserve(tokens=300, usd=Decimal(0))


async def test_as_many_embeddings_as_there_are_threads_are_paid_for_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.run.bill._CHARGED_S", 5.0)
    run, usage = run_of(world), Usage(input_tokens=3, output_tokens=0)
    call = Call("cloud", "m", usage, seconds=0.1, local=False, at=world.clock.now())
    all_at_once = Barrier(AT_WORK)

    def pay() -> None:
        all_at_once.wait(30)
        run.bill.pay_embedding(call)

    with running(run):
        await asyncio.gather(*(run.in_thread(pay) for _ in range(AT_WORK)))
    assert len(world.till.charges) == AT_WORK


async def test_as_many_judges_as_there_are_threads_ask_a_model_that_needs_one(world: World) -> None:
    class InThread(ScriptedChat):
        """As models are that have no async call: LangChain calls them in a thread."""

    world.chat = InThread(replies=("yes",))
    run, judge = run_of(world, seconds=20), MeteredChatModel(inner=world.chat)
    all_at_once = Barrier(AT_WORK)

    def ask() -> str:
        all_at_once.wait(30)
        return judge.invoke("Is it so?").text

    with running(run):
        assert await asyncio.gather(*(run.in_thread(ask) for _ in range(AT_WORK))) == ["yes"] * AT_WORK


async def test_a_judge_whose_reply_comes_as_it_stops_waiting_has_its_reply(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class JustDone(Future[ChatResult]):
        def result(self, timeout: float | None = None) -> ChatResult:
            if timeout is not None:
                raise TimeoutError
            return super().result()

    def answer_late(call: Coroutine[Any, Any, Any], _: Any) -> JustDone:
        call.close()
        done = JustDone()
        done.set_result(ChatResult(generations=[ChatGeneration(message=AIMessage("yes"))]))
        return done

    run, judge = run_of(world), MeteredChatModel(inner=world.chat)
    with running(run):
        monkeypatch.setattr("orchestration.run.metered_chat.asyncio.run_coroutine_threadsafe", answer_late)
        reply = await run.in_thread(judge.invoke, "Is it so?")
        monkeypatch.undo()
    assert reply.text == "yes"


async def test_a_charge_that_waits_for_a_thread_is_recorded_even_if_its_run_is_cancelled(world: World) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    free, run = Event(), run_of(world)
    others = asyncio.ensure_future(asyncio.to_thread(free.wait))
    closing = asyncio.create_task(run.bill.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    free.set()
    await others
    await asyncio.to_thread(lambda: None)
    assert [charge.kind for charge in world.till.charges] == ["machine"]
