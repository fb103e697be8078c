"""What waits for an approval, as stock clients see it: in their own terms, and its outcome in the same conversation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import openai
import pytest
from pydantic import BaseModel

from tests.doubles.provider import FaultyProvider, calls, ok
from tests.integration.test_strong_model import Serve, serve

__all__ = ["serve"]

pytestmark = pytest.mark.parametrize("serve", ["openai_compatible"], indirect=True)
REFUND = calls("refund", order_id="QM-10017", reason="it arrived broken")
ASKED = "Refund order QM-10017, it arrived broken."
DONE = "Order QM-10017 has been refunded: 178.00 USD."


@contextmanager
def stock(serve: Serve, *behaviours: Any) -> Iterator[tuple[openai.OpenAI, httpx2.Client, FaultyProvider]]:
    with serve(*behaviours) as (client, provider):
        key = client.headers["Authorization"].removeprefix("Bearer ")
        with openai.OpenAI(base_url=str(client.base_url.join("/v1")), api_key=key, max_retries=0) as vendor:
            yield vendor, client, provider


def decide(client: httpx2.Client, approval_id: str, *, approve: bool = True) -> Any:
    lead = {"Authorization": f"Bearer {client.lead}"}  # type: ignore[attr-defined]
    reply = client.post(f"/v1/approvals/{approval_id}", json={"approve": approve}, headers=lead)
    assert reply.status_code == 200, reply.text
    return reply.json()


@pytest.mark.parametrize("decided", [True, False, None])
def test_a_client_that_sends_all_messages_hears_what_came_of_it_in_its_next_request(
    serve: Serve, *, decided: bool | None
) -> None:
    told = [ok(DONE if decided else "It was not approved.")] * (decided is not None)
    with stock(serve, REFUND, *told, ok("As I said.")) as (vendor, client, provider):
        messages: list[Any] = [{"role": "user", "content": ASKED}]
        first = vendor.chat.completions.create(model="sixply", messages=messages)
        approval = first.model_extra["sixply"]["approval"]["approval_id"]  # type: ignore[index]
        if decided is not None:
            decide(client, approval, approve=decided)
        messages += [first.choices[0].message.model_dump(exclude_none=True), {"role": "user", "content": "And now?"}]
        vendor.chat.completions.create(model="sixply", messages=messages)
        sent = provider.requests[-1][2]["messages"]
    (note,) = [message["content"] for message in sent if "not from the person" in str(message["content"])]
    expected = {True: "has been refunded: 178.00 USD", False: "not approved", None: "still waits for the approval"}
    assert expected[decided] in note
    assert [message["role"] for message in sent][1:4] == ["user", "assistant", "user"], "in the place where it was told"


def test_somebody_elses_approval_is_told_to_nobody(serve: Serve) -> None:
    with stock(serve, REFUND, ok("I know nothing of it.")) as (vendor, client, provider):
        asked: list[Any] = [{"role": "user", "content": ASKED}]
        first = vendor.chat.completions.create(model="sixply", messages=asked)
        said = first.choices[0].message.content
        messages: list[Any] = [*asked, {"role": "assistant", "content": said}, {"role": "user", "content": "And now?"}]
        other = openai.OpenAI(base_url=str(client.base_url.join("/v1")), api_key=client.other, max_retries=0)  # type: ignore[attr-defined]
        other.chat.completions.create(model="sixply", messages=messages)
        assert "not from the person" not in json.dumps(provider.requests[-1][2]["messages"])


@pytest.mark.parametrize("streamed", [True, False])
def test_a_response_that_waits_has_an_item_and_its_conversation_goes_on(serve: Serve, *, streamed: bool) -> None:
    with stock(serve, REFUND, ok("At 8."), ok(DONE), ok("You are welcome.")) as (vendor, client, provider):
        made: Any = vendor.responses.create(model="sixply", input=ASKED, stream=streamed)
        if streamed:
            events = list(made)
            made = events[-1].response
            kinds = [event.item.type for event in events if event.type == "response.output_item.done"]
            assert kinds == ["message", "mcp_approval_request"]
        wanted = made.output[-1]
        assert (wanted.type, wanted.name, json.loads(wanted.arguments)["order_id"]) == (
            "mcp_approval_request", "refund", "QM-10017",
        )  # fmt: skip
        waits = vendor.responses.retrieve(made.id)
        assert (waits.status, waits.output[-1].id) == ("completed", wanted.id)
        beside = vendor.responses.create(model="sixply", input="When is it open?", previous_response_id=made.id)
        assert beside.output_text == "At 8."
        decide(client, wanted.id)
        later = vendor.responses.retrieve(made.id)
        assert (later.id, later.output_text) == (made.id, DONE)
        thanked = vendor.responses.create(model="sixply", input="Thank you.", previous_response_id=beside.id)
        assert thanked.output_text == "You are welcome."
        assert "has been refunded" in json.dumps(provider.requests[-1][2]["messages"])


def test_a_response_withdraws_what_waits_and_may_not_approve_it_itself(serve: Serve) -> None:
    with stock(serve, REFUND, ok("Then nothing is done.")) as (vendor, client, _):
        made = vendor.responses.create(model="sixply", input=ASKED)
        wanted = made.output[-1]

        def respond(client: openai.OpenAI, *, approve: bool) -> Any:
            item: Any = {"type": "mcp_approval_response", "approval_request_id": wanted.id, "approve": approve}
            return client.responses.create(model="sixply", input=[item], previous_response_id=made.id)

        with pytest.raises(openai.PermissionDeniedError, match=r"decided by the roles: approver\. Ask one of them"):
            respond(vendor, approve=True)
        with pytest.raises(openai.PermissionDeniedError, match="somebody else has to approve it"):
            respond(vendor.with_options(api_key=client.ana_too), approve=True)  # type: ignore[attr-defined]
        assert respond(vendor, approve=False).output_text == "Then nothing is done."
        lead = {"Authorization": f"Bearer {client.lead}"}  # type: ignore[attr-defined]
        assert client.get("/v1/approvals", headers=lead).json()["approvals"] == []


class Refunded(BaseModel):
    usd: float


def refusal_of_completion(vendor: openai.OpenAI, turns: list[Any], *, streamed: bool) -> tuple[str | None, Any]:
    if streamed:
        with vendor.chat.completions.stream(model="sixply", messages=turns, response_format=Refunded) as events:
            message = [*events] and events.get_final_completion().choices[0].message
    else:
        made = vendor.chat.completions.parse(model="sixply", messages=turns, response_format=Refunded)
        message = made.choices[0].message
    turns.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
    assert (message.content is None) is (message.parsed is None)
    return message.refusal, message.parsed


def refusal_of_response(vendor: openai.OpenAI, turns: list[Any], *, streamed: bool) -> tuple[str | None, Any]:
    if streamed:
        with vendor.responses.stream(model="sixply", input=turns, text_format=Refunded) as events:
            said = "".join(event.delta for event in events if event.type == "response.refusal.delta")
            made = events.get_final_response()
    else:
        made, said = vendor.responses.parse(model="sixply", input=turns, text_format=Refunded), ""
    turns += [item.model_dump(exclude_none=True) for item in made.output]
    refusals = [part.refusal for part in made.output[0].content if part.type == "refusal"]  # type: ignore[union-attr]
    assert not streamed or [said] == (refusals or [""])
    return "".join(refusals) or None, made.output_parsed


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("ask", [refusal_of_completion, refusal_of_response])
def test_while_it_waits_a_typed_result_is_refused_in_the_vendors_own_way_and_comes_in_the_same_conversation(
    serve: Serve, ask: Any, *, streamed: bool
) -> None:
    with stock(serve, REFUND, ok('{"usd": 178.0}')) as (vendor, client, provider):
        turns: list[Any] = [{"role": "user", "content": ASKED}]
        refusal, parsed = ask(vendor, turns, streamed=streamed)
        assert parsed is None
        (named,) = re.findall(r"Waiting for approval (ap-\w+)\.", refusal)
        decide(client, named)
        turns.append({"role": "user", "content": "And now?"})
        assert ask(vendor, turns, streamed=streamed) == (None, Refunded(usd=178))
    (note,) = [
        str(it["content"]) for it in provider.requests[-1][2]["messages"] if "not from the person" in str(it["content"])
    ]
    assert note.endswith('lena decided since, and this came of it: {"usd": 178.0}\nAnd now?')


def test_whoever_asked_withdraws_it_by_the_api(serve: Serve) -> None:
    with stock(serve, REFUND, ok("Then nothing is done.")) as (_, client, __):
        waiting = client.post("/v1/answers", json={"question": ASKED}).json()
        address = f"/v1/approvals/{waiting['approval']['approval_id']}"
        for other in (client.other, client.lead):  # type: ignore[attr-defined]
            assert client.delete(address, headers={"Authorization": f"Bearer {other}"}).status_code == 404
        withdrawn = client.delete(address).json()
        assert (withdrawn["text"], withdrawn["approval"]["status"]) == ("Then nothing is done.", "rejected")


def test_a_response_that_is_not_yours_is_not_found(serve: Serve) -> None:
    with stock(serve, ok("Hello.")) as (vendor, client, _):
        made = vendor.responses.create(model="sixply", input="Hello")
        assert vendor.responses.retrieve(made.id).output_text == "Hello."
        address = str(client.base_url.join("/v1"))
        with openai.OpenAI(base_url=address, api_key=client.other, max_retries=0) as other:  # type: ignore[attr-defined]
            for named in (made.id, "resp_0123.4567"):
                with pytest.raises(openai.NotFoundError):
                    other.responses.retrieve(named)
