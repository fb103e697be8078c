"""Deadline, retries, fallbacks and breakers around any chat models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from datetime import UTC, datetime
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tools import tool
from opentelemetry.instrumentation.genai.langchain import LangChainInstrumentor
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import BaseModel

from extensions.development.scripted_chat import ScriptedChat
from foundation import names
from foundation.clock import SystemClock
from foundation.components import Context, load
from foundation.errors import ComponentError, UpstreamDown, UpstreamLimited, UpstreamMalformed, UpstreamTimeout
from foundation.settings import Part
from models.pricing import USAGE_AT_START, call_of, identity
from models.resilience import attempts, streams
from models.resilience.bindings import alternate
from models.resilience.resilient_chat import FALLBACK, ResilientChatModel, resilient
from models.resilience.streams import is_cut_off, join_chunks, read_first_words, without_thoughts
from models.settings import ResilienceSettings
from tests.doubles.orchestration import ManualClock
from tests.doubles.provider import FaultyProvider, calls, cut, hang, ok, stall, status


def _wrap(*models: BaseChatModel, **settings: Any) -> ResilientChatModel:
    given = {"attempts": 3, "timeout_s": 20, **settings}
    return resilient(models[0], models[1:], ResilienceSettings(**given), SystemClock())


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waiting times between attempts, none of which is waited."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(attempts, "_sleep", sleep)
    return waited


def _openai(address: str, tmp_path: Path, **options: Any) -> Any:
    given = {"use": "openai_compatible", "model": "m-1", "base_url": f"{address}/v1", **options}
    return load("models.chat", Part.model_validate(given), Context(data_dir=tmp_path))


def _anthropic(address: str, tmp_path: Path, **options: Any) -> Any:
    given = {"use": "anthropic", "model": "c-1", "base_url": address, "api_key": "sk-own", **options}
    return load("models.chat", Part.model_validate(given), Context(data_dir=tmp_path))


async def _keep(chat: BaseChatModel, heard: list[Any]) -> None:
    """Read a stream into `heard`, which then also has what came before an error."""
    async for chunk in chat.astream("x"):
        heard.append(chunk)  # noqa: PERF401  # extending by a comprehension would lose what came before an error


async def _read(chat: BaseChatModel, seen: list[str], after_each: Callable[[], None] = lambda: None) -> None:
    """The same for the text of each piece."""
    async for chunk in chat.astream("x"):
        seen.append(chunk.text)
        after_each()


# --- retries ----------------------------------------------------------------------------------------------------------


async def test_a_retryable_failure_is_tried_again(waits: list[float]) -> None:
    chat = _wrap(ScriptedChat(replies=(UpstreamDown("gone"), UpstreamTimeout("late"), "fine")))
    assert (await chat.ainvoke("x")).text == "fine"
    assert len(waits) == 2


async def test_attempts_are_counted_with_the_first(waits: list[float]) -> None:
    model = ScriptedChat(replies=(UpstreamDown("gone"),))
    with pytest.raises(UpstreamDown):
        await _wrap(model, attempts=3).ainvoke("x")
    assert len(model.seen) == 3
    assert len(waits) == 2


@pytest.mark.parametrize("code", [401, 403, 400])
async def test_a_refused_request_is_not_tried_again(code: int, waits: list[float], tmp_path: Path) -> None:
    with FaultyProvider(status(code)) as provider, pytest.raises(ComponentError) as caught:
        await _wrap(_openai(provider.url, tmp_path)).ainvoke("x")
    assert len(provider.requests) == 1
    assert not caught.value.retryable
    assert waits == []


async def test_the_providers_wish_to_wait_is_honoured(waits: list[float], tmp_path: Path) -> None:
    with FaultyProvider(status(429, {"Retry-After": "7"}), ok("fine")) as provider:
        reply = await _wrap(_openai(provider.url, tmp_path)).ainvoke("x")
    assert reply.text == "fine"
    assert waits == [7.0]


async def test_a_wish_longer_than_we_would_wait_is_passed_on_at_once(waits: list[float], tmp_path: Path) -> None:
    with FaultyProvider(status(429, {"Retry-After": "60"})) as provider, pytest.raises(UpstreamLimited) as caught:
        await _wrap(_openai(provider.url, tmp_path)).ainvoke("x")
    assert caught.value.retry_after_s == 60
    assert len(provider.requests) == 1
    assert waits == []


async def test_waiting_times_differ_and_stay_below_their_limit(
    waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "BREAKER_FAILURES", 20)
    monkeypatch.setattr(attempts, "WAIT_MAX_S", 0.5)
    model = ScriptedChat(replies=(UpstreamDown("gone"),))
    with pytest.raises(UpstreamDown):
        await _wrap(model, attempts=10).ainvoke("x")
    assert len(set(waits)) > 1
    assert all(0 <= wait <= 0.5 for wait in waits)


# --- the deadline -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_provider_that_says_nothing_is_left_at_the_deadline(*, streamed: bool, tmp_path: Path) -> None:
    with FaultyProvider(hang()) as provider:
        chat = _wrap(_openai(provider.url, tmp_path), timeout_s=0.2)
        with pytest.raises(UpstreamTimeout):
            _ = [chunk async for chunk in chat.astream("x")] if streamed else await chat.ainvoke("x")
    assert len(provider.requests) <= 1, "a busy machine may not even have connected in that time"


def test_the_deadline_holds_for_sync_callers(tmp_path: Path) -> None:
    with FaultyProvider(hang()) as provider, pytest.raises(UpstreamTimeout):
        _wrap(_openai(provider.url, tmp_path), timeout_s=0.2).invoke("x")


async def test_a_stream_that_stalls_in_the_middle_is_left_at_the_deadline() -> None:
    class Stalls(ScriptedChat):
        async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
            yield ChatGenerationChunk(message=AIMessageChunk(content="one "))
            await asyncio.Event().wait()

    clock, seen = ManualClock(), list[str]()
    chat = resilient(Stalls(), (), ResilienceSettings(timeout_s=20), clock)
    with pytest.raises(UpstreamTimeout):
        await _read(chat, seen, after_each=lambda: clock.forward(seconds=20))
    assert seen == ["one "]


async def test_a_stream_that_says_nothing_is_left_for_the_next_model_without_a_second_attempt(
    waits: list[float], tmp_path: Path
) -> None:
    with FaultyProvider(hang()) as provider:
        chat = _wrap(_openai(provider.url, tmp_path), ScriptedChat(replies=("fine",)), first_token_s=2)
        seen: list[str] = []
        await _read(chat, seen)
        assert provider.left.wait(60)
    assert "".join(seen) == "fine"
    assert len(provider.requests) == 1
    assert waits == []


async def test_a_stream_that_falls_silent_is_left_after_the_gap(tmp_path: Path) -> None:
    with FaultyProvider(stall("one two")) as provider:
        seen: list[str] = []
        with pytest.raises(UpstreamTimeout):
            await _read(_wrap(_openai(provider.url, tmp_path), gap_s=2), seen)
        assert provider.left.wait(60)
    assert "".join(seen).split() == ["one", "two"]


async def test_in_an_outage_retries_are_only_a_share_of_the_calls(
    waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "BREAKER_FAILURES", 1000)
    monkeypatch.setattr(attempts, "RETRY_SHARE", 0.1)
    model = ScriptedChat(replies=(UpstreamDown("gone"),))
    chat = _wrap(model, attempts=3)
    for _ in range(100):
        with pytest.raises(UpstreamDown):
            await chat.ainvoke("x")
    assert 100 + 10 <= len(model.seen) <= 100 + 20


async def test_cancelling_the_caller_cancels_the_call() -> None:
    asked, cancelled = asyncio.Event(), asyncio.Event()

    class Hangs(ScriptedChat):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            asked.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

    task = asyncio.create_task(_wrap(Hangs()).ainvoke("x"))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled.is_set()


# --- streams ----------------------------------------------------------------------------------------------------------


async def test_a_stream_that_fails_before_its_first_token_is_started_again(waits: list[float]) -> None:
    class FailsEmpty(ScriptedChat):
        async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
            if not self.seen:
                self.seen.append([])
                yield ChatGenerationChunk(message=AIMessageChunk(content=""))
                raise ConnectionResetError
            async for chunk in super()._astream(*args, **kwargs):
                yield chunk

    chunks = [chunk.text async for chunk in _wrap(FailsEmpty(replies=("one two",))).astream("x")]
    assert "".join(chunks) == "one two"
    assert len(waits) == 1


@pytest.mark.parametrize("make", [_openai, _anthropic])
async def test_a_stream_that_fails_after_its_first_token_is_an_error_and_no_second_start(
    make: Any, tmp_path: Path
) -> None:
    with FaultyProvider(cut("one two three four five")) as provider:
        seen: list[str] = []
        with pytest.raises(UpstreamDown):
            await _read(_wrap(make(provider.url, tmp_path), ScriptedChat(replies=("other",))), seen)
    assert "".join(seen).startswith("one ")
    assert "other" not in "".join(seen)
    assert len(provider.requests) == 1


async def test_what_a_model_thinks_first_counts_as_a_sign_of_life() -> None:
    async def thinking() -> AsyncGenerator[ChatGenerationChunk, None]:
        yield ChatGenerationChunk(message=AIMessageChunk(content="", additional_kwargs={"reasoning_content": "Well."}))
        await asyncio.Event().wait()  # for the words, for as long as it likes

    async with asyncio.timeout(60):
        first, rest = await read_first_words(thinking())
        await rest.aclose()
    assert len(first) == 1


async def test_a_stream_is_closed_below_when_its_first_words_are_no_longer_waited_for() -> None:
    begun, closed = asyncio.Event(), asyncio.Event()

    class Silent(AsyncGenerator[ChatGenerationChunk, None]):
        """Unlike a function with `yield` it does not end by itself when whoever reads it is cancelled."""

        async def asend(self, value: None) -> ChatGenerationChunk:
            begun.set()
            await asyncio.Event().wait()
            raise AssertionError("nobody sets it")

        async def athrow(self, *error: Any) -> ChatGenerationChunk:
            raise error[0]

        async def aclose(self) -> None:
            closed.set()

    reading = asyncio.create_task(read_first_words(Silent()))
    async with asyncio.timeout(60):
        await begun.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert closed.is_set()


@pytest.mark.parametrize("count", [-1, 10**30])
def test_counts_that_are_no_counts_are_not_kept_in_a_message(count: int) -> None:
    usage = UsageMetadata(input_tokens=count, output_tokens=1, total_tokens=2)
    at_start = AIMessageChunk(content="a", response_metadata={USAGE_AT_START: usage})
    at_end = AIMessageChunk(content="a", usage_metadata=usage)
    for chunk in (at_start, at_end):
        message = join_chunks([chunk, AIMessageChunk(content="b")])
        assert message.text == "ab"
        assert str(count) not in message.model_dump_json()


async def test_a_stream_without_any_token_is_an_answer_that_cannot_be_used(waits: list[float]) -> None:
    class Empty(ScriptedChat):
        async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
            for chunk in ():
                yield chunk

    with pytest.raises(UpstreamMalformed):
        _ = [chunk async for chunk in _wrap(Empty()).astream("x")]


@pytest.mark.parametrize("before", [(), (UpstreamDown("gone"),)])
async def test_leaving_a_stream_early_closes_it_below(before: tuple[Exception, ...], waits: list[float]) -> None:
    closed = asyncio.Event()

    class Long(ScriptedChat):
        async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
            try:
                while True:
                    yield ChatGenerationChunk(message=AIMessageChunk(content="word "))
            finally:
                closed.set()

    failing = (ScriptedChat(replies=(error,)) for error in before)
    stream = _wrap(*failing, Long(), attempts=1)._astream([AIMessage("x")])
    await anext(stream)
    await stream.aclose()
    assert closed.is_set()


@pytest.mark.parametrize("piece", ["word " * 20_000, "word ", ""])
async def test_a_stream_that_goes_on_beyond_its_tokens_is_left(piece: str) -> None:
    sent: list[int] = []
    closed = asyncio.Event()

    class Endless(ScriptedChat):
        async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
            try:
                while True:
                    sent.append(max(1, len(piece)))
                    yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
            finally:
                closed.set()

    with pytest.raises(UpstreamMalformed, match="at most 10 tokens"):
        async for _ in _wrap(Endless(), attempts=1).astream("x", max_tokens=10):
            pass
    assert closed.is_set()
    assert sum(sent) <= 2_400 + 2 * max(1, len(piece))


async def test_a_reply_as_long_as_its_tokens_may_be_is_whole() -> None:
    reply = "characteristically " * 100
    chunks = [chunk.text async for chunk in _wrap(ScriptedChat(replies=(reply,))).astream("x", max_tokens=100)]
    assert "".join(chunks) == reply


async def test_a_model_that_cannot_stream_gives_its_reply_in_one_piece() -> None:
    class Whole(ScriptedChat):
        disable_streaming: bool = True

    chunks = [chunk.text async for chunk in _wrap(Whole(replies=("one two",))).astream("x")]
    assert [chunk for chunk in chunks if chunk] == ["one two"]


# --- fallbacks --------------------------------------------------------------------------------------------------------


async def test_a_fallback_answers_and_the_reply_says_so(waits: list[float]) -> None:
    primary = ScriptedChat(replies=(UpstreamDown("gone"),), model_name="first")
    chat = _wrap(primary, ScriptedChat(replies=("fine",), model_name="second"))
    reply = await chat.ainvoke("x")
    assert (reply.text, reply.response_metadata[FALLBACK]) == ("fine", True)
    assert reply.response_metadata["model_name"] == "second"
    assert identity(chat.who_answered(reply)) == ("scripted", "second")
    assert len(primary.seen) == 3


async def test_a_streamed_reply_says_so_too(waits: list[float]) -> None:
    chat = _wrap(ScriptedChat(replies=(UpstreamDown("gone"),)), ScriptedChat(replies=("fine",), model_name="second"))
    whole = None
    async for chunk in chat.astream("x"):
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    assert whole.response_metadata[FALLBACK] is True
    assert whole.response_metadata["model_name"] == "second"


async def test_a_reply_of_the_primary_model_is_not_labelled() -> None:
    assert FALLBACK not in (await _wrap(ScriptedChat(), ScriptedChat()).ainvoke("x")).response_metadata


async def test_a_bad_key_falls_back_without_a_retry(waits: list[float], tmp_path: Path) -> None:
    with FaultyProvider(status(401)) as provider:
        reply = await _wrap(_openai(provider.url, tmp_path), ScriptedChat(replies=("fine",))).ainvoke("x")
    assert reply.text == "fine"
    assert len(provider.requests) == 1


async def test_when_all_fail_the_error_names_each(waits: list[float]) -> None:
    first = ScriptedChat(replies=(UpstreamLimited("slow down", retry_after_s=3),))
    with pytest.raises(UpstreamDown, match=r"All 2 chat models failed\. slow down Then: gone") as caught:
        await _wrap(first, ScriptedChat(replies=(UpstreamDown("gone"),))).ainvoke("x")
    assert caught.value.retry_after_s == 3
    assert caught.value.__cause__ is not None


async def test_the_call_is_charged_to_the_model_that_answered(waits: list[float]) -> None:
    class Local(ScriptedChat):
        local: bool = True

    chat = _wrap(Local(replies=(UpstreamDown("gone"),)), ScriptedChat(model_name="second"))
    call = call_of(chat, await chat.ainvoke("x"), seconds=1.5, at=datetime.now(UTC))
    assert chat.local
    assert (call.model, call.local, call.seconds) == ("second", False, 1.5)


async def test_a_fallback_that_breaks_off_is_charged_for_its_own_words(waits: list[float], tmp_path: Path) -> None:
    with FaultyProvider(cut("one two three four")) as provider:
        chat = _wrap(ScriptedChat(replies=(UpstreamDown("gone"),)), _openai(provider.url, tmp_path))
        heard: list[AIMessageChunk] = []
        with pytest.raises(UpstreamDown):
            await _keep(chat, heard)
    assert "".join(chunk.text for chunk in heard)
    assert identity(chat.who_answered(reduce(add, heard)))[1] == "m-1"


@pytest.mark.parametrize(
    ("choice", "of_openai", "of_anthropic"), [("any", "required", {"type": "any"}), ("none", "none", {"type": "none"})]
)
async def test_tools_reach_a_fallback_of_another_vendor_in_its_own_form(
    choice: str, of_openai: str, of_anthropic: dict[str, str], waits: list[float], tmp_path: Path
) -> None:
    @tool
    def find_order(number: int) -> str:
        """Find an order."""
        return str(number)

    with FaultyProvider(status(401)) as first, FaultyProvider(calls("find_order", number=7)) as second:
        chat = _wrap(_openai(first.url, tmp_path), _anthropic(second.url, tmp_path))
        reply = await chat.bind_tools([find_order], tool_choice=choice).ainvoke("x")
    assert reply.tool_calls[0]["args"] == {"number": 7}
    assert first.requests[0][2]["tools"][0]["function"]["name"] == "find_order"
    assert first.requests[0][2]["tool_choice"] == of_openai
    assert second.requests[0][2]["tools"][0]["name"] == "find_order"
    assert second.requests[0][2]["tool_choice"] == of_anthropic


@pytest.mark.parametrize("choice", ["any", "find_order"])
async def test_a_server_that_drops_the_tool_it_had_to_call_is_no_answer_and_is_not_asked_again(
    choice: str, waits: list[float], tmp_path: Path
) -> None:
    tools = [
        {"name": "find_order", "description": "Find an order.", "parameters": {"type": "object", "properties": {}}}
    ]
    with FaultyProvider(ok("It is on its way.")) as provider:
        chat = _wrap(_openai(provider.url, tmp_path)).bind_tools(tools, tool_choice=choice)
        with pytest.raises(UpstreamMalformed, match="had to call a tool and did not"):
            await chat.ainvoke("x")
        with pytest.raises(UpstreamMalformed, match="had to call a tool and did not"):
            _ = [chunk async for chunk in chat.astream("x")]
        free = await _wrap(_openai(provider.url, tmp_path)).bind_tools(tools, tool_choice="auto").ainvoke("x")
    assert free.text == "It is on its way."
    assert len(provider.requests) == 3


def test_what_the_profile_rules_out_is_refused_before_a_call(waits: list[float]) -> None:
    chat = _wrap(ScriptedChat(profile={"tool_calling": False, "structured_output": False}))
    assert chat.profile == {"tool_calling": False, "structured_output": False}
    with pytest.raises(NotImplementedError, match="not made for tools"):
        chat.bind_tools([])
    with pytest.raises(NotImplementedError, match="not made for structured output"):
        chat.with_structured_output({"title": "T", "type": "object", "properties": {}})


def test_a_class_that_takes_no_tools_is_known_to_call_none() -> None:
    """LangChain's own `bind_tools` raises, which would fail each answer of the agent for models that call tools."""
    assert _wrap(FakeListChatModel(responses=["x"])).profile == {"tool_calling": False}
    assert (_wrap(ScriptedChat()).profile or {}).get("tool_calling") is None


