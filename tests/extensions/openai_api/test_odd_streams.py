"""Streams of OpenAI's shape in the ways of real servers: cut in odd places, with usage of any kind, filters, refusals, doubled ids."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
from langchain_core.messages import HumanMessage

from foundation.clock import SystemClock
from foundation.components import Context, load
from foundation.settings import Part
from models.resilience.resilient_chat import resilient
from models.resilience.streams import read_first_words, stream_of
from models.settings import ResilienceSettings
from tests.doubles.provider import Behaviour, FaultyProvider, garbage, halves, in_turns, strict
from tests.integration import test_strong_model
from tests.integration.test_strong_model import QUESTION, SURFACES, Serve, serve, words_of

__all__ = ["serve"]

pytestmark = pytest.mark.parametrize("serve", ["openai_compatible"], indirect=True)
TEXT = "A parcel may weigh 30 kilograms."
USED = {"prompt_tokens": 30, "completion_tokens": 20, "total_tokens": 50}
# of what is `USED`, in dollars; the machine's time comes on top
PRICE = 0.00023


def piece(finish: str | None = None, usage: Any = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": usage}


def stream(*pieces: dict[str, Any], model: str = "a-strong-one", done: bool = False) -> Behaviour:
    frame = {"id": "c1", "object": "chat.completion.chunk", "created": 0, "model": model}
    events = [f"data: {json.dumps(frame | each)}\n\n" for each in pieces] + ["data: [DONE]\n\n"] * done
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
    odd: list[Any] = [dict.fromkeys(USED, count) for count in (None, -5, 10**30, 20.5)]
    odd += [[1], {"prompt_tokens": 30}, USED | {"prompt_tokens_details": {"cached_tokens": -5}}]
    counted = [USED, USED | {"prompt_tokens": "30", "prompt_tokens_details": {"cached_tokens": None, "of_ours": 3}}]
    asked = [*map(said, counted), said(USED, each=True), *map(said, [None, *odd])]
    replies = answers(serve, *asked)
    known, unknown = replies[:3], replies[3:]
    for answer in known:
        assert (answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]) == (30, 20), answer
    for answer in unknown:
        assert answer["text"] == TEXT, answer
        assert (answer["usage"]["input_tokens"], answer["cost_usd"]) == (None, None)
        assert answer["cost_notes"] == ["a-strong-one reported no token usage, so its cost is unknown."]


@pytest.mark.parametrize("name", ["a-strong-one-2026-01-01", "/models/strong.gguf"])
def test_the_configured_name_has_the_price_whatever_the_server_calls_its_model(serve: Serve, name: str) -> None:
    (answer,) = answers(serve, [stream(piece(content=TEXT), piece("stop"), piece(None, USED), model=name)])
    assert (answer["text"], answer["usage"]["output_tokens"]) == (TEXT, 20), answer
    assert float(answer["cost_usd"]) >= PRICE, answer


def test_a_reason_that_is_said_twice_or_only_by_done_ends_the_stream(serve: Serve) -> None:
    usage = {"choices": [], "usage": USED}
    twice = [[stream(piece(content=TEXT), piece(why), piece(why), usage)] for why in ("stop", "length")]
    silent = [[stream(piece(content=TEXT), piece(why), usage, done=True)] for why in (None, "")]
    whole, cut, *others = answers(serve, *twice, *silent)
    assert (cut["stop_reason"], float(cut["cost_usd"]) >= PRICE) == ("length", True), cut
    for answer in (whole, *others):
        assert (answer["text"], answer["stop_reason"]) == (TEXT, "complete"), answer
        assert float(answer["cost_usd"]) >= PRICE, answer


@pytest.mark.parametrize("why", ["length", "content_filter"])
def test_a_call_that_was_cut_off_before_its_arguments_is_not_made(serve: Serve, why: str) -> None:
    call = {"index": 0, "id": "a", "type": "function", "function": {"name": "wipe_cache", "arguments": ""}}
    tool = {"type": "function", "function": {"name": "wipe_cache", "parameters": {"type": "object", "properties": {}}}}
    body = {"model": "sixply", "messages": [{"role": "user", "content": "Wipe the cache of Ann."}], "tools": [tool]}
    with serve(stream(piece(tool_calls=[call]), piece(why, USED)), *said(USED)) as (client, _):
        cut = client.post("/v1/chat/completions", json=body).json()["choices"][0]
    with serve(stream(piece(tool_calls=[call]), piece(why, USED))) as (client, _):
        always = client.post("/v1/chat/completions", json=body)
    assert ("limit of tokens before a whole word or call" in always.text) == (why == "length"), always.text
    with serve(stream(piece(tool_calls=[call]), piece("tool_calls", USED))) as (client, _):
        whole = client.post("/v1/chat/completions", json=body).json()["choices"][0]
    assert not cut["message"].get("tool_calls"), cut
    assert whole["message"]["tool_calls"][0]["function"] == {"name": "wipe_cache", "arguments": "{}"}, whole


def test_json_that_was_cut_off_is_asked_for_once(serve: Serve) -> None:
    body = {"model": "sixply", "messages": [{"role": "user", "content": QUESTION}]}
    with serve(stream(piece(content='{"weight": "30'), piece("length", USED))) as (client, provider):
        cut = client.post("/v1/chat/completions", json=body | {"response_format": {"type": "json_object"}})
        assert (cut.status_code, len(provider.requests)) == (503, 1)
    assert "JSON that was asked for was cut off at the limit of" in cut.text
    assert cut.headers["X-Should-Retry"] == "false", "the next try would be cut off, too"


def test_a_stream_that_ends_without_a_reason_or_never_is_no_answer(serve: Serve) -> None:
    ends = [stream(piece(content="A parcel "))]
    endless = [stream(piece(content="x" * 200_000), piece("stop"))]
    silent, long = answers(serve, ends, endless)
    assert (silent["code"], "ended in the middle" in silent["detail"]) == ("upstream_malformed", True), silent
    assert (long["code"], "at most 4096 tokens" in long["detail"]) == ("upstream_malformed", True), long


def test_a_refusal_is_the_answer_and_a_filter_is_told(serve: Serve) -> None:
    refusal = [stream(piece(refusal="I may not "), piece(refusal="say."), piece("stop", USED))]
    filtered = [stream(piece(content=TEXT), piece("content_filter", USED))]
    refused, cut, nothing = answers(serve, refusal, filtered, [stream(piece("content_filter", USED))])
    assert (nothing["code"], "filter let no answer pass" in nothing["detail"]) == ("upstream_rejected", True), nothing
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


def test_a_name_with_each_piece_and_arguments_as_an_object_are_one_call(serve: Serve) -> None:
    def part(arguments: Any, call_id: str | None) -> dict[str, Any]:
        function = {"name": "search_documents", "arguments": arguments}
        return piece(tool_calls=[{"index": 0, "id": call_id, "type": "function", "function": function}])

    written = '{"query": "weight"}'
    letters = [[part(written[0], "a"), *(part(letter, other) for letter in written[1:])] for other in ("a", None)]
    asked = [*letters, [part({"query": "weight"}, "a")]]
    replies = answers(serve, *([stream(*parts, piece("tool_calls", USED)), *said(USED)] for parts in asked))
    for answer in replies:
        assert [step["name"] for step in answer["steps"]] == ["model", "search_documents", "model"], answer


def test_a_limit_that_was_too_low_is_not_kept_when_the_same_is_asked_again(serve: Serve) -> None:
    with serve(*said(USED)) as (client, provider):
        thread = client.post("/v1/answers", json={"question": QUESTION}).json()["thread_id"]
        body = {"model": "sixply", "messages": [{"role": "user", "content": "And how high?"}]}
        body |= {"metadata": {"thread_id": thread}}
        provider.behaviours[:] = [stream(piece("length", USED))]
        assert client.post("/v1/chat/completions", json=body | {"max_tokens": 20}).status_code == 503
        provider.behaviours[:] = said(USED)
        again = client.post("/v1/chat/completions", json=body | {"max_tokens": 900})
        assert (again.status_code, provider.requests[-1][2]["max_completion_tokens"]) == (200, 900), again.text


def test_an_answer_that_was_filtered_away_does_not_end_its_conversation(serve: Serve) -> None:
    with serve(stream(piece(content=TEXT), piece("stop", USED))) as (client, provider):
        thread = client.post("/v1/answers", json={"question": QUESTION}).json()["thread_id"]
        asked = {"question": f"{QUESTION} Again.", "thread_id": thread}
        provider.behaviours[:] = [stream(piece("content_filter", USED))]
        assert client.post("/v1/answers", json=asked).status_code == 503
        provider.behaviours[:] = [stream(piece(content=TEXT), piece("stop", USED))]
        again = client.post("/v1/answers", json=asked).json()
        assert again.get("text") == TEXT, again


def test_details_of_a_gateway_and_an_empty_list_for_none_leave_the_counts(serve: Serve) -> None:
    theirs = {"cached_tokens": 2, "cache_creation_token_details": {"ephemeral_5m_input_tokens": 3}}
    for details, cached in ((theirs, 2), ([], None)):
        used = USED | {"prompt_tokens_details": details}
        with serve(stream(piece(content=TEXT), piece("stop", used))) as (client, _):
            usage = client.post("/v1/answers", json={"question": QUESTION}).json()["usage"]
        assert (usage["input_tokens"], usage["cached_input_tokens"]) == (USED["prompt_tokens"], cached)


def test_a_second_choice_is_not_mixed_into_the_first(serve: Serve) -> None:
    def other(**choice: Any) -> dict[str, Any]:
        return {"choices": [{"index": 1, "delta": {}, "finish_reason": None} | choice]}

    words = [(piece(content=f"{word} "), other(delta={"content": "Nothing. "})) for word in TEXT.split()]
    both = {"choices": [*piece("stop")["choices"], *other(finish_reason="length")["choices"]]}
    ends = [other(finish_reason="length"), both, {"choices": [], "usage": USED}]
    (answer,) = answers(serve, [stream(*(each for pair in words for each in pair), *ends)])
    assert (answer["text"], answer["stop_reason"]) == (TEXT, "complete"), answer


def test_thoughts_that_a_server_leaves_in_the_text_are_no_part_of_the_answer(serve: Serve) -> None:
    thoughts = "<think>\nAda asks.\n</think>\n\n"
    letters = [piece(content=letter) for letter in thoughts + TEXT]
    at_once = [piece(content=f" {thoughts}{TEXT}"), piece("stop")]
    other = ["<thin ice", "<", "5 < 6 `</think>` ends it", "\n* one\n* two"]
    # the templates of some models write the beginning into the prompt
    unopened = [piece(content=letter) for letter in f"Ada asks.\n</think>\n\n{TEXT}"]
    asked = [stream(*letters, piece("stop")), stream(*at_once), stream(*unopened, piece("stop"))]
    plain = [stream(*(piece(content=letter) for letter in text), piece("stop")) for text in other]
    replies = answers(serve, *([behaviour] for behaviour in (*asked, *plain)))
    assert [answer["text"] for answer in replies] == [TEXT] * 3 + [*map(str.strip, other)]


def test_a_tag_of_which_an_answer_speaks_deletes_nothing_and_holds_no_later_words_back(serve: Serve) -> None:
    quoting = f"{TEXT}\n</think>\n{TEXT}"
    spoken = f"The tag </think> ends it. {TEXT}"
    said = [stream(*(piece(content=letter) for letter in text), piece("stop", USED)) for text in (spoken, quoting)]
    slow = halves(TEXT)
    with serve(*said, stream(piece(content=TEXT), piece("stop", USED)), slow) as (client, provider):
        assert _words_in(client, "/v1/chat/completions").strip() == spoken
        for _ in range(2):  # one that looks like thoughts, and the next one, which waits for their end
            assert _words_in(client, "/v1/chat/completions").rstrip().endswith(TEXT)
        body = {**SURFACES["/v1/chat/completions"], "temperature": 1}
        told = ""
        with client.stream("POST", "/v1/chat/completions", json=body) as reply:
            for line in reply.iter_lines():
                told += words_of(line)
                if told.strip():
                    provider.go_on.set()
        assert TEXT in told


@pytest.mark.parametrize("path", SURFACES)
def test_thoughts_in_the_text_are_not_streamed_as_words(serve: Serve, path: str) -> None:
    def say(text: str) -> Behaviour:
        return stream(*(piece(content=letter) for letter in text), piece("stop", USED))

    unopened = f"Ada asks.\n</think>\n\n{TEXT}"
    begun = [f"{tag}\nAda asks.\n{tag[0]}/{tag[1:]}\n\n{TEXT}" for tag in ("<think>", "<Thinking>", "[THINK]")]
    with serve(*map(say, begun), say(unopened)) as (client, provider):
        *opened, first, later = (_words_in(client, path).strip() for _ in range(5))
        assert len(provider.requests) == 5, "none comes from a cache"
    assert [*opened, later] == [TEXT] * 4
    # nobody can know the first time; the answer comes behind it, and from then on thoughts are waited for
    assert first.endswith(TEXT)


@pytest.mark.parametrize("tag", ["</think>", "\n</think> ", "</think> ", "\n[/THINK]\n"])
def test_the_end_of_thoughts_that_was_seen_once_is_waited_for_in_every_form(serve: Serve, tag: str) -> None:
    unopened = stream(*(piece(content=letter) for letter in f"Ada asks.{tag}{TEXT}"), piece("stop", USED))
    with serve(unopened, unopened) as (client, _):
        first, later = (_words_in(client, "/v1/chat/completions").strip() for _ in range(2))
    assert (first.endswith(TEXT), later) == (True, TEXT)


def pausing(*pieces: dict[str, Any]) -> Behaviour:
    """The first piece, and the others once the caller has something of it."""
    frame = {"id": "c1", "object": "chat.completion.chunk", "created": 0, "model": "a-strong-one"}

    def reply(handler: Any) -> None:
        events = [f"data: {json.dumps(frame | each)}\n\n".encode() for each in pieces]
        handler.begin_stream(events[:1])
        handler.provider.go_on.wait(60)
        handler.wfile.write(b"".join(f"{len(event):x}\r\n".encode() + event + b"\r\n" for event in [*events[1:], b""]))

    return reply


@pytest.mark.parametrize(("first", "later"), [("A", [" parcel", " may"]), ("包裹最重", ["三十公斤[1]。", "更重的"])])
def test_a_word_is_told_before_the_next_one_comes(serve: Serve, first: str, later: list[str]) -> None:
    told: list[str] = []
    said = [piece(content=word) for word in (first, *later)]
    with (
        serve(pausing(*said, piece("stop", USED))) as (client, provider),
        client.stream("POST", "/v1/answers", **_streamed("/v1/answers")) as reply,
    ):
        for line in reply.iter_lines():
            told += filter(None, [words_of(line)])
            if told:
                provider.go_on.set()
    assert told[0] == first, told
    assert "".join(told) == "".join([first, *later])
    assert len(told) == 3 or first.isascii(), "Chinese has no spaces to wait for"


@pytest.mark.parametrize("said", ["https://evil.example/?q=secret now", "请看evil.example/?q=secret"])
def test_an_answer_whose_address_was_removed_is_not_told_twice(serve: Serve, said: str) -> None:
    with serve(stream(*(piece(content=letter) for letter in said), piece("stop", USED))) as (client, _):
        told = _words_in(client, "/v1/chat/completions")
    assert told.count("[address removed]") == 1, told


@pytest.mark.parametrize("path", ["/v1/answers", "/v1/chat/completions"])
def test_the_finding_about_a_statement_has_no_address_that_was_not_read(serve: Serve, path: str) -> None:
    said = "A parcel: evil.example/?q=secret [1]."
    with serve(stream(piece(content=said), piece("stop", USED))) as (client, _):
        reply = client.post(path, json=SURFACES[path]).text
    assert "cites [1]" in reply, reply
    assert "secret" not in reply


@pytest.mark.parametrize("letters", [1, 5])
@pytest.mark.parametrize(
    "said", ["https://evil.example/?q=secret now", "请看evil.example/?q=secret", "看 www。evil。com\uff0fsecret"]
)
def test_an_address_whose_beginning_was_told_as_a_word_is_not_told(serve: Serve, said: str, letters: int) -> None:
    pieces = [piece(content=said[at : at + letters]) for at in range(0, len(said), letters)]
    with serve(stream(*pieces, piece("stop", USED))) as (client, _):
        told = _words_in(client, "/v1/answers")
    assert "[address removed]" in told
    assert not any(part in told for part in ("evil.example", "evil。com", "//", "secret")), told


def test_a_model_whose_profile_says_that_it_thinks_is_waited_for_from_its_first_reply_on(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    stated = test_strong_model.STACK.replace("tool_calling = true", "tool_calling = true, reasoning_output = true")
    monkeypatch.setattr(test_strong_model, "STACK", stated)
    for tag in ("\n</think>\n\n", "\n</think> ", "</think> "):
        said = [piece(content=letter) for letter in f"Ada asks.{tag}{TEXT}"]
        with serve(stream(*said, piece("stop", USED))) as (client, _):
            assert _words_in(client, "/v1/chat/completions").strip() == TEXT


def test_a_model_that_langchain_knows_to_think_is_not_waited_for(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    known = test_strong_model.STACK.replace("a-strong-one", "o4-mini")
    monkeypatch.setattr(test_strong_model, "STACK", re.sub("profile = .*", "", known))
    with (
        serve(pausing(piece(content="A"), piece(content=" parcel"), piece("stop", USED))) as (client, provider),
        client.stream("POST", "/v1/answers", **_streamed("/v1/answers")) as reply,
    ):
        told = []
        for line in reply.iter_lines():
            told += filter(None, [words_of(line)])
            if told:
                provider.go_on.set()
    assert told[0] == "A", told


@pytest.mark.parametrize("before", [[], [piece(role="assistant", content="")]])
def test_an_error_is_tried_again_where_nobody_has_heard_a_word(serve: Serve, before: list[dict[str, Any]]) -> None:
    broken = stream(*before, piece("error", content=""), {"choices": [], "usage": USED})
    # the second breaks off behind words, of which a reply that is not streamed has told nobody
    for given in answers(
        serve, [broken, *said(USED)], [stream(piece(content="A parcel "), piece("error")), *said(USED)]
    ):
        assert given["text"] == TEXT, given


def test_a_whole_reply_that_broke_off_is_tried_again_and_paid_for(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = test_strong_model.STACK.replace("[models.chat]", "[models.chat]\nextra.disable_streaming = true")
    monkeypatch.setattr(test_strong_model, "STACK", whole)

    def reply(reason: str) -> Behaviour:
        message = {"role": "assistant", "content": TEXT}
        choices = [{"index": 0, "message": message, "finish_reason": reason}]
        made = {"id": "c1", "object": "chat.completion", "created": 0, "model": "a-strong-one", "usage": USED}
        return garbage(json.dumps(made | {"choices": choices}).encode(), "application/json")

    (twice,) = answers(serve, [reply("error"), reply("stop")])
    assert twice["text"] == TEXT
    assert twice["usage"]["input_tokens"] == 2 * USED["prompt_tokens"]
    assert float(twice["cost_usd"]) > 2 * PRICE


def test_a_call_in_plain_text_is_told_to_the_model_as_one_that_is_not_taken(serve: Serve) -> None:
    calls = [
        piece(
            tool_calls=[{"index": 0, "id": "a", "type": "custom", "custom": {"name": "search_documents", "input": "w"}}]
        ),
        piece(tool_calls=[{"index": 0, "custom": {"input": "eight"}}]),
    ]
    with serve(stream(*calls, piece("tool_calls", USED)), *said(USED)) as (client, provider):
        answer = client.post("/v1/answers", json={"question": QUESTION}).json()
        results = [message["content"] for message in provider.requests[1][2]["messages"] if message["role"] == "tool"]
    assert answer["text"] == TEXT, answer
    assert "no JSON" in results[0], results


def test_a_model_that_is_named_as_one_that_thinks_is_waited_for_until_it_is_seen_not_to(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(test_strong_model, "STACK", test_strong_model.STACK.replace("a-strong-one", "deepseek-r1:8b"))
    unopened = [piece(content=letter) for letter in f"Ada asks.\n</think>\n\n{TEXT}"]
    apart = [piece(reasoning_content="Ada asks."), piece(content="A parcel "), piece(content=TEXT[9:])]
    for said in (unopened, apart, [piece(content=TEXT)]):
        with serve(stream(*said, piece("stop", USED))) as (client, _):
            assert _words_in(client, "/v1/chat/completions").strip() == TEXT


def _words_in(client: httpx2.Client, path: str) -> str:
    with client.stream("POST", path, **_streamed(path)) as reply:
        return "".join(map(words_of, reply.iter_lines()))


def _streamed(path: str) -> dict[str, Any]:
    body = {**SURFACES[path], "temperature": 1} if path != "/v1/answers" else SURFACES[path]
    return {"json": body, "headers": {"Accept": "text/event-stream"}}


@pytest.mark.parametrize("both", [False, True])
def test_a_call_in_the_older_shape_is_a_call(serve: Serve, both: bool) -> None:
    arguments = [{"name": "search_documents", "arguments": '{"query": '}, {"arguments": '"weight"}'}]
    # llama-cpp-python sends both shapes of one call
    newer = [{"tool_calls": [{"index": 0, "id": "a", "function": part}]} if both else {} for part in arguments]
    older = [piece(function_call=part, **more) for part, more in zip(arguments, newer, strict=True)]
    (answer,) = answers(serve, [stream(*older, piece("function_call", USED)), *said(USED)])
    assert [step["name"] for step in answer["steps"]] == ["model", "search_documents", "model"], answer
    assert answer["text"].startswith(TEXT.removesuffix(".")), answer


def test_a_server_whose_template_wants_turns_is_shown_turns(serve: Serve) -> None:
    said = [{"role": "user", "content": text} for text in ("I have a parcel.", QUESTION)]
    with serve(in_turns(stream(piece(content=TEXT), piece("stop", USED)))) as (client, _):
        reply = client.post("/v1/chat/completions", json={"model": "sixply", "messages": said})
        thread = reply.json()["sixply"]["thread_id"]
        again = client.post("/v1/answers", json={"question": f"{QUESTION} Again.", "thread_id": thread})
    assert (reply.status_code, again.status_code) == (200, 200), reply.text + again.text


async def test_a_reply_that_comes_whole_has_no_thoughts_but_its_refusal_and_its_call(
    serve: Serve, tmp_path: Path
) -> None:
    del serve
    call = {"id": "a", "type": "function", "function": {"name": "weigh", "arguments": {"parcel": 7}}}
    custom = {"id": "a", "type": "custom", "custom": {"name": "weigh", "input": '{"parcel": 7}'}}
    messages: list[tuple[dict[str, Any], str]] = [
        ({"content": f"<think>\nAda asks.\n</think>\n\n{TEXT}"}, TEXT),
        ({"content": None, "refusal": "I may not say."}, "I may not say."),
        ({"content": TEXT, "function_call": {}}, TEXT),
        ({"content": None, "tool_calls": [call]}, ""),
        ({"content": None, "function_call": {"name": "weigh", "arguments": '{"parcel": 7}'}}, ""),
        ({"content": None, "tool_calls": [custom]}, ""),
        ({"content": None, "function_call": {"name": "weigh", "arguments": {"parcel": 7}}}, ""),
        ({"content": None, "tool_calls": [call], "function_call": {"name": "x", "arguments": "{}"}}, ""),
    ]
    for message, text in messages:
        reply = {"id": "c1", "object": "chat.completion", "created": 0, "model": "a-strong-one", "usage": USED}
        reply |= {"choices": [{"index": 0, "message": {"role": "assistant"} | message, "finish_reason": "stop"}]}
        with FaultyProvider(garbage(json.dumps(reply).encode(), "application/json")) as provider:
            options = {"model": "a-strong-one", "base_url": f"{provider.url}/v1", "api_key": "a key"}
            model = load("models.chat", Part(use="openai_compatible", **options), Context(data_dir=tmp_path))
            chat = resilient(model, (), ResilienceSettings(), SystemClock())
            (generation,) = (await chat._agenerate([HumanMessage("Hello?")])).generations
        assert (generation.text, generation.message.text) == (text, text)
        assert [made["args"] for made in generation.message.tool_calls] == [{"parcel": 7}] * (text == "")


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_a_model_that_thinks_is_not_silent(serve: Serve, name: str, tmp_path: Path) -> None:
    del serve
    first = {"role": "assistant", "content": ""}
    thinking = stream(piece(**first), piece(**{name: "Well", "content": None}), piece(content=TEXT), piece("stop"))
    with FaultyProvider(thinking) as provider:
        options = {"model": "a-strong-one", "base_url": f"{provider.url}/v1", "api_key": "a key"}
        model = load("models.chat", Part(use="openai_compatible", **options), Context(data_dir=tmp_path))
        begin, rest = await read_first_words(stream_of(model, [HumanMessage("Hello?")], None, {}))
        await rest.aclose()
    assert [chunk.message.additional_kwargs for chunk in begin if chunk.message.additional_kwargs] == [
        {"reasoning_content": "Well"}
    ]
    assert "".join(chunk.text for chunk in begin) == ""


@pytest.mark.parametrize("path", SURFACES)
def test_a_stream_that_is_odd_and_whole_is_an_answer(serve: Serve, path: str) -> None:
    spoken = [piece(content=f"{word} ") for word in TEXT.split()]
    frame = {"id": "c1", "object": "chat.completion.chunk", "created": 0, "model": "a-strong-one"}
    events = [f"data: {json.dumps(frame | each)}" for each in (*spoken, piece("stop", USED))]
    beats = "\n\ndata: \n\n: ping\n\nevent: ping\ndata:\n\n".join(events)
    at_once = {"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
    odd = [
        stream(
            *(piece(role="user", content=each["choices"][0]["delta"]["content"]) for each in spoken),
            piece("stop", USED),
        ),
        strict(garbage(f"\ufeff{beats}\n\n".replace("\n", "\r\n").encode(), "text/event-stream")),
        stream({"choices": [at_once], "usage": USED}),
        stream(*spoken, {"choices": [at_once | {"delta": {}}], "usage": USED}),  # and the whole once more, at the end
    ]
    with serve(*odd) as (client, provider):
        assert [_words_in(client, path).strip() for _ in odd] == [TEXT] * 4
        assert len(provider.requests) == 4


@pytest.mark.parametrize("path", SURFACES)
def test_a_stream_whose_provider_broke_off_behind_its_gateway_is_an_error_in_the_stream(
    serve: Serve, path: str
) -> None:
    broken = {"index": 0, "delta": {}, "finish_reason": "error", "error": {"message": "overloaded"}}
    with serve(stream(piece(content="A parcel "), {"choices": [broken]})) as (client, _):
        body = {**SURFACES[path]}
        with client.stream("POST", path, json=body, headers={"Accept": "text/event-stream"}) as reply:
            told = reply.read().decode().replace('": ', '":')
    assert "The provider behind a-strong-one broke off" in told
    assert not any(
        end in told for end in ('"finish_reason":"stop"', "response.completed", "message_stop", '"kind":"answer"')
    )


def test_a_whole_reply_that_is_odd_is_read_and_what_is_no_count_is_not_claimed(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = test_strong_model.STACK.replace("profile =", "extra = {{ disable_streaming = true }}\nprofile =")
    monkeypatch.setattr(test_strong_model, "STACK", whole)

    def reply(finish: str = "stop", usage: Any = USED, **message: Any) -> Behaviour:
        choice = {"index": 0, "message": message, "finish_reason": finish}
        frame = {"id": "c1", "object": "chat.completion", "created": 0, "model": "a-strong-one", "usage": usage}
        return strict(garbage(json.dumps(frame | {"choices": [choice]}).encode(), "application/json"))

    read = [reply(content=TEXT), reply(role="user", content=TEXT), reply(role=None, content=TEXT)]
    uncounted = [reply(content=TEXT, usage=usage) for usage in (dict.fromkeys(USED), "many", dict.fromkeys(USED, -5))]
    *replies, broken = answers(serve, *([each] for each in (*read, *uncounted, reply("error", content="A parcel"))))
    assert [answer["text"] for answer in replies] == [TEXT] * 6
    assert [answer["usage"]["input_tokens"] for answer in replies] == [30] * 3 + [None] * 3
    assert [answer["cost_usd"] for answer in replies[3:]] == [None] * 3, "unpriced is not free"
    assert broken["code"] == "upstream_down"
