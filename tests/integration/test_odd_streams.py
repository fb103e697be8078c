"""Streams of OpenAI's shape in the ways of real servers: cut in odd places, with usage of any kind, filters, refusals, doubled ids."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.doubles.provider import Behaviour, garbage, strict
from tests.integration.test_strong_model import QUESTION, Serve, serve

__all__ = ["serve"]

pytestmark = pytest.mark.parametrize("serve", ["openai_compatible"], indirect=True)
TEXT = "A parcel may weigh 30 kilograms."
USED = {"prompt_tokens": 30, "completion_tokens": 20, "total_tokens": 50}


def piece(finish: str | None = None, usage: Any = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": usage}


def stream(*pieces: dict[str, Any]) -> Behaviour:
    frame = {"id": "c1", "object": "chat.completion.chunk", "created": 0, "model": "a-strong-one"}
    events = [f"data: {json.dumps(frame | each)}\n\n" for each in pieces]
    return strict(garbage("".join(events).encode(), "text/event-stream"))


def answers(serve: Serve, *behaviours: list[Behaviour]) -> list[Any]:
    """The answer to each list of behaviours, from one server."""
    replies = []
    with serve(stream(piece())) as (client, provider):
        for number, wanted in enumerate(behaviours):
            provider.behaviours[:], provider.requests[:] = wanted, []
            replies.append(client.post("/v1/answers", json={"question": f"{QUESTION} ({number})"}).json())
    return replies


def said(usage: Any, *, each: bool = False) -> list[Behaviour]:
    """`TEXT` with this usage at the end; `each`: cumulated with each piece before it, too."""
    words = [
        piece(content=f"{word} ", usage=USED | {"completion_tokens": number} if each else None)
        for number, word in enumerate(TEXT.split(), 1)
    ]
    return [stream(*words, piece("stop", usage if each else None), {"choices": [], "usage": usage})]


def test_usage_is_counted_once_and_what_is_no_count_is_not_claimed(serve: Serve) -> None:
    odd = [dict.fromkeys(USED, count) for count in (None, -5, 10**30)]
    (ok, each, *unknown) = answers(serve, said(USED), said(USED, each=True), *map(said, [None, *odd]))
    for answer in (ok, each):
        assert (answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]) == (30, 20), answer
    for answer in unknown:
        assert answer["text"] == TEXT, answer
        assert (answer["usage"]["input_tokens"], answer["cost_usd"]) == (None, None)
        assert "no known price" in answer["degraded"][0]


def test_a_stream_that_ends_without_a_reason_or_never_is_no_answer(serve: Serve) -> None:
    ends = [stream(piece(content="A parcel "))]
    endless = [stream(piece(content="x" * 200_000), piece("stop"))]
    silent, long = answers(serve, ends, endless)
    assert (silent["code"], "ended in the middle" in silent["detail"]) == ("upstream_malformed", True), silent
    assert (long["code"], "at most 4096 tokens" in long["detail"]) == ("upstream_malformed", True), long


def test_a_refusal_is_the_answer_and_a_filter_is_told(serve: Serve) -> None:
    refusal = [stream(piece(refusal="I may not "), piece(refusal="say."), piece("stop", USED))]
    filtered = [stream(piece(content=TEXT), piece("content_filter", USED))]
    refused, cut = answers(serve, refusal, filtered)
    assert refused["text"] == "I may not say.", refused
    assert (cut["text"], cut["stop_reason"]) == (TEXT, "error")
    assert any("filter ended the answer" in text for text in cut["degraded"])


def test_calls_in_single_characters_between_each_other_and_under_one_id_are_two_calls(serve: Serve) -> None:
    def begin(place: int, call_id: str) -> dict[str, Any]:
        function = {"name": "search_documents", "arguments": ""}
        return piece(tool_calls=[{"index": place, "id": call_id, "type": "function", "function": function}])

    written = zip('{"query": "weight"}', '{"query": "height"}', strict=True)
    letters = [
        piece(tool_calls=[{"index": place, "function": {"arguments": letter}}])
        for pair in written
        for place, letter in enumerate(pair)
    ]
    twice = [
        [stream(begin(0, "a"), begin(1, other), *letters, piece("tool_calls", USED)), *said(USED)] for other in "ab"
    ]
    for answer in answers(serve, *twice):
        assert [step["name"] for step in answer["steps"]][1:3] == ["search_documents"] * 2, answer
        assert answer["text"].startswith(TEXT.removesuffix(".")), answer