async def test_a_model_that_never_waits_leaves_turns_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HOLDS_S", 0)
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count_turns())
    words = [chunk async for chunk in _wrap(ScriptedChat(replies=("word " * 500,))).astream("x")]
    other.cancel()
    assert turns >= 500
    assert len(words) >= 500


@pytest.mark.parametrize("include_raw", [False, True])
async def test_structured_output_goes_through_retries_and_fallbacks(
    *, include_raw: bool, waits: list[float], tmp_path: Path
) -> None:
    class Ticket(BaseModel):
        days: int

    with FaultyProvider(status(500), ok('{"days": 14}')) as provider:
        chat = _wrap(_openai(provider.url, tmp_path)).with_structured_output(Ticket, include_raw=include_raw)
        found = await chat.ainvoke("x")
    assert (found["parsed"] if include_raw else found) == Ticket(days=14)
    assert len(provider.requests) == 2
    assert provider.requests[1][2]["response_format"]["type"] == "json_schema"


# --- the breaker in place ---------------------------------------------------------------------------------------------


async def test_a_model_that_keeps_failing_is_spared(waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "BREAKER_FAILURES", 3)
    primary = ScriptedChat(replies=(UpstreamDown("gone"),))
    chat = _wrap(primary, ScriptedChat(replies=("fine",)), attempts=2)
    for _ in range(4):
        assert (await chat.ainvoke("x")).text == "fine"
    assert len(primary.seen) == 3


