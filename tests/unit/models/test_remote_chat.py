"""The adapters of remote APIs: keys, names, addresses; and classes of the ecosystem by dotted name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.utils.function_calling import convert_to_openai_tool

from foundation.clock import SystemClock
from foundation.components import Context, load
from foundation.errors import (
    ComponentError,
    InvalidSetting,
    MissingCredential,
    UnknownSetting,
    UpstreamDown,
    UpstreamLimited,
    UpstreamMalformed,
    UpstreamRejected,
    UpstreamTimeout,
)
from foundation.settings import Part
from models.pricing import identity, is_local
from models.resilience.bindings import SAMPLING
from models.resilience.resilient_chat import resilient
from models.resilience.streams import join_chunks
from models.resilience.vendor_errors import explain, translate
from models.settings import ResilienceSettings
from tests.doubles.provider import Behaviour, FaultyProvider, garbage, ok, strict
from tests.doubles.vendors import says


def _load(tmp_path: Path, use: str, **options: Any) -> Any:
    part = Part.model_validate({"use": use, **options})
    return load("models.chat", part, Context(data_dir=tmp_path), expected=BaseChatModel)


@pytest.fixture(autouse=True)
def _foreign_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and addresses that other tools left in the environment must not be taken."""
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "sk-of-another-tool")
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/elsewhere")


@pytest.mark.parametrize("use", ["openai_compatible", "anthropic"])
def test_without_a_key_it_says_which_setting_to_set(use: str, tmp_path: Path) -> None:
    with pytest.raises(MissingCredential, match="SIXPLY__MODELS__CHAT__API_KEY"):
        _load(tmp_path, use, model="some-model")


@pytest.mark.parametrize(("use", "suffix"), [("openai_compatible", "/v1"), ("anthropic", "")])
def test_a_server_on_this_machine_needs_no_key(use: str, suffix: str, tmp_path: Path) -> None:
    with FaultyProvider(ok("fine")) as provider:
        chat = _load(tmp_path, use, model="m", base_url=f"{provider.url}{suffix}")
        assert chat.invoke("hello").text == "fine"
        chat.close()
    _, headers, _ = provider.requests[0]
    assert "sk-of-another-tool" not in str(headers)


def test_a_server_elsewhere_needs_one(tmp_path: Path) -> None:
    with pytest.raises(MissingCredential, match=r"models\.example"):
        _load(tmp_path, "openai_compatible", model="m", base_url="https://models.example/v1")


@pytest.mark.parametrize(("use", "suffix"), [("openai_compatible", "/v1"), ("anthropic", "")])
async def test_key_model_and_limits_reach_the_provider_and_nothing_is_retried_below_us(
    use: str, suffix: str, tmp_path: Path
) -> None:
    with FaultyProvider(ok("fine")) as provider:
        given = {"model": "m-1", "api_key": "sk-own", "base_url": provider.url + suffix, "max_tokens": 7}
        chat = _load(tmp_path, use, **given)
        reply = await chat.ainvoke("hello")
        chat.close()
    path, headers, body = provider.requests[0]
    assert len(provider.requests) == 1
    assert path == ("/v1/messages" if use == "anthropic" else "/v1/chat/completions")
    assert "sk-own" in str(headers)
    assert body["model"] == "m-1"
    assert 7 in (body.get("max_tokens"), body.get("max_completion_tokens"))
    assert reply.usage_metadata is not None
    assert "sk-own" not in repr(chat)


@pytest.mark.parametrize(
    ("options", "provider"),
    [
        ({}, "openai"),
        ({"base_url": "https://models.example/v1"}, "models.example"),
        ({"base_url": "https://models.example/v1", "provider": "groq"}, "groq"),
    ],
)
def test_traces_and_prices_get_the_right_provider(options: dict[str, str], provider: str, tmp_path: Path) -> None:
    chat = _load(tmp_path, "openai_compatible", model="gpt-4o", api_key="sk-own", **options)
    assert identity(chat) == (provider, "gpt-4o")
    assert not is_local(chat)
    chat.close()


