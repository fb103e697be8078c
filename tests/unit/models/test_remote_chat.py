"""The adapters of remote APIs: keys, names, addresses; and classes of the ecosystem by dotted name."""

from __future__ import annotations

import json
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.utils.function_calling import convert_to_openai_tool

from foundation.components import Context, load
from foundation.errors import (
    ComponentError,
    InvalidSetting,
    MissingCredential,
    UnknownSetting,
    UpstreamDown,
    UpstreamLimited,
    UpstreamTimeout,
)
from foundation.settings import Part
from models.pricing import identity, is_local
from models.resilience.vendor_errors import translate
from tests.doubles.provider import FaultyProvider, garbage, ok


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


def test_a_server_on_this_machine_needs_no_key(tmp_path: Path) -> None:
    with FaultyProvider(ok("fine")) as provider:
        chat = _load(tmp_path, "openai_compatible", model="m", base_url=f"{provider.url}/v1")
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