async def test_streams_that_break_off_count_as_failures(
    waits: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "BREAKER_FAILURES", 2)
    with FaultyProvider(cut("one two three four")) as provider:
        chat = _wrap(_openai(provider.url, tmp_path))
        for _ in range(3):
            with pytest.raises(UpstreamDown):
                _ = [chunk async for chunk in chat.astream("x")]
    assert len(provider.requests) == 2


async def test_refused_requests_do_not_open_it(
    waits: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "BREAKER_FAILURES", 2)
    with FaultyProvider(status(401)) as provider:
        chat = _wrap(_openai(provider.url, tmp_path))
        for _ in range(4):
            with pytest.raises(ComponentError):
                await chat.ainvoke("x")
    assert len(provider.requests) == 4


# --- seen from outside ------------------------------------------------------------------------------------------------


async def test_a_model_without_a_reason_to_stop_gets_one_that_is_honest() -> None:
    reply = await _wrap(FakeListChatModel(responses=["hello"])).ainvoke("x")
    assert reply.response_metadata["finish_reason"] == "unknown"


def test_its_identity_is_that_of_the_primary_model() -> None:
    chat = _wrap(ScriptedChat(model_name="first"), ScriptedChat(model_name="second"))
    assert chat.model_name == "first"
    assert identity(chat) == ("scripted", "first")