def test_an_address_on_loopback_does_not_make_a_model_local(tmp_path: Path) -> None:
    chat = _load(tmp_path, "openai_compatible", model="m", base_url="http://localhost:1/v1")
    assert not is_local(chat)
    chat.close()


def test_any_chat_model_of_the_ecosystem_plugs_in_by_its_dotted_name(tmp_path: Path) -> None:
    chat = _load(tmp_path, "langchain_core.language_models:FakeListChatModel", responses=["from elsewhere"])
    assert chat.invoke("hello").text == "from elsewhere"


def test_a_class_of_the_ecosystem_that_refuses_its_options_is_a_setting_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="refused its options"):
        _load(tmp_path, "langchain_core.language_models:FakeListChatModel", responses=7)


def test_an_unknown_option_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownSetting, match='Did you mean "temperature"'):
        _load(tmp_path, "openai_compatible", model="m", temprature=1)


@pytest.mark.parametrize(
    ("use", "extra"),
    [("openai_compatible", {"reasoning_effort": "low", "user": "u-1"}), ("anthropic", {"top_k": 3})],
)
def test_options_of_the_vendor_are_passed_on_and_no_temperature_is_sent_unless_it_is_set(
    use: str, extra: dict[str, object], tmp_path: Path
) -> None:
    with FaultyProvider(ok("fine")) as provider:
        chat = _load(tmp_path, use, model="m-1", api_key="sk-own", base_url=provider.url, extra=extra)
        chat.invoke("hello")
        chat.close()
    body = provider.requests[0][2]
    assert {name: body.get(name) for name in extra} == extra
    assert "temperature" not in body


async def test_a_streamed_call_is_heard_from_a_server_that_leaves_out_what_openai_sends(tmp_path: Path) -> None:
    call = {"id": "c-1", "function": {"name": "refund", "arguments": '{"order": "QM-1"}'}}
    choices = [[{"delta": {"tool_calls": [call]}}], [{"finish_reason": "tool_calls"}], []]
    events = [f"data: {json.dumps({'choices': choice})}\n\n" for choice in choices]
    stream = "".join([*events, "data: [DONE]\n\n"]).encode()
    with FaultyProvider(garbage(stream, "text/event-stream")) as provider:
        options: dict[str, Any] = {"extra": {"extra_body": {"novel": 1}}, "profile": {"tool_calling": True}}
        chat = _load(tmp_path, "openai_compatible", model="m-1", base_url=f"{provider.url}/v1", **options)
        said = [chunk async for chunk in chat.bind_tools([convert_to_openai_tool(refund)]).astream("Refund QM-1.")]
        chat.close()
    whole = reduce(add, said)
    assert [(made["name"], made["args"]) for made in whole.tool_calls] == [("refund", {"order": "QM-1"})]
    body = provider.requests[0][2]
    assert (body["novel"], body["stream"], body["model"]) == (1, True, "m-1")
    assert body["messages"] == [{"content": "Refund QM-1.", "role": "user"}]
    assert body["tools"][0]["function"]["name"] == "refund"


def refund(order: str) -> None:
    """Refund an order."""


@pytest.mark.parametrize("use", ["openai_compatible", "anthropic"])
def test_an_option_of_ours_among_the_vendors_is_refused(use: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="temperature"):
        _load(tmp_path, use, model="m-1", api_key="sk-own", extra={"temperature": 1})


ANTHROPICS = httpx2.Request("POST", "http://127.0.0.1/v1/messages")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            anthropic.RateLimitError("wait", response=httpx2.Response(429, request=ANTHROPICS), body=None),
            UpstreamLimited,
        ),
        (
            anthropic.InternalServerError("no", response=httpx2.Response(529, request=ANTHROPICS), body=None),
            UpstreamDown,
        ),
        (anthropic.APITimeoutError(ANTHROPICS), UpstreamTimeout),
        (anthropic.APIConnectionError(request=ANTHROPICS), UpstreamDown),
    ],
)
def test_each_exception_of_anthropics_client_has_its_kind(error: Exception, expected: type[ComponentError]) -> None:
    translated = translate(error, model="m-1")
    assert type(translated) is expected
    assert str(translated).startswith("m-1 ")
    assert type(error).__name__ in str(translated)


