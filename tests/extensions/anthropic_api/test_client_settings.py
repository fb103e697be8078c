"""What clients of the vendors' APIs set, store and retry: it reaches the model, is forgotten, or is said not to be worth another try."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from anthropic import beta_tool
from anthropic.types import Message, TextBlock
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_mistralai import ChatMistralAI
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from extensions.openai_api.errors import UnsupportedParameter
from extensions.openai_api.vendors import refuse_unsupported
from foundation.clock import SystemClock
from models.resilience.bindings import carry_settings
from models.resilience.resilient_chat import resilient
from models.settings import ResilienceSettings
from orchestration.run.metered_chat import MeteredChatModel
from tests.doubles.provider import at_limit, calls, ok, status
from tests.extensions.anthropic_api.test_strong_clients import (
    AS_CHAT,
    AS_RESPONSES,
    MILD,
    USER,
    anthropic_of,
    openai_of,
)
from tests.integration.test_strong_model import Serve, serve

__all__ = ["serve"]

openai_alone = pytest.mark.parametrize("serve", ["openai_compatible"], indirect=True)


@openai_alone
def test_what_a_client_sets_of_a_reply_reaches_the_model(serve: Serve) -> None:
    sampling: dict[str, Any] = {"temperature": 0, "top_p": 0.5, "frequency_penalty": -1, "seed": 7}
    with serve(ok(MILD)) as (client, provider):
        chat, responses = openai_of(client).chat.completions.create, openai_of(client).responses.create
        chat(model="sixply", messages=[USER], **sampling, max_tokens=99, stop="END", tools=[AS_CHAT])
        responses(model="sixply", input=[USER], max_output_tokens=10**9, temperature=0.25)
        more = {"temperature": 1.0, "top_k": 5}
        anthropic_of(client).messages.create(
            model="sixply", max_tokens=77, messages=[USER], stop_sequences=["END"], extra_body=more
        )
        bodies = [body for _, _, body in provider.requests]
    first, second, third = bodies
    assert first | sampling | {"max_completion_tokens": 99, "stop": ["END"]} == first
    assert (second["max_completion_tokens"], second["temperature"]) == (4096, 0.25), "the operator's limit holds"
    assert (third["max_completion_tokens"], third["stop"], "top_k" in third) == (77, ["END"], False)


@openai_alone
def test_the_tools_that_a_client_allows_are_the_ones_that_are_offered(serve: Serve) -> None:
    other = {"type": "function", "function": {"name": "get_tides", "parameters": {"type": "object", "properties": {}}}}
    flat = {
        "type": "function",
        "name": "get_tides",
        "parameters": {"type": "object", "properties": {}},
        "strict": False,
    }
    named, mine = {"type": "function", "function": {"name": "get_weather"}}, {"type": "function", "name": "get_weather"}
    nested = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named]}}
    with serve(calls("get_weather", city="Leeds"), ok(MILD)) as (client, provider):
        chat: Any = openai_of(client).chat.completions.create
        responses: Any = openai_of(client).responses.create
        chat(model="sixply", messages=[USER], tools=[AS_CHAT, other], tool_choice=nested)
        allowed = {"type": "allowed_tools", "mode": "auto", "tools": [mine]}
        responses(model="sixply", input=[USER], tools=[AS_RESPONSES, flat], tool_choice=allowed)
        first, second = ([tool["function"]["name"] for tool in body["tools"]] for _, _, body in provider.requests)
        assert (first, provider.requests[0][2]["tool_choice"]) == (["get_weather"], "required")
        assert "get_weather" in second
        assert "get_tides" not in second
        unknown = {"mode": "auto", "tools": [{"type": "function", "function": {"name": "get_moon"}}]}
        for wrong in (unknown, {"mode": "auto", "tools": []}, {"mode": "auto", "tools": [3]}, "get_weather", None):
            with pytest.raises(openai.BadRequestError, match='"tool_choice" is'):
                chat(
                    model="sixply",
                    messages=[USER],
                    tools=[AS_CHAT],
                    tool_choice={"type": "allowed_tools", "allowed_tools": wrong},
                )


@openai_alone
def test_of_two_limits_the_lower_counts(serve: Serve) -> None:
    names = ("max_tokens", "max_completion_tokens")
    with serve(ok(MILD)) as (client, provider):
        for first, second in (names, names[::-1]):
            client.post("/v1/chat/completions", json={"model": "sixply", "messages": [USER], first: 99, second: 999})
        assert [body["max_completion_tokens"] for _, _, body in provider.requests] == [99, 99]


@pytest.mark.parametrize("serve", ["anthropic"], indirect=True)
def test_settings_reach_a_model_of_anthropic_by_its_own_names(serve: Serve) -> None:
    with serve(ok(MILD)) as (client, provider):
        create = openai_of(client).chat.completions.create
        create(model="sixply", messages=[USER], max_completion_tokens=99, temperature=0.5, seed=7, stop=["END"])
        _, _, body = provider.requests[0]
    assert (body["max_tokens"], body["temperature"], body["stop_sequences"]) == (99, 0.5, ["END"])
    assert "seed" not in body


@pytest.mark.parametrize("serve", ["anthropic"], indirect=True)
def test_a_temperature_that_claude_refuses_is_refused_before_the_call(serve: Serve) -> None:
    with serve(ok(MILD)) as (client, provider):
        create = openai_of(client).chat.completions.create
        with pytest.raises(openai.BadRequestError, match="takes none above 1"):
            create(model="sixply", messages=[USER], temperature=1.5)
        with pytest.raises(openai.APIError, match="takes none above 1"):
            list(create(model="sixply", messages=[USER], temperature=1.5, stream=True))
        assert provider.requests == []


@openai_alone
def test_a_reply_that_reached_the_clients_limit_says_so(serve: Serve) -> None:
    with serve(at_limit(MILD)) as (client, _):
        completion = openai_of(client).chat.completions.create(model="sixply", messages=[USER], max_tokens=3)
        response = openai_of(client).responses.create(model="sixply", input=[USER], max_output_tokens=16)
        message = anthropic_of(client).messages.create(model="sixply", messages=[USER], max_tokens=3)
    assert (completion.choices[0].finish_reason, response.status, message.stop_reason) == (
        "length", "incomplete", "max_tokens"
    )  # fmt: skip


CUT: list[tuple[str, tuple[str, str] | None]] = [
    ("", None),
    ("", ("get_weather", '{"ci')),
    ("Let me", ("get_weather", "")),
]


@openai_alone
@pytest.mark.parametrize(("text", "call"), CUT)
def test_a_limit_below_a_word_or_a_call_ends_the_request_after_one_call(
    serve: Serve, text: str, call: tuple[str, str] | None
) -> None:
    with serve(at_limit(text, call)) as (client, provider):
        with pytest.raises(openai.InternalServerError, match="client's limit of 1 tokens") as refused:
            openai_of(client).chat.completions.create(model="sixply", messages=[USER], max_tokens=1, tools=[AS_CHAT])
        assert len(provider.requests) == 1
    assert refused.value.response.headers["X-Should-Retry"] == "false"


@openai_alone
def test_numbers_that_no_model_takes_are_refused_and_endless_limits_are_none(serve: Serve) -> None:
    with serve(ok(MILD)) as (client, provider):

        def post(**more: float) -> httpx2.Response:
            return client.post("/v1/chat/completions", json={"model": "sixply", "messages": [USER], **more})

        wrong: dict[str, float] = {"temperature": -1, "top_p": 7, "frequency_penalty": 99, "seed": 10**25}
        for name, value in wrong.items():
            refused = post(**{name: value})
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, name)
            assert "send a number from" in refused.json()["error"]["message"]
        assert provider.requests == []
        assert post(max_tokens=1e300).status_code == 200
        assert provider.requests[0][2]["max_completion_tokens"] == 4096


def test_a_fallback_that_refuses_a_temperature_answers_without_it() -> None:
    claude = ChatAnthropic(model="claude-of-a-test", api_key="k")
    model: Any = carry_settings(claude, {"temperature": 1.5})[0]
    assert model.temperature is None


def test_what_a_reasoning_model_refuses_is_left_out_and_a_limit_below_its_thoughts_too() -> None:
    def sent(limit: int, **of_model: Any) -> tuple[Any, dict[str, Any]]:
        model = ChatAnthropic(model="claude-of-a-test", api_key="k", max_tokens=4000, **of_model)
        return carry_settings(model, {"max_tokens": limit, "temperature": 0.5, "seed": 7, "tools": []})

    model, arguments = sent(50)
    assert (model.temperature, arguments) == (0.5, {"max_tokens": 50, "tools": []})
    thinking = {"type": "enabled", "budget_tokens": 1024}
    model, arguments = sent(50, thinking=thinking)
    assert (model.temperature, arguments) == (None, {"tools": []})
    model, arguments = sent(2000, profile={"temperature": False})
    assert (model.temperature, arguments) == (None, {"max_tokens": 2000, "tools": []})


class ThinksLong(ChatAnthropic):
    """A double whose thoughts are longer than the limit that its caller has set."""

    async def _astream(self, *_: Any, **__: Any) -> Any:
        thought = {"type": "thinking", "thinking": "They want to know how warm it is. ", "index": 0}
        for content in [*([[thought]] * 200), MILD]:
            yield ChatGenerationChunk(message=AIMessageChunk(content))
        yield ChatGenerationChunk(message=AIMessageChunk("", response_metadata={"stop_reason": "end_turn"}))


async def test_thoughts_are_not_cut_off_where_the_clients_limit_was_left_out() -> None:
    thinking = {"type": "enabled", "budget_tokens": 8000}
    thinker = ThinksLong(model="claude-of-a-test", api_key="k", max_tokens=16000, thinking=thinking)
    model = resilient(thinker, [], ResilienceSettings(), SystemClock())
    assert [chunk.text async for chunk in model.astream([HumanMessage("hello")], max_tokens=50)][200] == MILD
    assert MeteredChatModel(inner=model).longest_reply({"max_tokens": 50}) == 16000, "as much is reserved"


@pytest.fixture
def quick_client(serve: Serve) -> Iterator[httpx2.Client]:
    with serve(ok(MILD)) as (client, _):
        yield client


def test_what_a_planned_agent_refuses_names_the_model_that_takes_it() -> None:
    for name in ("stop", "tools", "response_format"):
        with pytest.raises(UnsupportedParameter, match="needs a chat model that calls tools"):
            refuse_unsupported({name: ["a"]}, planned=True)
    with pytest.raises(UnsupportedParameter, match=r"not supported here\. Leave it out"):
        refuse_unsupported({"n": 2}, planned=False)


def test_stops_that_are_no_texts_are_refused(quick_client: httpx2.Client) -> None:
    stops: list[Any] = [5, [""], {"a": "b"}]
    for stop in stops:
        with pytest.raises(openai.BadRequestError, match="a text, or a list of texts"):
            openai_of(quick_client).chat.completions.create(model="sixply", messages=[USER], stop=stop)


def test_what_vercels_clients_and_thinking_ones_send_by_themselves_is_taken(quick_client: httpx2.Client) -> None:
    openai_of(quick_client).responses.create(
        model="sixply", input=[USER], include=["reasoning.encrypted_content"], top_logprobs=0
    )
    anthropic_of(quick_client).messages.create(
        model="sixply", max_tokens=99, messages=[USER], thinking={"type": "adaptive"}
    )


def test_a_message_of_anthropic_has_no_null_where_its_types_have_none(quick_client: httpx2.Client) -> None:
    body = {"model": "sixply", "max_tokens": 99, "messages": [USER]}
    (block,) = quick_client.post("/v1/messages", json=body).json()["content"]
    assert block == {"type": "text", "text": MILD}
    with anthropic_of(quick_client).messages.stream(model="sixply", max_tokens=99, messages=[USER]) as stream:
        begun = next(event.message for event in stream if event.type == "message_start")
        whole = stream.get_final_message()
    Message.model_validate(begun.model_dump(), strict=True)
    assert begun.usage.input_tokens == 0
    assert isinstance(whole.content[0], TextBlock)


@beta_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"18 degrees in {city}"


def test_anthropics_tool_runner_goes_on_without_a_thread_of_the_server(serve: Serve) -> None:
    with serve(calls("get_weather", city="Bern"), ok(MILD)) as (client, _):
        body = {"model": "sixply", "max_tokens": 99, "messages": [USER], "thread": {"type": "create"}}
        refused = client.post("/v1/messages", json=body)
        runner = anthropic_of(client).beta.messages.tool_runner(
            model="sixply", max_tokens=99, messages=[USER], tools=[get_weather]
        )
        last = list(runner)[-1]
    # newer runners than ours send a thread, and leave it out upon this
    assert refused.status_code == 400
    assert refused.json()["error"]["details"] == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
    assert last.content[0].type == "text"


@openai_alone
def test_what_is_not_stored_is_deleted_once_it_has_ended(serve: Serve) -> None:
    with serve(ok(MILD), ok(MILD), calls("get_weather", city="Bern"), ok(MILD), ok(MILD)) as (client, _):

        def count() -> int:
            return len(client.get("/v1/conversations").json()["conversations"])

        create = openai_of(client).responses.create
        unstored: Any = create(model="sixply", input="hello", store=False)
        assert unstored.store is False
        for _ in create(model="sixply", input="hello", store=False, stream=True):
            pass
        assert count() == 0
        ask: Any = {"model": "sixply", "tools": [AS_RESPONSES], "store": False}
        first: Any = create(input=[USER], **ask)
        assert count() == 1, "it waits for the client, and what it did would be done again"
        result: Any = {"type": "function_call_output", "call_id": first.output[0].call_id, "output": "18 degrees"}
        create(input=[USER, first.output[0].model_dump(exclude_none=True), result], **ask)
        assert count() == 0
        stored = create(model="sixply", input="hello")
        with pytest.raises(openai.BadRequestError, match='Leave "store" out'):
            create(model="sixply", input="and then?", store=False, previous_response_id=stored.id)
        assert count() == 1


@openai_alone
def test_clients_send_again_only_what_may_work_later(serve: Serve) -> None:
    with serve(status(401)) as (client, provider):
        again = openai.OpenAI(base_url=f"{client.base_url}/v1", api_key=openai_of(client).api_key, max_retries=2)
        with pytest.raises(openai.InternalServerError, match="SIXPLY__MODELS__CHAT__API_KEY") as refused:
            again.chat.completions.create(model="sixply", messages=[USER])
        assert len(provider.requests) == 1
        assert refused.value.response.headers["X-Should-Retry"] == "false"
        also = anthropic.Anthropic(base_url=str(client.base_url), api_key=openai_of(client).api_key, max_retries=2)
        with pytest.raises(anthropic.InternalServerError):
            also.messages.create(model="sixply", max_tokens=9, messages=[USER])
        assert len(provider.requests) == 2


def test_what_an_api_refuses_although_its_class_has_it_is_left_out() -> None:
    both: Any = {"temperature": 0.5, "top_p": 0.9, "seed": 7}
    newer: Any = carry_settings(ChatOpenAI(model="m", api_key=SecretStr("k"), use_responses_api=True), dict(both))[0]
    assert (newer.temperature, newer.top_p, newer.seed) == (0.5, 0.9, None)
    claude = ChatAnthropic(model="claude-of-a-test", api_key="k")  # takes one of the two
    for of_model, asked in ((claude, both), (claude.model_copy(update={"temperature": 0.0}), {"top_p": 0.9})):
        assert getattr(carry_settings(of_model, dict(asked))[0], "top_p", None) is None
    assert getattr(carry_settings(claude, {"top_p": 0.9})[0], "top_p", None) == 0.9


def test_classes_of_langchain_get_the_settings_by_their_own_names() -> None:
    sampling = {"temperature": 0.5, "top_p": 0.9, "top_k": 3, "seed": 7, "presence_penalty": 1.0}
    asked: Any = {"max_tokens": 50, **sampling}
    ollama, left = carry_settings(ChatOllama(model="m", num_predict=20), dict(asked))
    options = ollama._chat_params([HumanMessage("hello")], None, **left)["options"]  # type: ignore[attr-defined]
    assert options | {"num_predict": 20, "temperature": 0.5, "top_p": 0.9, "top_k": 3, "seed": 7} == options
    assert left == {}
    mistral, left = carry_settings(ChatMistralAI(model_name="m", api_key=SecretStr("k")), dict(asked))
    assert (mistral.temperature, left) == (0.5, {"max_tokens": 50})  # type: ignore[attr-defined]


def test_a_base_url_that_is_not_what_the_client_wants_is_said(quick_client: httpx2.Client) -> None:
    key = openai_of(quick_client).api_key
    with (  # closed, since the errors below hold them
        openai.OpenAI(base_url=str(quick_client.base_url), api_key=key, max_retries=0) as short,
        anthropic.Anthropic(base_url=f"{quick_client.base_url}/v1", api_key=key, max_retries=0) as long,
    ):
        with pytest.raises(openai.NotFoundError) as without:
            short.chat.completions.create(model="sixply", messages=[USER])
        with pytest.raises(anthropic.NotFoundError) as twice:
            long.messages.create(model="sixply", max_tokens=9, messages=[USER])
    for reply in (without.value.response, twice.value.response):
        assert "The base_url of OpenAI's clients ends in /v1, that of Anthropic's does not" in reply.text
    assert "base_url" not in quick_client.get("/v1/nothing").text
