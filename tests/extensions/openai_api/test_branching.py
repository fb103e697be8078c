"""`previous_response_id` of an earlier response goes on from that response, as at OpenAI: what was asked after it is not read."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import openai
import pytest

from serving.access.identity import KeyStore
from serving.server import running
from serving.settings import load
from serving.wiring import open_system
from tests.doubles import stacks
from tests.doubles.provider import FaultyProvider, calls, ok, status
from tests.extensions.openai_api.test_approvals import ASKED, DONE, REFUND, decide, stock
from tests.integration.test_strong_model import Serve, serve

__all__ = ["serve"]

on_a_model = pytest.mark.parametrize("serve", ["openai_compatible"], indirect=True)
FIND = calls("find_order", order_id="QM-10017")


def ask(client: openai.OpenAI, question: str, before: Any = None, **more: Any) -> Any:
    named = {"previous_response_id": before.id} if before else {}
    return client.responses.create(model="sixply", input=question, **named, **more)


def thread_of(response: Any) -> str:
    return str(response.id.removeprefix("resp_").partition(".")[0])


def completed(client: openai.OpenAI, begun: Any) -> Any:
    deadline = time.monotonic() + 60
    while (response := client.responses.retrieve(begun.id)).status != "completed":
        assert time.monotonic() < deadline, response
        time.sleep(0.02)
    return response


def heard(provider: FaultyProvider) -> str:
    """What the model was sent last."""
    return json.dumps(provider.requests[-1][2]["messages"])


@on_a_model
def test_an_earlier_response_is_gone_on_from_without_what_was_asked_after_it(serve: Serve) -> None:
    with stock(serve, *map(ok, ("One.", "Two.", "Another two.", "Three.", "Another three."))) as (
        vendor,
        client,
        provider,
    ):
        first = ask(vendor, "Count to one.")
        second = ask(vendor, "And to two.", first)
        other = ask(vendor, "And otherwise?", first)
        assert (other.output_text, other.previous_response_id) == ("Another two.", first.id)
        assert "Count to one." in heard(provider)
        assert "And to two." not in heard(provider)
        assert thread_of(first) == thread_of(second) != thread_of(other)
        assert thread_of(ask(vendor, "And to three.", second)) == thread_of(first), "the latest goes on where it is"
        assert "otherwise" not in heard(provider)
        assert thread_of(ask(vendor, "And then?", other)) == thread_of(other)
        assert "Another two." in heard(provider)
        turns = client.get(f"/v1/conversations/{thread_of(first)}").json()["turns"]
        assert [turn["text"] for turn in turns] == ["One.", "Two.", "Three."]
        assert len(client.get("/v1/conversations").json()["conversations"]) == 2


@on_a_model
def test_so_does_one_that_is_streamed_or_made_in_the_background(serve: Serve) -> None:
    with stock(serve, ok("Yes.")) as (vendor, _, provider):
        begun = ask(vendor, "Count to one.", background=True)
        first = completed(vendor, begun)
        thread = first.model_extra["sixply"]["thread_id"]
        assert thread_of(ask(vendor, "And to two.", begun)) == thread
        *_, ended = ask(vendor, "And otherwise?", begun, stream=True)
        assert thread_of(ended.response) != thread
        assert "And to two." not in heard(provider)
        again = ask(vendor, "And once more?", begun, background=True)
        made = completed(vendor, again)
        assert made.model_extra["sixply"]["thread_id"] not in (thread, thread_of(ended.response))
        assert "otherwise" not in heard(provider)


@on_a_model
def test_whoever_names_the_conversation_means_all_of_it(serve: Serve) -> None:
    with stock(serve, ok("Yes.")) as (vendor, _, provider):
        first = ask(vendor, "Count to one.")
        ask(vendor, "And to two.", first)
        assert thread_of(ask(vendor, "And?", first, conversation=thread_of(first))) == thread_of(first)
        assert "And to two." in heard(provider)


@on_a_model
def test_what_waits_goes_on_in_its_conversation_and_its_outcome_is_no_other_question(serve: Serve) -> None:
    with stock(serve, REFUND, ok("At 8."), ok("At 6."), ok(DONE), ok("You are welcome.")) as (vendor, client, provider):
        waits = ask(vendor, ASKED)
        beside = ask(vendor, "When is it open?", waits)
        later = ask(vendor, "When does it close?", waits)
        decide(client, waits.output[-1].id)
        thanked = ask(vendor, "Thank you.", later)
        assert "has been refunded" in heard(provider)
        assert {*map(thread_of, (waits, beside, later, thanked))} == {thread_of(waits)}
        back = ask(vendor, "And on Sundays?", beside)
        assert thread_of(back) != thread_of(waits)
        assert "When does it close?" not in heard(provider)
        assert DONE in heard(provider), "what was done after it stays done, and is told"


@on_a_model
def test_one_that_is_decided_before_anything_else_is_asked_is_one_turn(serve: Serve) -> None:
    with stock(serve, REFUND, ok(DONE), ok("You are welcome."), ok("At 8.")) as (vendor, client, provider):
        waits = ask(vendor, ASKED)
        decide(client, waits.output[-1].id)
        assert thread_of(ask(vendor, "Thank you.", waits)) == thread_of(waits)
        assert thread_of(ask(vendor, "When is it open?", waits)) != thread_of(waits)
        assert "has been refunded" in heard(provider)
        assert "Thank you." not in heard(provider)


@on_a_model
def test_a_request_that_failed_is_sent_again_and_goes_on_where_it_was_cut_off(serve: Serve) -> None:
    fails = status(400)
    behaviours = (ok("One."), fails, ok("Two."), FIND, fails, ok("Another two."), ok("A third two."))
    with stock(serve, *behaviours) as (vendor, client, provider):
        first = ask(vendor, "Count to one.")
        with pytest.raises(openai.InternalServerError):
            ask(vendor, "And to two.", first)
        second = ask(vendor, "And to two.", first)
        assert thread_of(second) == thread_of(first), "no other response was given since"
        with pytest.raises(openai.InternalServerError) as failed:
            ask(vendor, "And otherwise?", first)
        other = ask(vendor, "And otherwise?", first)
        assert thread_of(other) == failed.value.body["thread_id"] != thread_of(first)  # type: ignore[index]
        assert "find_order" in heard(provider), "with what was called before, which is not called again"
        third = ask(vendor, "And otherwise?", first)
        assert len({thread_of(first), thread_of(other), thread_of(third)}) == 3, (
            "it has ended, so this is a further try"
        )
        assert len(client.get("/v1/conversations").json()["conversations"]) == 3


@on_a_model
def test_somebody_elses_is_not_found(serve: Serve) -> None:
    with stock(serve, ok("Yes.")) as (vendor, client, _):
        first = ask(vendor, "Count to one.")
        second = ask(vendor, "And to two.", first)
        with vendor.with_options(api_key=client.other) as other:  # type: ignore[attr-defined]
            for response in (first, second):
                with pytest.raises(openai.NotFoundError):
                    ask(other, "And?", response)


def test_an_agent_that_keeps_no_messages_says_from_which_response_it_can_go_on(tmp_path: Path) -> None:
    on = ["forks", "jobs", "openai_api", "structured"]
    with open_system(load(stacks.stack(tmp_path, extensions=on))) as system:
        key = KeyStore.of(system.settings, system.context.clock).create(subject="ada", tenant="north", roles=["reader"])
        with running(system) as url, openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
            first = ask(client, "How heavy may a parcel be?")
            second = ask(client, "And a letter?", first)
            with pytest.raises(openai.ConflictError) as refused:
                ask(client, "And otherwise?", first)
            assert refused.value.code == "conflict"
            assert second.id in refused.value.message
            assert thread_of(ask(client, "And a card?", second)) == thread_of(first)