def test_closing_it_closes_every_model() -> None:
    closed = []

    class Closable(ScriptedChat):
        def close(self) -> None:
            closed.append(self.model_name)

    _wrap(Closable(model_name="first"), ScriptedChat(), Closable(model_name="third")).close()
    assert closed == ["third", "first"]


@pytest.fixture
def spans() -> Any:
    exporter, provider, instrumentor = InMemorySpanExporter(), TracerProvider(), LangChainInstrumentor()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor.instrument(tracer_provider=provider, meter_provider=NoOpMeterProvider())  # the process's is for good
    yield exporter
    instrumentor.uninstrument()


@pytest.mark.parametrize("way", ["ainvoke", "invoke", "astream", "stream"])
async def test_telemetry_sees_one_call_whatever_it_took(
    way: str, spans: InMemorySpanExporter, waits: list[float]
) -> None:
    first = ScriptedChat(replies=(UpstreamDown("gone"),), model_name="first")
    chat = _wrap(first, ScriptedChat(replies=("fine and well",), model_name="second"))
    match way:
        case "ainvoke":
            await chat.ainvoke("x")
        case "astream":
            _ = [chunk async for chunk in chat.astream("x")]
        case "invoke":
            await asyncio.to_thread(chat.invoke, "x")
        case _:
            await asyncio.to_thread(lambda: list(chat.stream("x")))
    (span,) = spans.get_finished_spans()
    attributes = dict(span.attributes or {})
    assert span.name == "chat first"
    assert attributes[names.PROVIDER] == "scripted"
    assert attributes["gen_ai.response.model"] == "second"
    assert attributes[names.INPUT_TOKENS] == 1
    assert attributes[names.OUTPUT_TOKENS] == 3
    assert attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert span.status.is_ok or span.status.status_code.name == "UNSET"


