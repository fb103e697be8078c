"""The promises of a chat model as the system uses it, on every adapter in models/chat and on broken ones.

The adapters of remote APIs are pointed at the in-process server of `llama_cpp`, which speaks OpenAI's and Anthropic's
API, so that they meet a real model without a key of anybody's.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from pydantic import SecretStr

from foundation.clock import SystemClock
from foundation.components import Context, load
from foundation.errors import (
    ComponentError,
    InvalidRequest,
    UpstreamDown,
    UpstreamLimited,
    UpstreamMalformed,
    UpstreamRejected,
    UpstreamTimeout,
)
from foundation.settings import Part, ResilienceSettings
from models.chat.scripted import ScriptedChat
from models.pricing import identity, usage_of
from models.resilience import ResilientChatModel, resilient
from tests.contracts import under_test
from tests.contracts.broken import chat as broken
from tests.doubles.provider import Behaviour, FaultyProvider, garbage, hang, reset, status

PROMPT: list[BaseMessage] = [SystemMessage("You are brief."), HumanMessage("Say hello.")]
QUICK = ResilienceSettings(attempts=1, timeout_s=200)


def _prompt() -> list[BaseMessage]:
    return copy.deepcopy(PROMPT)


async def says_who_it_is(chat: ResilientChatModel) -> None:
    assert "unknown" not in identity(chat)


async def answers(chat: ResilientChatModel) -> None:
    reply = await chat.ainvoke(_prompt())
    assert isinstance(reply, AIMessage)
    assert reply.text


async def names_the_model_and_the_reason_to_stop(chat: ResilientChatModel) -> None:
    """Telemetry skips a call without the first and reports one without the second as an error."""
    metadata = (await chat.ainvoke(_prompt())).response_metadata
    assert metadata["model_name"]
    assert metadata.get("finish_reason") or metadata.get("stop_reason")


async def reports_usage_or_none(chat: ResilientChatModel) -> None:
    usage = usage_of(await chat.ainvoke(_prompt()))
    assert (usage.input_tokens is None) == (usage.output_tokens is None)
    assert usage.input_tokens is None or (usage.input_tokens > 0 and (usage.output_tokens or 0) > 0)


async def streams_what_it_would_have_said(chat: ResilientChatModel) -> None:
    reply = await chat.ainvoke(_prompt())
    whole: AIMessageChunk | None = None
    async for chunk in chat.astream(_prompt()):
        assert isinstance(chunk, AIMessageChunk)
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    assert whole.text == reply.text
    assert whole.response_metadata["model_name"] == reply.response_metadata["model_name"]
    assert (whole.usage_metadata is None) == (reply.usage_metadata is None)


async def takes_any_text(chat: ResilientChatModel) -> None:
    for text in ("naïve 漢字 🙂", "nul\x00byte", "a" * 200, "<|im_end|>"):
        assert isinstance((await chat.ainvoke([HumanMessage(text)])).text, str)


async def refuses_an_empty_list_of_messages(chat: ResilientChatModel) -> None:
    with pytest.raises(InvalidRequest):
        await chat.ainvoke([])


async def replies_to_an_empty_message_or_fails_as_we_do(chat: ResilientChatModel) -> None:
    reply: Any = None
    with contextlib.suppress(ComponentError):
        reply = await chat.ainvoke([HumanMessage("")])
    assert reply is None or isinstance(reply.text, str)


async def survives_concurrent_calls(chat: ResilientChatModel) -> None:
    replies = await asyncio.gather(*(chat.ainvoke(_prompt()) for _ in range(4)))
    assert all(reply.text for reply in replies)


async def leaves_the_messages_alone(chat: ResilientChatModel) -> None:
    given = _prompt()
    await chat.ainvoke(given)
    async for _ in chat.astream(given):
        pass
    assert given == PROMPT


async def serves_sync_callers_too(chat: ResilientChatModel) -> None:
    reply = await asyncio.to_thread(chat.invoke, _prompt())
    chunks = await asyncio.to_thread(lambda: list(chat.stream(_prompt())))
    assert "".join(chunk.text for chunk in chunks) == reply.text


async def closes_twice(chat: ResilientChatModel) -> None:
    """On doubles only; `test_closing_twice` does it to the adapters, which the other promises still need open."""
    if isinstance(chat.primary, broken.Healthy):
        chat.close()
        chat.close()


PROMISES: list[Callable[[ResilientChatModel], Awaitable[None]]] = [
    says_who_it_is, answers, names_the_model_and_the_reason_to_stop, reports_usage_or_none,
    streams_what_it_would_have_said, takes_any_text, refuses_an_empty_list_of_messages,
    replies_to_an_empty_message_or_fails_as_we_do, survives_concurrent_calls, leaves_the_messages_alone,
    serves_sync_callers_too, closes_twice,
]  # fmt: skip


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The bundled model, with short replies."""
    context = Context(
        data_dir=Path(tmp_path_factory.mktemp("data")), threads=1
    )  # the machine may be busy with other tests
    model = load(
        "models.chat", Part.model_validate({"use": "llama_cpp", "max_tokens": 24}), context, expected=BaseChatModel
    )
    yield model
    model.close()


def _options(adapter: str, local: Any) -> dict[str, Any]:
    """What an adapter needs to be built here; an adapter that is not listed needs nothing."""
    address, key = str(local.openai_api_base), local.openai_api_key.get_secret_value()
    remote = {"model": local.model_name, "api_key": key, "max_tokens": 24, "temperature": 0}
    return {
        "llama_cpp": {"max_tokens": 24},
        "openai_compatible": {**remote, "base_url": address},
        "anthropic": {**remote, "base_url": address.removesuffix("/v1")},
        "scripted": {"replies": ["Hello to you."]},
    }.get(adapter, {})