# Anthropic's own client and OpenAI's `responses.stream` hold streams to the same: an event has its name, the last one says why


async def _told(tmp_path: Path, use: str, behaviour: Behaviour, **options: Any) -> AIMessage:
    with FaultyProvider(behaviour) as provider:
        version = "/v1" if use == "openai_compatible" else ""
        given = {"model": "m-1", "api_key": "sk-own", "base_url": provider.url + version, **options}
        once = ResilienceSettings(attempts=1)
        model = resilient(_load(tmp_path, use, **given), (), once, SystemClock())
        return join_chunks([chunk async for chunk in model.astream("hello")])


def _changed(behaviour: Behaviour, change: Callable[[bytes], bytes]) -> Behaviour:
    """The behaviour, with the changed bytes of its reply."""

    def reply(handler: Any) -> None:
        send = handler.send
        handler.send = lambda code, body, headers: send(code, change(body), headers)
        behaviour(handler)

    return reply


@pytest.mark.parametrize("usage", [b"null", b"{}", b'{"input_tokens": null, "output_tokens": null}'])
async def test_a_stream_of_anthropics_shape_that_counts_nothing_at_its_start_is_whole(
    usage: bytes, tmp_path: Path
) -> None:
    first = rb'"usage": \{[^}]*"output_tokens": 1\}'
    nothing = _changed(
        strict(ok("It weighs nothing.")), lambda body: re.sub(first, b'"usage": ' + usage, body, count=1)
    )
    assert (await _told(tmp_path, "anthropic", nothing)).text.strip() == "It weighs nothing."


async def test_a_stream_of_anthropics_shape_without_names_of_events_is_refused_with_what_to_do(tmp_path: Path) -> None:
    unnamed = _changed(strict(ok("It weighs nothing.")), lambda body: re.sub(rb"event: \w+\n", b"", body))
    with pytest.raises(UpstreamMalformed, match="disable_streaming = true"):
        await _told(tmp_path, "anthropic", unnamed)
    whole = await _told(tmp_path, "anthropic", unnamed, extra={"disable_streaming": True})
    assert whole.text == "It weighs nothing."


async def test_a_stream_of_openais_responses_without_its_last_event_is_cut_off(tmp_path: Path) -> None:
    kept = _changed(says("It weighs nothing."), lambda body: body.partition(b'data: {"type": "response.completed"')[0])
    with pytest.raises(UpstreamMalformed, match="ended in the middle"):
        await _told(tmp_path, "openai_compatible", kept, extra={"use_responses_api": True})


async def test_thoughts_that_led_to_a_call_go_back_with_it(tmp_path: Path) -> None:
    """DeepSeek's kind answers 400 to a call of a tool without them."""
    call = {"name": "find", "args": {}, "id": "c1", "type": "tool_call"}
    thoughts = {"reasoning_content": "Let me look."}
    messages = [
        HumanMessage("Where is it?"),
        AIMessage("", tool_calls=[call], additional_kwargs=thoughts),
        ToolMessage("At the counter.", tool_call_id="c1"),
        AIMessage("At the counter.", additional_kwargs=thoughts),
        HumanMessage("Thanks."),
    ]
    with FaultyProvider(ok("Fine.")) as provider:
        chat = _load(tmp_path, "openai_compatible", model="m", base_url=f"{provider.url}/v1")
        _ = [chunk async for chunk in chat.astream(messages)]
    sent = provider.requests[0][2]["messages"]
    assert [message.get("reasoning_content") for message in sent] == [None, "Let me look.", None, None, None]
    own = _load(tmp_path, "openai_compatible", model="m", base_url="https://api.openai.com/v1", api_key="k")
    assert not any("reasoning_content" in message for message in own._get_request_payload(messages)["messages"])


LIMITS = ("max_completion_tokens", "max_tokens")


def takes_only(name: str) -> Behaviour:
    """A server that refuses the other name of the most tokens of a reply."""
    other = next(limit for limit in LIMITS if limit != name)

    def reply(handler: Any) -> None:
        if other not in handler.body:
            return ok("fine")(handler)
        told = {"error": {"message": f"Unsupported parameter: '{other}'. Use '{name}' instead.", "param": other}}
        return handler.send(400, json.dumps(told).encode(), {"Content-Type": "application/json"})

    return reply