class PredictingChat(ScriptedChat):
    """As ChatOllama: the most tokens of a reply are `num_predict`, and an argument that its client does not know is an error."""

    num_predict: int = 500

    def _reply(self, messages: Any, stop: Any, kwargs: dict[str, Any]) -> AIMessage:
        if kwargs:
            raise TypeError(f"chat() got an unexpected keyword argument {min(kwargs)!r}")
        reply = super()._reply(messages, stop, kwargs)
        return reply.model_copy(update={"content": f"{reply.text} at most {self.num_predict}"})


async def test_a_limit_goes_by_the_name_that_a_class_has_for_it() -> None:
    chat = _wrap(PredictingChat(replies=("said",)))
    assert (await chat.ainvoke("Hello", max_tokens=7)).text == "said at most 7"
    assert "".join([chunk.text async for chunk in chat.astream("Hello", max_tokens=8)]) == "said at most 8"
    assert (await chat.ainvoke("Hello")).text == "said at most 500", "a call changes nothing of the model"


def test_a_refusal_of_openais_responses_is_what_the_model_says() -> None:
    pieces = [{"type": "refusal", "refusal": "I may "}, {"type": "refusal", "refusal": "not say."}]
    chunks = [AIMessageChunk([piece | {"index": 0}]) for piece in pieces]
    assert join_chunks(chunks).text == "I may not say."


