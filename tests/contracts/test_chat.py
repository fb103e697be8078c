"""The promises of a chat model as the system uses it, on every adapter in models/chat and on broken ones.

The adapters of remote APIs, and LangChain's own classes for them, are pointed at the in-process server of `llama_cpp`,
which speaks OpenAI's and Anthropic's API, so that they meet a real model without a key of anybody's.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from langchain_core.language_models import BaseChatModel, ModelProfile
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import tool
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from pydantic import BaseModel, SecretStr

from extensions.development.scripted_chat import ScriptedChat
from foundation.clock import SystemClock
from foundation.components import Context, load
from foundation.errors import (
    ComponentError,
    InvalidRequest,
    MissingDependency,
    UpstreamDown,
    UpstreamLimited,
    UpstreamMalformed,
    UpstreamRejected,
    UpstreamTimeout,
)
from foundation.settings import Part
from models.pricing import identity, usage_of
from models.resilience.resilient_chat import ResilientChatModel, resilient
from models.settings import ResilienceSettings
from tests.contracts import under_test
from tests.contracts.broken import chat as broken
from tests.doubles.provider import Behaviour, FaultyProvider, calls, garbage, hang, ok, reset, status
from tests.doubles.vendors import says

PROMPT: list[BaseMessage] = [SystemMessage("You are brief."), HumanMessage("Say hello.")]


def quick() -> ResilienceSettings:
    """One try. A project without retries tries once by itself, and refuses the setting."""
    once = ResilienceSettings(attempts=1, timeout_s=200)
    try:
        resilient(ScriptedChat(), (), once, SystemClock())
    except MissingDependency:
        return ResilienceSettings(timeout_s=200)
    return once


QUICK = quick()


@tool
def find_order(number: int) -> str:
    """Find an order by its number."""
    return f"Order {number} is on its way."


class Sky(BaseModel):
    """What the sky looks like."""

    colour: Literal["blue", "grey"]
    warm: bool


def _prompt() -> list[BaseMessage]:
    return copy.deepcopy(PROMPT)


async def _streamed(chat: Runnable[Any, Any], given: Any) -> AIMessageChunk:
    whole: AIMessageChunk | None = None
    async for chunk in chat.astream(given):
        assert isinstance(chunk, AIMessageChunk)
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    return whole


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
    whole = await _streamed(chat, _prompt())
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


async def calls_a_tool_or_says_that_it_cannot(chat: ResilientChatModel) -> None:
    """Its profile is the claim. A model that has to call a tool and answers with a text has swallowed the request."""
    claim = (chat.profile or {}).get("tool_calling")
    try:
        bound = chat.bind_tools([find_order], tool_choice="any")
        replies = [await bound.ainvoke("Where is order 7?"), await _streamed(bound, "Where is order 7?")]
    except (NotImplementedError, ComponentError):
        assert not claim
        return
    assert claim is not False
    for reply in replies:
        (call,) = reply.tool_calls
        assert call["name"] == "find_order"
        assert isinstance(call["args"]["number"], int)


async def fills_a_schema_or_says_that_it_cannot(chat: ResilientChatModel) -> None:
    """As for tools. The schema leaves room for few words, so that a small model cannot lose its way in it."""
    claim = (chat.profile or {}).get("structured_output")
    try:
        found = await chat.with_structured_output(Sky).ainvoke("The sky is grey. Answer as JSON.")
    except (NotImplementedError, ComponentError):
        assert not claim
        return
    assert claim is not False
    assert isinstance(found, Sky)


async def closes_twice(chat: ResilientChatModel) -> None:
    """On doubles only; `test_closing_twice` does it to the adapters, which the other promises still need open."""
    if isinstance(chat.primary, broken.Healthy):
        chat.close()
        chat.close()


PROMISES: list[Callable[[ResilientChatModel], Awaitable[None]]] = [
    says_who_it_is, answers, names_the_model_and_the_reason_to_stop, reports_usage_or_none,
    streams_what_it_would_have_said, takes_any_text, refuses_an_empty_list_of_messages,
    replies_to_an_empty_message_or_fails_as_we_do, survives_concurrent_calls, leaves_the_messages_alone,
    serves_sync_callers_too, calls_a_tool_or_says_that_it_cannot, fills_a_schema_or_says_that_it_cannot, closes_twice,
]  # fmt: skip


STRUCTURED = (
    "test_structured_output", "test_structured_output_async", "test_structured_output_pydantic_2_v1",
    "test_structured_output_optional_param",
)  # fmt: skip
"""LangChain's tests of structured output, for adapters that claim it."""
REMOTE = [name for name in under_test.adapters("models.chat") if name in {"openai_compatible", "anthropic"}]
LANGCHAIN = ("langchain_openai:ChatOpenAI", "langchain_anthropic:ChatAnthropic")
REPLY, BRIEF, BRIEF_ELSEWHERE = 160, 8, 32
"""Tokens of a reply: enough for the objects of LangChain's suite and of ours, and for the other promises above, where a
part that `sixply contracts` names may be a model that thinks first."""
SMOLLM = ModelProfile(structured_output=True, tool_calling=False)
"""What the bundled model can. Anthropic's way to structured output is a tool that must be called."""


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The bundled model with short replies, or with the options that `sixply contracts` names: both run the same."""
    context = Context(
        data_dir=Path(tmp_path_factory.mktemp("data")), threads=1
    )  # the machine may be busy with other tests
    model = load(
        "models.chat", under_test.part("models.chat", "llama_cpp", max_tokens=REPLY), context, expected=BaseChatModel
    )
    yield model
    model.close()


def _options(adapter: str, local: Any, max_tokens: int = REPLY) -> dict[str, Any]:
    """What an adapter needs to be built here; an adapter that is not listed needs nothing."""
    client = local.client()
    address, key = str(client.openai_api_base), client.openai_api_key.get_secret_value()
    remote = {"model": local.model_name, "api_key": key, "max_tokens": max_tokens, "temperature": 0}
    # They would keep connections of the event loop of one test for the next one, which has another.
    foreign = {"max_retries": 0, "default_headers": {"Connection": "close"}}
    if under_test.named("models.chat", adapter):  # it has an address of its own
        return {"max_tokens": max_tokens, "temperature": 0} if adapter in (*REMOTE, *LANGCHAIN) else {}
    return {
        "openai_compatible": {**remote, "base_url": address, "profile": SMOLLM},
        "anthropic": {
            **remote,
            "base_url": address.removesuffix("/v1"),
            "profile": {**SMOLLM, "structured_output": False},
        },
        LANGCHAIN[0]: {**remote, **foreign, "base_url": address, "profile": SMOLLM, "stream_usage": True},
        LANGCHAIN[1]: {**remote, **foreign, "base_url": address.removesuffix("/v1")},
        "llama_cpp": {"max_tokens": max_tokens},
        "scripted": {"replies": ["Hello to you."]},
    }.get(adapter, {})


def _opened(adapter: str, data_dir: Path, options: dict[str, Any]) -> Iterator[BaseChatModel]:
    part = under_test.part("models.chat", adapter, **options)
    model = load("models.chat", part, Context(data_dir=data_dir, threads=1), expected=BaseChatModel)
    yield model
    if hasattr(model, "close"):
        model.close()


ADAPTERS = [
    pytest.param(name, marks=[] if name == "scripted" else [pytest.mark.real_model])
    for name in under_test.adapters("models.chat", *LANGCHAIN)
]


@pytest.fixture(scope="module", params=ADAPTERS)
def adapter(
    request: pytest.FixtureRequest, local: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BaseChatModel]:
    if request.param == "llama_cpp":
        yield local  # one server is enough
        return
    yield from _opened(request.param, Path(tmp_path_factory.mktemp("data")), _options(request.param, local))


@pytest.fixture(scope="module", params=ADAPTERS)
def brief(
    request: pytest.FixtureRequest, local: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BaseChatModel]:
    """The same adapters with replies of few tokens: no promise is about a long one."""
    tokens = BRIEF_ELSEWHERE if under_test.named("models.chat", request.param) else BRIEF
    yield from _opened(request.param, Path(tmp_path_factory.mktemp("data")), _options(request.param, local, tokens))


LONGER = [fills_a_schema_or_says_that_it_cannot]


@pytest.mark.parametrize(
    "promise", [each for each in PROMISES if each not in LONGER], ids=lambda promise: promise.__name__
)
async def test_every_adapter_keeps(
    promise: Callable[[ResilientChatModel], Awaitable[None]], brief: BaseChatModel, watched: under_test.Watch
) -> None:
    await promise(watched("models.chat", resilient(brief, (), QUICK, SystemClock())))


@pytest.mark.parametrize("promise", LONGER, ids=lambda promise: promise.__name__)
async def test_every_adapter_with_room_for_an_object_keeps(
    promise: Callable[[ResilientChatModel], Awaitable[None]], adapter: BaseChatModel, watched: under_test.Watch
) -> None:
    await promise(watched("models.chat", resilient(adapter, (), QUICK, SystemClock())))


@pytest.mark.parametrize("name", ADAPTERS)
def test_closing_twice_closes_once(name: str, local: Any, tmp_path: Path) -> None:
    part = under_test.part("models.chat", name, **_options(name, local))
    chat = resilient(load("models.chat", part, Context(data_dir=tmp_path, threads=1)), (), QUICK, SystemClock())
    chat.close()
    chat.close()


# --- LangChain's own suites -------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings(
    "ignore:Pydantic serializer warnings"
)  # langchain-openai, of the object that it parsed itself
@pytest.mark.parametrize("adapter", [each for each in ADAPTERS if each.values[0] not in LANGCHAIN], indirect=True)
class TestLangChainSuite(ChatModelIntegrationTests):
    """On every adapter of ours, through the resilience wrapper, which must be a chat model like any other."""

    not_run: ClassVar[Mapping[str, Sequence[str]]] = {
        "no adapter here reaches a model that calls tools; what claims them is asked to in the promises above": (
            "test_tool_calling", "test_tool_calling_async", "test_bind_runnables_as_tools", "test_tool_choice",
            "test_tool_calling_with_no_arguments", "test_tool_message_histories_string_content",
            "test_tool_message_histories_list_content", "test_tool_message_error_status", "test_agent_loop",
            "test_structured_few_shot_examples", "test_unicode_tool_call_integration",
        ),
        "no adapter here claims JSON without a schema": ("test_json_mode",),
        "the model reads text only": (
            "test_pdf_inputs", "test_audio_inputs", "test_image_inputs", "test_image_tool_message",
            "test_pdf_tool_message", "test_anthropic_inputs",
        ),
        "a part is one model; another one is another part": (
            "test_invoke_with_model_override", "test_ainvoke_with_model_override", "test_stream_with_model_override",
            "test_astream_with_model_override",
        ),
        "compares times with a recording, and there is none of a local server": ("test_stream_time",),
    }  # fmt: skip
    not_claimed_by: ClassVar[Mapping[str, Sequence[str]]] = {"anthropic": STRUCTURED, "scripted": STRUCTURED}

    @property
    def has_tool_calling(self) -> bool:
        return self._claims("tool_calling")

    @property
    def has_structured_output(self) -> bool:
        return self._claims("structured_output")

    @pytest.mark.xfail(
        reason="LangChain's OpenAI client fills Pydantic 1 models by tool calls, which the model does not claim",
        raises=(UserWarning, NotImplementedError),
        strict=False,  # a part from elsewhere may well keep it
    )
    def test_structured_output_pydantic_2_v1(self, model: BaseChatModel) -> None:
        super().test_structured_output_pydantic_2_v1(model)

    @pytest.mark.xfail(
        reason="asks for prose, which a small model may not end within its max_tokens; it is then an error and no half object",
        raises=UpstreamMalformed,
        strict=False,  # as above
    )
    def test_structured_output_optional_param(self, model: BaseChatModel) -> None:
        super().test_structured_output_optional_param(model)

    def _claims(self, ability: str) -> bool:
        return (self._adapter.profile or {}).get(ability) is True

    @pytest.fixture(autouse=True)
    def _remember(self, adapter: BaseChatModel, request: pytest.FixtureRequest) -> None:
        """As it is where an object is asked for, and with brief replies elsewhere."""
        ours = not under_test.named("models.chat", request.node.callspec.params["adapter"])
        short = ours and "max_tokens" in type(adapter).model_fields and "structured" not in request.node.name
        self._adapter = adapter.model_copy(update={"max_tokens": BRIEF}) if short else adapter

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ResilientChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"candidates": (self._adapter,), "settings": QUICK, "clock": SystemClock()}


class TestLangChainUnitSuite(ChatModelUnitTests):
    """On the double, through the wrapper."""

    not_run: ClassVar[Mapping[str, Sequence[str]]] = {
        "parts are configured by stack.toml, not by a variable of the vendor's": ("test_init_from_env",),
        "parts are built anew from the configuration and never stored": ("test_serdes",),
    }
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
        chat = _remote(adapter, provider.url, tmp_path, read_timeout_s=0.3 if expected is UpstreamTimeout else 60)
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


@pytest.mark.parametrize("adapter", REMOTE)
async def test_a_tool_is_called_and_its_result_goes_back(adapter: str, tmp_path: Path) -> None:
    """With a provider that plays a model which calls tools; the real one here does not."""
    with FaultyProvider(*[calls("find_order", number=7)] * 3, ok("It comes.")) as provider:
        chat = _remote(adapter, provider.url, tmp_path, profile=ModelProfile(tool_calling=True))
        await calls_a_tool_or_says_that_it_cannot(chat)
        bound, asked = chat.bind_tools([find_order]), HumanMessage("Where is order 7?")
        called = await _streamed(bound, [asked])
        done = await bound.ainvoke([asked, called, await find_order.ainvoke(called.tool_calls[0])])
        chat.close()
    assert done.text == "It comes."
    assert "Order 7 is on its way." in str(provider.requests[-1][2]["messages"])


# --- classes of vendors whose protocol no server here speaks, over doubles of it ----------------------------------------

ELSEWHERE: dict[str, Callable[[str], dict[str, Any]]] = {
    "langchain_ollama:ChatOllama": lambda url: {"model": "a-thinking-one", "base_url": url, "reasoning": True},
    "langchain_mistralai:ChatMistralAI": lambda url: {
        "model": "mistral-large-latest", "endpoint": f"{url}/v1", "api_key": "k", "max_retries": 0,
    },
    "langchain_google_genai:ChatGoogleGenerativeAI": lambda url: {
        "model": "gemini-2.5-pro", "base_url": url, "api_key": "k", "max_retries": 1,
    },
    "openai_compatible": lambda url: {
        "model": "o4-mini", "base_url": f"{url}/v1", "api_key": "k", "extra": {"use_responses_api": True},
    },
}  # fmt: skip


def _obliging(handler: Any) -> None:
    """Calls the tool that it is offered, fills a schema, and otherwise says hello."""
    asked = json.dumps(handler.body)
    colour = {"colour": "grey", "warm": False}
    if "find_order" in asked:
        says("", ("find_order", {"number": 7}), thoughts="Which one?")(handler)
    elif '"Sky"' in asked and handler.body.get("tools"):
        says("", ("Sky", colour))(handler)
    else:
        says(json.dumps(colour) if "colour" in asked else "Hello to you.", thoughts="A greeting.")(handler)


@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")  # Google's client
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # as above
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("name", ELSEWHERE)
async def test_a_class_of_another_vendor_keeps(
    promise: Callable[[ResilientChatModel], Awaitable[None]], name: str, tmp_path: Path
) -> None:
    with FaultyProvider(_obliging) as provider:
        part = Part.model_validate({"use": name, **ELSEWHERE[name](provider.url)})
        model = load("models.chat", part, Context(data_dir=tmp_path), expected=BaseChatModel)
        chat = resilient(model, (), QUICK, SystemClock())
        await promise(chat)
        chat.close()


@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")  # Google's client
@pytest.mark.parametrize("name", ELSEWHERE)
async def test_a_limit_of_tokens_goes_by_the_name_that_the_vendor_has_for_it(name: str, tmp_path: Path) -> None:
    with FaultyProvider(_obliging) as provider:
        part = Part.model_validate({"use": name, **ELSEWHERE[name](provider.url)})
        chat = resilient(load("models.chat", part, Context(data_dir=tmp_path)), (), QUICK, SystemClock())
        reply = await chat.ainvoke(_prompt(), max_tokens=77)
        chat.close()
    assert reply.text == "Hello to you."
    assert "77" in json.dumps(provider.requests[0][2])


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