ADAPTERS = [
    pytest.param(name, marks=[] if name == "scripted" else [pytest.mark.real_model])
    for name in under_test.adapters("models.chat")
]


@pytest.fixture(scope="module", params=ADAPTERS)
def adapter(
    request: pytest.FixtureRequest, local: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BaseChatModel]:
    if request.param == "llama_cpp":
        yield local  # one server is enough
        return
    part = under_test.part("models.chat", request.param, **_options(request.param, local))
    model = load("models.chat", part, Context(data_dir=Path(tmp_path_factory.mktemp("data"))), expected=BaseChatModel)
    yield model
    if hasattr(model, "close"):
        model.close()


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
async def test_every_adapter_keeps(
    promise: Callable[[ResilientChatModel], Awaitable[None]], adapter: BaseChatModel
) -> None:
    await promise(resilient(adapter, (), QUICK, SystemClock()))


@pytest.mark.parametrize("name", ADAPTERS)
def test_closing_twice_closes_once(name: str, local: Any, tmp_path: Path) -> None:
    part = under_test.part("models.chat", name, **_options(name, local))
    chat = resilient(load("models.chat", part, Context(data_dir=tmp_path, threads=1)), (), QUICK, SystemClock())
    chat.close()
    chat.close()


# --- LangChain's own suites -------------------------------------------------------------------------------------------


class TestLangChainSuite(ChatModelIntegrationTests):
    """On every adapter, through the resilience wrapper, which must be a chat model like any other.

    SmolLM2 ignores a required tool choice, so tool calling is not claimed.
    """

    has_tool_calling = False
    has_structured_output = False
    supports_json_mode = False

    @pytest.fixture(autouse=True)
    def _remember(self, adapter: BaseChatModel) -> None:
        self._adapter = adapter

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ResilientChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"candidates": (self._adapter,), "settings": QUICK, "clock": SystemClock()}


class TestLangChainUnitSuite(ChatModelUnitTests):
    """On the double, through the wrapper."""

    has_structured_output = False

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ResilientChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"candidates": (ScriptedChat(),), "settings": QUICK, "clock": SystemClock()}


# --- failures of a provider -------------------------------------------------------------------------------------------

FAULTS = [
    (status(429, {"Retry-After": "7"}), UpstreamLimited),
    (status(401), UpstreamRejected),
    (status(403), UpstreamRejected),
    (status(404), UpstreamRejected),
    (status(422), UpstreamRejected),
    (status(500), UpstreamDown),
    (status(503), UpstreamDown),
    (status(529), UpstreamDown),
    (reset(), UpstreamDown),
    (hang(), UpstreamTimeout),
    (garbage(), UpstreamMalformed),
    (garbage(b'{"unexpected": []}'), UpstreamMalformed),
    (garbage(b"null"), UpstreamMalformed),
]
REMOTE = [name for name in under_test.adapters("models.chat") if name in {"openai_compatible", "anthropic"}]


def _remote(adapter: str, address: str, tmp_path: Path, **options: Any) -> ResilientChatModel:
    base_url = f"{address}/v1" if adapter == "openai_compatible" else address
    given = {"model": "some-model", "api_key": SecretStr("sk-test-canary"), "base_url": base_url, **options}
    model = load("models.chat", Part.model_validate({"use": adapter, **given}), Context(data_dir=tmp_path))
    return resilient(model, (), QUICK, SystemClock())


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("fault", "expected"), FAULTS)
@pytest.mark.parametrize("adapter", REMOTE)
async def test_a_failure_is_one_of_our_errors_with_its_cause(
    *, adapter: str, fault: Behaviour, expected: type[ComponentError], streamed: bool, tmp_path: Path
) -> None:
    with FaultyProvider(fault) as provider:
        chat = _remote(adapter, provider.url, tmp_path, read_timeout_s=0.3)
        with pytest.raises(expected) as caught:
            _ = [chunk async for chunk in chat.astream("hello")] if streamed else await chat.ainvoke("hello")
        chat.close()
    assert type(caught.value) is expected
    assert caught.value.__cause__ is not None or expected is UpstreamMalformed
    assert "sk-test-canary" not in str(caught.value)
    if expected is UpstreamLimited:
        assert caught.value.retry_after_s == 7


@pytest.mark.parametrize("adapter", REMOTE)
async def test_nobody_at_the_address_is_down(adapter: str, tmp_path: Path) -> None:
    with FaultyProvider(reset()) as provider:
        address = provider.url
    chat = _remote(adapter, address, tmp_path)
    with pytest.raises(UpstreamDown):
        await chat.ainvoke("hello")
    chat.close()


# --- the suite itself -------------------------------------------------------------------------------------------------


async def _failures(model: BaseChatModel) -> list[str]:
    failed = []
    for promise in PROMISES:
        try:
            await promise(resilient(model, (), QUICK, SystemClock()))
        except Exception:  # any failure counts, as it does in pytest
            failed.append(promise.__name__)
    return failed


async def test_the_suite_accepts_a_healthy_double() -> None:
    assert await _failures(broken.Healthy()) == []


@pytest.mark.parametrize("fault", broken.BROKEN, ids=lambda fault: fault.__name__)
async def test_the_suite_rejects(fault: Any) -> None:
    model = fault()
    assert model.caught_by in await _failures(model)