@pytest.mark.parametrize("reason", ["max_tokens", "model_context_window_exceeded"])
def test_a_reply_that_fills_the_models_window_is_cut_off(reason: str) -> None:
    assert is_cut_off(AIMessage("A parcel", response_metadata={"stop_reason": reason}))


def test_messages_are_shown_in_turns_whatever_the_model_is_named() -> None:
    asked = [HumanMessage("a"), HumanMessage("b"), AIMessage(""), ToolMessage("c", tool_call_id="1"), HumanMessage("d")]
    shown = [(message.type, message.text) for message in alternate(asked)]
    assert shown == [("human", "a\nb"), ("ai", ""), ("tool", "c"), ("ai", "I have read this."), ("human", "d")]
    assert [message.text for message in asked] == ["a", "b", "", "c", "d"], "what is stored stays"


def test_a_text_and_an_image_in_a_row_are_one_message_of_blocks() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
    (shown,) = alternate([HumanMessage("Look."), HumanMessage([image])])
    assert shown.content == [{"type": "text", "text": "Look."}, image]


ENDS = [
    "Ada asks.\n</think>\n\n{}",
    "Ada asks.</think>{}",
    "</think>\n{}",
    "The tag `</think>` ends it.\n</think>\n\n{}",
    "Ada asks\n</think> {}",
    "Ada asks.</think> {}",
    "她问。</think> {}",
]
OPENED = ["<think>\nAda </think>{}", "<thinking>Ada</thinking> {}", "[THINK]Ada[/THINK]{}", " <Think></Think>\n\n{}"]


