"""A cascade whose cheaper model answers by the agent that plans."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer
from tests.doubles.provider import calls, metered, ok
from tests.extensions.cascade.test_cascade import ANA, CHEAP, QUESTION, TENANT
from tests.extensions.cascade.test_cascade import _opened as open_cascade

_opened = partial(open_cascade, without_tools='"graph"', extensions=["planned_agent", "structured"])


async def test_a_sure_answer_of_the_cheaper_model_is_taken_and_the_conversation_goes_on_above(tmp_path: Path) -> None:
    with _opened(tmp_path, ok("You asked about parcels.")) as (system, provider):
        first = await answer(system.agent, AnswerRequest(question=QUESTION), ANA)
        assert (first.written_by, first.went_up, provider.requests) == (CHEAP, (), [])
        assert "30 kilograms" in first.text
        assert first.confidence
        request = AnswerRequest(question="What did I ask?", thread_id=first.thread_id)
        second = await answer(system.agent, request, ANA)
    assert (second.written_by, second.went_up) == ("a-strong-one", ())
    assert QUESTION in str(provider.requests[0][2]["messages"])


async def test_what_is_not_sure_enough_goes_up_and_the_bill_names_both_models(tmp_path: Path) -> None:
    search = calls("search_documents", query="weight of a parcel")
    said = metered("A parcel may weigh at most 30 kilograms [1].", read=100, wrote=10)
    with _opened(tmp_path, search, said, compose="generative") as (system, _):
        given = await answer(system.agent, AnswerRequest(question=QUESTION), ANA)
        charged = [
            charge.model
            for charge in system.observability.costs.of_trace(given.trace_id or "")
            if charge.kind == "chat"
        ]
        conversations = await system.agent.conversations.all(ANA)  # type: ignore[attr-defined]
        of_answer = [
            charge.model for charge in system.observability.costs.of_answer(given.answer_id) if charge.kind == "chat"
        ]
        worth_of_charges = sum(charge.usd or 0 for charge in system.observability.costs.of_answer(given.answer_id))
    assert of_answer == charged, "the trial belongs to the answer that people judge"
    assert given.text == "A parcel may weigh at most 30 kilograms [1]."
    assert given.written_by == "a-strong-one"
    assert given.went_up == (f"{CHEAP}: what it wrote is not supported by what it read",)
    assert charged == [CHEAP, "a-strong-one", "a-strong-one"]
    assert given.usage.output_tokens
    assert given.usage.output_tokens > 12, "the trial's words are counted, too"
    assert given.cost_usd
    assert float(given.cost_usd) > (103 * 1.0 + 12 * 10.0) / 1e6
    assert given.cost_usd == worth_of_charges, "the answer says what the ledger has"
    assert [each.thread_id for each in conversations] == [given.thread_id], "the trial has left none"


async def test_an_action_goes_up_before_anything_of_it_is_done(tmp_path: Path) -> None:
    refund = calls("refund", order_id="QM-10017", reason="it arrived broken")
    with _opened(tmp_path, refund, ok("Order QM-10017 has been refunded.")) as (system, _):
        request = AnswerRequest(question="Please refund order QM-10017, it arrived broken.")
        given = await answer(system.agent, request, ANA)
        waiting = await system.orchestration.approvals.pending(TENANT)
    assert (given.status, given.written_by) == ("waiting", "a-strong-one")
    assert given.went_up[0].startswith(f"{CHEAP}: it needs")
    assert given.approval
    assert [approval.approval_id for approval in waiting] == [given.approval.approval_id]
