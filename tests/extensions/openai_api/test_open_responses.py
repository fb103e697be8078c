"""The cases of the Open Responses compliance suite, against the server over a model that calls tools.

The suite itself (github.com/openresponses/openresponses, `bin/compliance-test.ts`) runs on Bun and checks with Zod. These are its
cases by name, with what it demands of them: each required member of a response and its type, and that every event and the whole
are what OpenAI's client understands.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tests.doubles.provider import Behaviour, calls, ok
from tests.integration import test_strong_model
from tests.integration.test_strong_model import Serve, serve

__all__ = ["serve"]

NUMBER, OPTIONAL = (int, float), type(None)
REQUIRED: dict[str, Any] = {
    "id": str, "object": str, "created_at": int, "completed_at": (int, OPTIONAL), "status": str,
    "incomplete_details": (dict, OPTIONAL), "model": str, "previous_response_id": (str, OPTIONAL),
    "instructions": (str, OPTIONAL), "output": list, "error": (dict, OPTIONAL), "tools": list, "tool_choice": (str, dict),
    "truncation": str, "parallel_tool_calls": bool, "text": dict, "top_p": NUMBER, "presence_penalty": NUMBER,
    "frequency_penalty": NUMBER, "top_logprobs": int, "temperature": NUMBER, "reasoning": (dict, OPTIONAL),
    "user": (str, OPTIONAL), "usage": (dict, OPTIONAL), "max_output_tokens": (int, OPTIONAL),
    "max_tool_calls": (int, OPTIONAL), "store": bool, "background": bool, "service_tier": str, "metadata": dict,
    "safety_identifier": (str, OPTIONAL), "prompt_cache_key": (str, OPTIONAL),
}  # fmt: skip
"""The required members of a `ResponseResource`, of the specification's release of April 2026 and of those before it."""

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather for a location",
    "parameters": {
        "type": "object",
        "properties": {"location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"}},
        "required": ["location"],
    },
}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
HELLO = ok("Hello there, friend.")
CALL = calls("get_weather", location="San Francisco, CA")


def user(content: Any) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": content}


def of_weather(response: dict[str, Any]) -> None:
    (call,) = [item for item in response["output"] if item["type"] == "function_call"]
    assert (call["name"], json.loads(call["arguments"])) == ("get_weather", {"location": "San Francisco, CA"})


def of_text(response: dict[str, Any]) -> None:
    assert [item["type"] for item in response["output"]] == ["message"]


CASES: dict[str, tuple[dict[str, Any], Behaviour, Callable[[dict[str, Any]], None]]] = {
    "basic-response": ({"input": [user("Say hello in exactly 3 words.")]}, HELLO, of_text),
    "streaming-response": ({"input": [user("Count from 1 to 5.")], "stream": True}, HELLO, of_text),
    "system-prompt": (
        {
            "input": [
                {"type": "message", "role": "system", "content": "You are a pirate. Always respond in pirate speak."},
                user("Say hello."),
            ]
        },
        HELLO,
        of_text,
    ),
    "tool-calling": ({"input": [user("What's the weather like?")], "tools": [WEATHER]}, CALL, of_weather),
    "tool-calling-streaming": (
        {"input": [user("What's the weather like?")], "tools": [WEATHER], "stream": True},
        CALL,
        of_weather,
    ),
    "image-input": (
        {
            "input": [
                user(
                    [
                        {"type": "input_text", "text": "What do you see in this image? Answer in one sentence."},
                        {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"},
                    ]
                )
            ]
        },
        HELLO,
        of_text,
    ),
    "multi-turn": (
        {
            "input": [
                user("My name is Alice."),
                {"type": "message", "role": "assistant", "content": "Hello Alice! Nice to meet you."},
                user("What is my name?"),
            ]
        },
        HELLO,
        of_text,
    ),
}
"""By the suite's name of the case: the request, what the model says, and what the response has to hold."""


@pytest.fixture(autouse=True)
def _model_that_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    able = test_strong_model.STACK.replace("tool_calling = true", "tool_calling = true, image_inputs = true")
    monkeypatch.setattr(test_strong_model, "STACK", able)


@pytest.mark.parametrize("case", CASES)
def test_a_case_of_the_suite_passes(serve: Serve, case: str) -> None:
    request, said, demand = CASES[case]
    with serve(said) as (client, provider):
        response = ask(client, {"model": "sixply", **request})
    wrong = {name: response.get(name, "missing") for name, kind in REQUIRED.items() if not fits(response, name, kind)}
    assert wrong == {}
    assert response["status"] == "completed"
    Response.model_validate(response)
    demand(response)
    if case == "image-input":
        assert PIXEL in json.dumps(provider.requests[0][2]["messages"])


def fits(response: dict[str, Any], name: str, kind: Any) -> bool:
    return name in response and isinstance(response[name], kind)


def ask(client: httpx2.Client, body: dict[str, Any]) -> dict[str, Any]:
    """The response, or the one that its stream ends in, each event of which OpenAI's client understands."""
    if not body.get("stream"):
        reply = client.post("/v1/responses", json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()  # type: ignore[no-any-return]
    lines = client.post("/v1/responses", json=body).text.splitlines()
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
    for event in events:
        TypeAdapter[Any](ResponseStreamEvent).validate_python(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    if body.get("tools"):
        kinds = [event["type"] for event in events]
        items = [event["item"]["type"] for event in events if event["type"].startswith("response.output_item.")]
        assert items == ["function_call", "function_call"], "added and done"
        assert "response.function_call_arguments.delta" in kinds
        assert "response.function_call_arguments.done" in kinds
    assert events[-1]["type"] == "response.completed"
    return events[-1]["response"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("max_tool_calls", 3), ("include", ["message.output_text.logprobs"]), ("stream_options", {})],
)
def test_what_is_not_done_is_refused_by_its_name(serve: Serve, parameter: str, value: Any) -> None:
    with serve(HELLO) as (client, _):
        reply = client.post("/v1/responses", json={"model": "sixply", "input": "Hello", parameter: value})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, parameter)
