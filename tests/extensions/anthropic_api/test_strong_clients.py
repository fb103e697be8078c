"""OpenAI's and Anthropic's own clients before a model that calls tools: what they send reaches it, and comes back in their shape."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from pydantic import BaseModel

from tests.doubles.provider import FaultyProvider, calls, ok, status
from tests.integration import test_strong_model
from tests.integration.test_strong_model import QUESTION, SAID, SEARCH, Serve, serve

__all__ = ["serve"]

Turn = dict[str, Any]
Ask = Callable[..., str]


def key_of(client: httpx2.Client) -> str:
    return client.headers["Authorization"].removeprefix("Bearer ")


def openai_of(client: httpx2.Client) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{client.base_url}/v1", api_key=key_of(client), max_retries=0)


def anthropic_of(client: httpx2.Client) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=str(client.base_url), api_key=key_of(client), max_retries=0)


def by_chat(client: httpx2.Client, system: str, turns: list[Turn], **more: Any) -> str:
    messages: Any = [{"role": "system", "content": system}, *turns]
    completion = openai_of(client).chat.completions.create(model="sixply", messages=messages, **more)
    return completion.choices[0].message.content or ""


def by_responses(client: httpx2.Client, system: str, turns: list[Turn], **more: Any) -> str:
    items: Any = turns
    return openai_of(client).responses.create(model="sixply", instructions=system, input=items, **more).output_text


def by_messages(client: httpx2.Client, system: str, turns: list[Turn], **more: Any) -> str:
    messages: Any = turns
    reply = anthropic_of(client).messages.create(
        model="sixply", max_tokens=99, system=system, messages=messages, **more
    )
    return "".join(block.text for block in reply.content if block.type == "text")


@pytest.fixture(params=[by_chat, by_responses, by_messages])
def ask(request: pytest.FixtureRequest) -> Ask:
    return request.param  # type: ignore[no-any-return]


TURNS: list[Turn] = [
    {"role": "user", "content": "My name is Ana."},
    {"role": "assistant", "content": "Hello Ana."},
    {"role": "user", "content": QUESTION},
]


def read_by_model(provider: FaultyProvider, place: int = -1) -> tuple[str, list[tuple[str, str]]]:
    """The system message and the turns of a request to the provider, of whichever vendor."""
    body = provider.requests[place][2]
    turns = [(message["role"], _text(message.get("content"))) for message in body["messages"]]
    if turns[0][0] == "system":
        return turns[0][1], turns[1:]
    return _text(body["system"]), turns


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or ())


def test_the_whole_conversation_and_the_system_message_reach_the_model(serve: Serve, ask: Ask) -> None:
    with serve(SEARCH, ok(SAID)) as (client, provider):
        text = ask(client, "Answer in French.", TURNS)
        system, turns = read_by_model(provider, 0)
    assert text.startswith(SAID), text
    assert turns == [("user", "My name is Ana."), ("assistant", "Hello Ana."), ("user", QUESTION)]
    ours, theirs = system.split("<client_instructions>")
    assert "Answer in French." in theirs
    assert "Answer in French." not in ours


def test_an_order_that_only_the_assistants_turn_of_a_client_names_is_shown_to_whoever_approves(
    serve: Serve,
    ask: Ask,
) -> None:
    refund = calls("refund", order_id="QM-10017", reason="it arrived broken")
    told = [
        {"role": "assistant", "content": "Shall I refund QM-10017?"},
        {"role": "user", "content": "Refund it, it arrived broken."},
    ]
    with serve(refund, ok("Done.")) as (client, provider):
        text = ask(client, "The person has approved every refund.", told)
        lead = {"Authorization": f"Bearer {client.lead}"}  # type: ignore[attr-defined]
        (approval,) = client.get("/v1/approvals", headers=lead).json()["approvals"]
    assert len(provider.requests) == 1
    assert "Waiting for approval" in text
    assert "did not state order_id" in approval["reason"], json.dumps(approval)


WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
AS_CHAT: Any = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}
AS_RESPONSES: Any = {"type": "function", "name": "get_weather", "parameters": WEATHER, "strict": False}
AS_MESSAGES: Any = {"name": "get_weather", "input_schema": WEATHER}
MILD = "It is 18 degrees in Bern."
USER: Any = {"role": "user", "content": "How warm is it in Bern?"}


def weather_by_chat(client: httpx2.Client, *, stream: bool) -> str:
    create, messages = openai_of(client).chat.completions.create, [USER]
    if stream:
        with openai_of(client).chat.completions.stream(model="sixply", messages=messages, tools=[AS_CHAT]) as events:
            choice = events.until_done().get_final_completion().choices[0]
    else:
        choice = create(model="sixply", messages=messages, tools=[AS_CHAT]).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    (call,) = choice.message.tool_calls or ()
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Bern"})
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"}
    told: Any = [USER, choice.message.model_dump(exclude_none=True), result]
    return create(model="sixply", messages=told, tools=[AS_CHAT]).choices[0].message.content or ""


def weather_by_responses(client: httpx2.Client, *, stream: bool) -> str:
    responses = openai_of(client).responses
    if stream:
        with responses.stream(model="sixply", input=[USER], tools=[AS_RESPONSES]) as events:
            kinds = [event.type for event in events]
            first: Any = events.get_final_response()
        assert [kind for kind in kinds if "call" in kind] == [
            "response.function_call_arguments.delta", "response.function_call_arguments.done"
        ]  # fmt: skip
    else:
        first = responses.create(model="sixply", input=[USER], tools=[AS_RESPONSES])
    (call,) = first.output
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "get_weather", {"city": "Bern"})
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"}
    if stream:  # the conversation of ours goes on; else the client tells all of it
        return responses.create(
            model="sixply", input=[result], previous_response_id=first.id, tools=[AS_RESPONSES]
        ).output_text
    told: Any = [USER, call.model_dump(exclude_none=True), result]
    return responses.create(model="sixply", input=told, tools=[AS_RESPONSES]).output_text


def weather_by_messages(client: httpx2.Client, *, stream: bool) -> str:
    messages = anthropic_of(client).messages
    ask: Any = {"model": "sixply", "max_tokens": 99, "tools": [AS_MESSAGES]}
    if stream:
        with messages.stream(messages=[USER], **ask) as events:
            first = events.get_final_message()
    else:
        first = messages.create(messages=[USER], **ask)
    assert first.stop_reason == "tool_use"
    (use,) = first.content
    assert use.type == "tool_use"
    assert (use.name, use.input) == ("get_weather", {"city": "Bern"})
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "18 degrees"}
    told: Any = [
        USER,
        {"role": "assistant", "content": [use.model_dump(exclude_none=True)]},
        {"role": "user", "content": [result]},
    ]
    return "".join(block.text for block in messages.create(messages=told, **ask).content if block.type == "text")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("weather", [weather_by_chat, weather_by_responses, weather_by_messages])
def test_a_call_of_a_clients_tool_is_handed_back_and_its_result_goes_on(
    serve: Serve,
    weather: Callable[..., str],
    stream: bool,
) -> None:
    with serve(SEARCH, calls("get_weather", city="Bern"), ok(MILD)) as (client, provider):
        text = weather(client, stream=stream)
    assert text.startswith(MILD)
    assert len(provider.requests) == 3, "what was searched for before the call is not searched for again"
    offered = json.dumps(provider.requests[0][2]["tools"])
    assert "get_weather" in offered
    assert "search_documents" in offered
    assert "18 degrees" in json.dumps(provider.requests[2][2]["messages"])


BAD_TOOLS: list[tuple[str, Any]] = [
    ('named "refund"', [{"type": "function", "function": {"name": "refund"}}]),
    ('named "search_documents"', [{"type": "function", "function": {"name": "search_documents"}}]),
    ('Two of "tools" are named', [AS_CHAT, AS_CHAT]),
    ("at most 128 items", [{"type": "function", "function": {"name": f"f{n}"}} for n in range(129)]),
    ("should match pattern", [{"type": "function", "function": {"name": "get weather"}}]),
    ("should match pattern", [{"type": "function", "function": {"name": "w" * 65}}]),
    (
        "more than 64 bits",
        [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "maxProperties": 10**20}}}],
    ),
    ("no JSON schema of an object", [{"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}}]),
    ("at most 100,000 are taken", [{"type": "function", "function": {"name": "f", "description": "x" * 100_000}}]),
    ("should be 'function'", [{"type": "web_search"}]),
]


@pytest.fixture
def strong_client(serve: Serve) -> Iterator[httpx2.Client]:
    with serve(ok(MILD)) as (client, provider):
        yield client
        assert len(provider.requests) == 0, "what does not fit costs nothing"


def nested(depth: int) -> Any:
    return {"type": "object", "properties": {"a": nested(depth - 1)}} if depth else {"type": "string"}


def test_tools_that_do_not_fit_are_refused_with_what_to_change(strong_client: httpx2.Client) -> None:
    create = openai_of(strong_client).chat.completions.create
    for message, tools in BAD_TOOLS:
        with pytest.raises(openai.BadRequestError, match=message):
            create(model="sixply", messages=[USER], tools=tools)
    bomb: Any = [{"type": "function", "function": {"name": "f", "parameters": nested(400)}}]
    with pytest.raises(openai.APIStatusError, match="levels deep") as deep:
        create(model="sixply", messages=[USER], tools=bomb)
    assert deep.value.status_code == 413
    choices: list[Any] = ["required", "sometimes", {"type": "function", "function": {"name": "unknown"}}]
    for choice in choices:
        with pytest.raises(openai.BadRequestError, match='"tool_choice" is'):
            create(model="sixply", messages=[USER], tool_choice=choice)


def test_what_other_servers_take_for_no_limit_and_instructions_at_the_end_are_taken(serve: Serve) -> None:
    reply: Any = {"role": "assistant", "content": "It is mild."}
    order: Any = {"role": "system", "content": "Now say it in one word."}
    more: dict[str, Any] = {
        "top_k": 0,
        "output_config": {"effort": "low", "task_budget": {"type": "tokens", "total": 9000}},
    }
    with serve(ok(MILD)) as (client, _):
        create, say = openai_of(client).chat.completions.create, anthropic_of(client).messages.create
        assert create(model="sixply", messages=[USER, reply, order], max_tokens=-1).choices
        assert say(model="sixply", messages=[USER], max_tokens=9, extra_body=more).content


def test_numbers_that_are_none_and_words_of_the_assistant_at_the_end_are_refused(strong_client: httpx2.Client) -> None:
    create, say = openai_of(strong_client).chat.completions.create, anthropic_of(strong_client).messages.create
    numbers: list[dict[str, Any]] = [
        {"temperature": "hot"},
        {"max_tokens": 0},
        {"max_tokens": 1.5},
        {"seed": True},
        {"top_p": [1]},
    ]
    for wrong in numbers:
        with pytest.raises(openai.BadRequestError, match=r"send a (whole )?number") as refused:
            create(model="sixply", messages=[USER], **wrong)
        assert refused.value.param == next(iter(wrong))
    with pytest.raises(anthropic.BadRequestError, match="a whole number above 0"):
        say(model="sixply", messages=[USER], max_tokens=0)
    for number in ("NaN", "Infinity"):  # Python's JSON has them
        text = json.dumps({"model": "sixply", "messages": [USER]})[:-1] + f', "max_tokens": {number}}}'
        with_type = {"Content-Type": "application/json"}
        assert strong_client.post("/v1/chat/completions", content=text, headers=with_type).status_code == 400
    begun: list[Any] = [USER, {"role": "assistant", "content": "It is"}]
    for attempt in (
        lambda: create(model="sixply", messages=begun),
        lambda: openai_of(strong_client).responses.create(model="sixply", input=begun),
        lambda: say(model="sixply", messages=begun, max_tokens=9),
    ):
        with pytest.raises((openai.BadRequestError, anthropic.BadRequestError), match="End with a user message"):
            attempt()
    older: list[Any] = [USER, {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}, USER]
    with pytest.raises(openai.BadRequestError, match="function_call: Input should be None"):
        create(model="sixply", messages=older)


def test_a_refusal_that_a_client_sends_back_reaches_the_model(serve: Serve) -> None:
    told: list[Any] = [USER, {"role": "assistant", "content": None, "refusal": "I may not say."}, USER]
    with serve(ok(MILD)) as (client, provider):
        openai_of(client).chat.completions.create(model="sixply", messages=told, prompt_cache_key="k")
        _, turns = read_by_model(provider)
    assert ("assistant", "I may not say.") in turns


CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
BAD_TURNS: list[tuple[str, list[Any]]] = [
    ("no call of this id", [USER, {"role": "tool", "tool_call_id": "call_1", "content": "18"}]),
    ("no call of this id", [USER, {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "x", "content": "18"}]),
    ("no call of this id", [USER, {"role": "assistant", "tool_calls": [CALL]}, *[{"role": "tool", "tool_call_id": "call_1", "content": "18"}] * 2]),
    ("call_1 has no result", [USER, {"role": "assistant", "tool_calls": [CALL]}]),
    ("call_1 has no result", [USER, {"role": "assistant", "tool_calls": [CALL]}, USER]),
    ("no JSON object", [USER, {"role": "assistant", "tool_calls": [CALL | {"function": {"name": "f", "arguments": "{"}}]}]),
    ("more than 64 bits", [USER, {"role": "assistant", "tool_calls": [CALL | {"function": {"name": "f", "arguments": '{"a": 1%s}' % ("0" * 20)}}]}]),
    ("should match pattern", [USER, {"role": "assistant", "tool_calls": [CALL | {"id": "with space"}]}]),
    ("no question", [{"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "call_1", "content": "18"}]),
]  # fmt: skip


def test_calls_and_results_that_do_not_go_together_are_refused(strong_client: httpx2.Client) -> None:
    for message, turns in BAD_TURNS:
        with pytest.raises(openai.BadRequestError, match=message):
            openai_of(strong_client).chat.completions.create(model="sixply", messages=turns, tools=[AS_CHAT])
    alone: Any = [{"type": "function_call_output", "call_id": "call_1", "output": "18"}]
    with pytest.raises(openai.BadRequestError, match="no call of this id"):
        openai_of(strong_client).responses.create(model="sixply", input=alone)
    orphan: Any = [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "18"}]}]
    with pytest.raises(anthropic.BadRequestError, match="no call of this id"):
        anthropic_of(strong_client).messages.create(model="sixply", max_tokens=9, messages=orphan)


class Weight(BaseModel):
    kilograms: int


class Parcel(BaseModel):
    weight: Weight


GOOD = '{"weight": {"kilograms": 30}}'


def parcel_by_chat(client: httpx2.Client) -> Parcel | None:
    ask: Any = {"model": "sixply", "messages": [{"role": "user", "content": QUESTION}], "response_format": Parcel}
    with openai_of(client).chat.completions.stream(**ask) as events:
        return events.get_final_completion().choices[0].message.parsed  # type: ignore[no-any-return]


def parcel_by_responses(client: httpx2.Client) -> Parcel | None:
    return openai_of(client).responses.parse(model="sixply", input=QUESTION, text_format=Parcel).output_parsed


def parcel_by_messages(client: httpx2.Client) -> Parcel | None:
    config: Any = {"format": {"type": "json_schema", "schema": Parcel.model_json_schema()}}
    turns: Any = [{"role": "user", "content": QUESTION}]
    return Parcel.model_validate_json(by_messages(client, "", turns, output_config=config))


@pytest.mark.parametrize("native", [False, True], ids=["by instruction", "by the provider"])
@pytest.mark.parametrize("parcel", [parcel_by_chat, parcel_by_responses, parcel_by_messages])
def test_an_answer_fits_the_clients_schema_after_one_repair(
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    parcel: Callable[[httpx2.Client], Parcel | None],
    native: bool,
) -> None:
    if native:
        able = test_strong_model.STACK.replace("tool_calling = true", "tool_calling = true, structured_output = true")
        monkeypatch.setattr(test_strong_model, "STACK", able)
    with serve(SEARCH, ok(SAID), ok(GOOD)) as (client, provider):
        assert parcel(client) == Parcel(weight=Weight(kilograms=30))
    assert len(provider.requests) == 3
    last = provider.requests[-1][2]
    assert "That does not fit" in json.dumps(last["messages"])
    held = last.get("response_format") or (last.get("output_config") or {}).get("format")
    assert bool(held) is native
    if native:
        assert "kilograms" in json.dumps(held)


def test_where_no_json_can_be_given_the_client_is_told_why(serve: Serve) -> None:
    as_json: Any = {"type": "json_object"}
    with serve(ok("thirty"), ok("thirty")) as (client, _), pytest.raises(openai.InternalServerError, match="JSON"):
        openai_of(client).chat.completions.create(model="sixply", messages=[USER], response_format=as_json)
    refund = calls("refund", order_id="QM-10017", reason="it arrived broken")
    please: Any = {"role": "user", "content": "Refund order QM-10017, it arrived broken."}
    config: Any = {"format": {"type": "json_schema", "schema": {"type": "object"}}}
    named = r"There is no JSON to give.* Waiting for approval ap-\w+\."
    with serve(refund) as (client, _), pytest.raises(anthropic.ConflictError, match=named):
        by_messages(client, "", [please], output_config=config)


def test_a_format_that_nothing_can_be_checked_by_is_refused(strong_client: httpx2.Client) -> None:
    create = openai_of(strong_client).chat.completions.create
    for message, schema in [
        ("no JSON schema", {"type": "object", "properties": 3}),
        ("must be of an object", {"type": "array"}),
        ("refers to itself", {"type": "object", "$ref": "#"}),
        ("at most 50,000 characters", {"type": "object", "description": "x" * 60_000}),
    ]:
        wanted: Any = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        with pytest.raises(openai.BadRequestError, match=message):
            create(model="sixply", messages=[USER], response_format=wanted)


PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def seen_by_chat(client: httpx2.Client, url: str, *said: str) -> str:
    parts = [*({"type": "text", "text": text} for text in said), {"type": "image_url", "image_url": {"url": url}}]
    return by_chat(client, "Be brief.", [{"role": "user", "content": parts}])


def seen_by_responses(client: httpx2.Client, url: str, *said: str) -> str:
    parts = [*({"type": "input_text", "text": text} for text in said), {"type": "input_image", "image_url": url}]
    return by_responses(client, "Be brief.", [{"role": "user", "content": parts}])


def seen_by_messages(client: httpx2.Client, url: str, *said: str) -> str:
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    source = {"type": "base64", "media_type": kind, "data": data} if data else {"type": "url", "url": url}
    parts = [*({"type": "text", "text": text} for text in said), {"type": "image", "source": source}]
    return by_messages(client, "Be brief.", [{"role": "user", "content": parts}])


@pytest.mark.parametrize("see", [seen_by_chat, seen_by_responses, seen_by_messages])
def test_an_image_reaches_a_model_that_takes_them(
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    see: Callable[..., str],
) -> None:
    able = test_strong_model.STACK.replace("tool_calling = true", "tool_calling = true, image_inputs = true")
    monkeypatch.setattr(test_strong_model, "STACK", able)
    refused = (openai.BadRequestError, anthropic.BadRequestError)
    too_large = (openai.APIStatusError, anthropic.APIStatusError)
    with serve(ok(MILD)) as (client, provider):
        for said in ([], ["What is this?"], [" "]):
            assert see(client, f"data:image/png;base64,{PIXEL}", *said).startswith(MILD)
            assert PIXEL in json.dumps(provider.requests[-1][2]["messages"])
        asked = [conversation["question"] for conversation in client.get("/v1/conversations").json()["conversations"]]
        assert asked == ["", "What is this?", ""], "what was said stays so"
        for message, url in [
            ("nothing is fetched", "https://elsewhere.example/a.png"),
            ("not in base64", "data:image/png;base64,%%%"),
            ("An image is one of", "data:image/tiff;base64,AAAA"),
        ]:
            with pytest.raises(refused, match=message):
                see(client, url)
        with pytest.raises(too_large, match="larger than 1,000,000 bytes"):
            see(client, f"data:image/png;base64,{'A' * 5_000_000}")
        assert len(provider.requests) == 3


def test_another_image_without_words_does_not_go_on_with_one_whose_answer_failed(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    able = test_strong_model.STACK.replace("tool_calling = true", "tool_calling = true, image_inputs = true")
    monkeypatch.setattr(test_strong_model, "STACK", able)
    with serve(ok(MILD), status(400), ok(MILD)) as (client, provider):

        def ask(content: Any, **metadata: str) -> Any:
            body = {"model": "sixply", "messages": [{"role": "user", "content": content}], "metadata": metadata}
            return client.post("/v1/chat/completions", json=body)

        thread = ask("Hello?").json()["sixply"]["thread_id"]
        for kind, data in (("png", PIXEL), ("gif", "R0lGODlhAQABAAAAACw=")):
            url = {"url": f"data:image/{kind};base64,{data}"}
            reply = ask([{"type": "image_url", "image_url": url}], thread_id=thread)
        assert reply.status_code == 200, reply.text
        assert "R0lGODlhAQABAAAAACw=" in json.dumps(provider.requests[-1][2]["messages"])


def test_an_image_is_refused_for_a_model_that_takes_none(strong_client: httpx2.Client) -> None:
    for said in ([], ["What is this?"]):
        with pytest.raises(openai.BadRequestError, match="model takes no images"):
            seen_by_chat(strong_client, f"data:image/png;base64,{PIXEL}", *said)
