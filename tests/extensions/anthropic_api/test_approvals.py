"""What waits for an approval, as Anthropic's clients see it: in their own terms, and its outcome in the same conversation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anthropic
import httpx2
import pytest

from tests.doubles.provider import FaultyProvider, calls, ok
from tests.integration.test_strong_model import Serve, serve

__all__ = ["serve"]

REFUND = calls("refund", order_id="QM-10017", reason="it arrived broken")
ASKED: Any = {"role": "user", "content": "Refund order QM-10017, it arrived broken."}
DONE = "Order QM-10017 has been refunded: 178.00 USD."
KNOWS_CALLS = "mcp-client-2025-11-20"


@contextmanager
def stock(serve: Serve, *behaviours: Any) -> Iterator[tuple[anthropic.Anthropic, httpx2.Client, FaultyProvider]]:
    with serve(*behaviours) as (client, provider):
        key = client.headers["Authorization"].removeprefix("Bearer ")
        with anthropic.Anthropic(base_url=str(client.base_url), api_key=key, max_retries=0) as vendor:
            yield vendor, client, provider


def decide(client: httpx2.Client, approval_id: str, *, approve: bool) -> None:
    lead = {"Authorization": f"Bearer {client.lead}"}  # type: ignore[attr-defined]
    reply = client.post(f"/v1/approvals/{approval_id}", json={"approve": approve}, headers=lead)
    assert reply.status_code == 200, reply.text


def say(vendor: anthropic.Anthropic, *messages: Any) -> Any:
    return vendor.messages.create(model="sixply", max_tokens=99, messages=messages)


def say_beta(vendor: anthropic.Anthropic, *messages: Any) -> Any:
    return vendor.beta.messages.create(model="sixply", max_tokens=99, messages=messages, betas=[KNOWS_CALLS])


def stream_beta(vendor: anthropic.Anthropic, *messages: Any) -> Any:
    with vendor.beta.messages.stream(model="sixply", max_tokens=99, messages=messages, betas=[KNOWS_CALLS]) as stream:
        return stream.get_final_message()


@pytest.mark.parametrize("decided", [True, False, None])
@pytest.mark.parametrize("ask", [say, say_beta, stream_beta])
def test_a_client_hears_what_came_of_it_in_its_next_request(serve: Serve, ask: Any, *, decided: bool | None) -> None:
    told = [ok(DONE if decided else "It was not approved.")] * (decided is not None)
    with stock(serve, REFUND, *told, ok("As I said.")) as (vendor, client, provider):
        first = ask(vendor, ASKED)
        approval = first.model_extra["sixply"]["approval"]["approval_id"]
        assert f"Waiting for approval {approval}." in first.content[0].text
        if decided is not None:
            decide(client, approval, approve=decided)
        back = {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.content]}
        later = ask(vendor, ASKED, back, {"role": "user", "content": "And now?"})
        assert later.content[0].text.strip() == "As I said."
        sent = json.dumps(provider.requests[-1][2]["messages"])
    expected = {True: "has been refunded: 178.00 USD", False: "not approved", None: "still waits for the approval"}
    assert sent.count("not from the person") == 1
    assert expected[decided] in sent


@pytest.mark.parametrize("ask", [say_beta, stream_beta])
def test_a_client_that_knows_calls_of_a_server_sees_what_waits_as_one(serve: Serve, ask: Any) -> None:
    with stock(serve, REFUND) as (vendor, _, __):
        text, call = ask(vendor, ASKED).content
    assert (text.type, call.type, call.name, call.input["order_id"]) == ("text", "mcp_tool_use", "refund", "QM-10017")
    assert call.id in text.text


def test_another_client_sees_text_alone_and_the_turn_ends(serve: Serve) -> None:
    with stock(serve, REFUND) as (vendor, _, __):
        message = say(vendor, ASKED)
        assert [block.type for block in message.content] == ["text"]
        assert message.stop_reason == "end_turn"


def test_a_conversation_of_the_server_goes_on_while_it_waits_and_has_the_outcome(serve: Serve) -> None:
    with stock(serve, REFUND, ok("At 8."), ok(DONE), ok("You are welcome.")) as (vendor, client, provider):
        waiting: Any = say(vendor, ASKED)
        thread: Any = {"thread_id": waiting.model_extra["sixply"]["thread_id"]}

        def go_on(text: str) -> str:
            message: Any = {"role": "user", "content": text}
            reply = vendor.messages.create(model="sixply", max_tokens=99, messages=[message], metadata=thread)
            return reply.content[0].text  # type: ignore[union-attr]

        assert go_on("When is it open?") == "At 8."
        decide(client, waiting.model_extra["sixply"]["approval"]["approval_id"], approve=True)
        assert go_on("Thank you.") == "You are welcome."
        assert "has been refunded" in json.dumps(provider.requests[-1][2]["messages"])