@pytest.mark.parametrize("reply", [*ENDS, *OPENED])
@pytest.mark.parametrize("text", ["A parcel.", "**A** parcel.", '{"a": 1}', "- [Link](x)", "It ends at `</think>`."])
def test_thoughts_at_the_head_of_a_reply_are_taken_out(reply: str, text: str) -> None:
    assert without_thoughts(reply.format(text)) == text


@pytest.mark.parametrize(
    "answer",
    [
        "The tag </think> ends the thoughts of a model.",
        "Thoughts end with </think>. Set the parser.",
        '{"html": "Bold</think> words"}',
        "All up to it (</think>) is taken out.",
        "It is “</think>” there.",
        "See <code>&lt;think&gt;</think></code>.",
        '{"answer": "Thoughts end at\\n</think>\\nand words follow."}',
        '{"answer": "All of it up to </think>"}',
        "The template writes:\n```\n<think>\nAda asks.\n</think>\n```\n",
        "[Thinking](https://desk.example/thinking) takes time.",
        "[think] twice.",
    ],
)
def test_an_answer_that_speaks_of_the_tag_stays_whole(answer: str) -> None:
    assert without_thoughts(answer) == answer


def test_a_block_of_text_without_words_is_no_error() -> None:
    said: list[Any] = [{"type": "text", "annotations": [], "index": 0}, {"type": "text", "text": "Yes.", "index": 1}]
    assert join_chunks([AIMessageChunk(content=said)]).text == "Yes."