def refuses(text: str) -> Behaviour:
    body = json.dumps({"error": {"message": text}}).encode()
    return lambda handler: handler.send(400, body, {"Content-Type": "application/json"})


@pytest.mark.parametrize("name", LIMITS)
async def test_the_name_of_the_limit_is_learnt_from_the_first_refusal(name: str, tmp_path: Path) -> None:
    with FaultyProvider(takes_only(name)) as provider:
        chat = _load(tmp_path, "openai_compatible", model="m", base_url=f"{provider.url}/v1", max_tokens=7)
        assert "".join([chunk.text async for chunk in chat.astream("hello")]).strip() == "fine"
        assert (await chat.ainvoke("hello")).text == "fine"
        chat.close()
    sent = [{limit: body[limit] for limit in LIMITS if limit in body} for _, _, body in provider.requests]
    refused = [{"max_completion_tokens": 7}] if name == "max_tokens" else []
    assert sent == [*refused, {name: 7}, {name: 7}]


async def test_another_refusal_is_told_as_it_is_and_a_stated_name_is_kept(tmp_path: Path) -> None:
    with FaultyProvider(refuses("max_completion_tokens is too large")) as provider:
        for limit_name, requests in (("auto", 2), ("max_tokens", 1)):
            options = {"model": "m", "base_url": f"{provider.url}/v1", "limit_name": limit_name}
            chat = _load(tmp_path, "openai_compatible", **options)
            with pytest.raises(openai.BadRequestError, match="too large"):
                await chat.ainvoke("hello")
            chat.close()
            assert len(provider.requests) == requests
            provider.requests.clear()


@pytest.mark.parametrize(
    ("use", "options"),
    [
        ("langchain_mistralai:ChatMistralAI", {"model": "m", "api_key": "k"}),
        ("langchain_google_genai:ChatGoogleGenerativeAI", {"model": "gemini-3-pro", "api_key": "k"}),
        ("langchain_openai:ChatOpenAI", {"model": "m", "api_key": "k", "base_url": "http://127.0.0.1:9/v1"}),
    ],
)
def test_a_class_of_langchains_sends_no_sampling_that_nobody_set_and_asks_for_usage(
    use: str, options: dict[str, Any], tmp_path: Path
) -> None:
    chat = _load(tmp_path, use, **options)
    assert not {name: value for name in SAMPLING if (value := getattr(chat, name, None)) is not None}
    assert getattr(chat, "stream_usage", True)
    assert _load(tmp_path, use, **options, temperature=0.5).temperature == 0.5


@pytest.mark.parametrize(
    ("profile", "sent"), [({"reasoning_output": True}, "low"), ({"reasoning_output": False}, None)]
)
async def test_how_long_a_client_wants_it_to_think_is_sent_to_a_model_that_thinks(
    profile: dict[str, bool], sent: str | None, tmp_path: Path
) -> None:
    with FaultyProvider(ok("fine")) as provider:
        chat = _load(tmp_path, "openai_compatible", model="m", base_url=f"{provider.url}/v1", profile=profile)
        whole = resilient(chat, [], ResilienceSettings(), SystemClock())
        await whole.ainvoke("hello", reasoning_effort="low")
        chat.close()
    assert provider.requests[0][2].get("reasoning_effort") == sent


async def test_what_a_provider_said_of_a_refusal_is_for_whoever_sets_it_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told = refuses("tools are not supported by m; key sk-0123456789abcdef01")
    caplog.set_level("DEBUG", "sixply.models")
    with FaultyProvider(told) as provider:
        chat = _load(tmp_path, "openai_compatible", model="m", base_url=f"{provider.url}/v1")
        with pytest.raises(UpstreamRejected) as refused:
            await resilient(chat, [], ResilienceSettings(), SystemClock()).ainvoke("hello")
        chat.close()
    assert "not supported" not in refused.value.public
    assert "tools are not supported by m" in caplog.text
    assert "sk-0123456789" not in caplog.text
    cause = refused.value.__cause__
    assert isinstance(cause, Exception)
    assert "It said: " in explain(cause, model="m")
