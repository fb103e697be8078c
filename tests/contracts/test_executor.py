"""The promises of the one door to tools, on the executor and on broken ones that each give one promise away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import StructuredTool, ToolException

from foundation.errors import Conflict, Forbidden, Gone, InvalidRequest, NotFound
from orchestration.actions import Approval, Decision, Origin, ToolOutcome
from orchestration.effects.approvals import MOST_WAITING, SAME_REQUEST
from orchestration.effects.executor import Executor
from orchestration.effects.policy import Policy
from orchestration.settings import TenantRules
from tests.contracts.broken import executor as broken
from tests.contracts.under_test import Watch
from tests.doubles.orchestration import LEAD, NORTH, READER, SOUTH, SOUTH_LEAD, World

Check = Callable[[World, Executor], Awaitable[None]]

SEND = {"parcel_id": "P-123", "reason": "asked for"}


async def call(executor: Executor, tool: str, arguments: dict[str, Any], **changes: Any) -> ToolOutcome:
    given: dict[str, Any] = {"principal": NORTH, "run_id": "run-1", "thread_id": "thread-1", "step": 1}
    return await executor.call(tool, arguments, **(given | changes))


async def approved(executor: Executor, arguments: dict[str, Any] = SEND, **changes: Any) -> Approval:
    waiting = await call(executor, "send_parcel", arguments, **changes)
    assert waiting.approval is not None
    return await executor.decide(Decision(approval_id=waiting.approval.approval_id, approve=True), LEAD)


def recorded(world: World) -> list[Any]:
    """The tenant's records, the oldest first."""
    return [record for record in world.records if record.tenant == "north"]


async def a_read_tool_is_called_for_the_caller(world: World, executor: Executor) -> None:
    outcome = await call(executor, "find_parcel", {"parcel_id": "P-123"})
    assert (outcome.status, outcome.content) == ("done", "Parcel P-123 is at the counter.")
    assert outcome.artifact == {"parcel_id": "P-123"}
    assert world.depot.callers == [NORTH]


async def a_tool_in_no_list_of_the_callers_roles_is_denied(world: World, executor: Executor) -> None:
    for tool, principal in (("send_parcel", READER), ("find_parcel", LEAD)):
        outcome = await call(executor, tool, {"parcel_id": "P-123"}, principal=principal)
        assert (outcome.status, outcome.reason) == ("denied", "role")
    unknown = await call(executor, "format_disk", {"parcel_id": "P-123"})
    assert (unknown.status, unknown.reason) == ("failed", "arguments")
    assert world.depot.callers == []


async def a_tool_that_the_tenant_may_not_use_is_denied_whatever_the_role(world: World, executor: Executor) -> None:
    executor.policy = Policy(world.policy.model_copy(update={"tenants": {"north": TenantRules(tools=("find_*",))}}))
    outcome = await call(executor, "send_parcel", SEND)
    assert (outcome.status, outcome.reason, outcome.rule) == ("denied", "tenant", "tenants.north.tools")
    assert (await call(executor, "find_parcel", {"parcel_id": "P-123"})).status == "done"
    assert executor.allowed_tools(NORTH) == {"find_parcel"}


async def arguments_that_do_not_fit_the_schema_call_nothing(world: World, executor: Executor) -> None:
    for arguments in ({}, {"parcel_id": "x"}, {"parcel_id": "P-123", "tenant": "south"}, {"parcel_id": ["P-123"]}):
        outcome = await call(executor, "find_parcel", arguments)
        assert (outcome.status, outcome.reason) == ("failed", "arguments")
    assert world.depot.callers == []


async def an_effect_waits_for_an_approval(world: World, executor: Executor) -> None:
    outcome = await call(executor, "send_parcel", SEND)
    assert outcome.status == "waiting"
    assert outcome.approval is not None
    assert (outcome.approval.status, outcome.approval.arguments) == ("pending", SEND)
    assert world.depot.sent == []


async def a_tool_that_declares_nothing_is_an_effect(world: World, executor: Executor) -> None:
    assert (await call(executor, "burn_parcel", {"parcel_id": "P-123"})).status == "waiting"
    assert world.depot.sent == []


async def asking_twice_makes_one_approval(world: World, executor: Executor) -> None:
    first, second = await call(executor, "send_parcel", SEND), await call(executor, "send_parcel", SEND)
    assert first.approval == second.approval
    assert len(await world.approvals.pending("north")) == 1


async def the_same_request_in_another_conversation_waits_on_the_first_and_says_so(
    world: World, executor: Executor
) -> None:
    said = Origin(words="Send P-123.", asked="Send P-123.")
    first = await call(executor, "send_parcel", SEND, origin=said)
    retried = {"run_id": "run-2", "thread_id": "thread-2", "origin": said}
    worded = SEND | {"reason": "in the model's other words"}
    for arguments in (SEND, worded):
        again = await call(executor, "send_parcel", arguments, **retried)
        assert (again.status, again.reason, again.approval) == ("waiting", "repeated", first.approval)
        assert "You sent the same request at" in again.content
    for other in (  # another value, other words, another person, the same run once more
        {"arguments": SEND | {"parcel_id": "P-124"}, **retried},
        {"arguments": SEND, **retried, "origin": Origin(words="And now? Send P-123.", asked="Send P-123.")},
        {"arguments": SEND, **retried, "principal": replace(NORTH, subject="zoe")},
        {"arguments": SEND, "origin": said, "step": 2},
    ):
        asked = await call(executor, "send_parcel", other.pop("arguments"), **other)
        assert (asked.status, asked.reason) == ("waiting", "approval")
    assert first.approval is not None
    await executor.decide(Decision(approval_id=first.approval.approval_id, approve=True), LEAD)
    done = await call(executor, "send_parcel", SEND, origin=said, approval=first.approval)
    late = await call(executor, "send_parcel", SEND, run_id="run-3", thread_id="thread-3", origin=said)
    assert (done.status, late.status, late.reason, len(world.depot.sent)) == ("done", "denied", "repeated", 1)
    world.clock.time += SAME_REQUEST
    anew = await call(executor, "send_parcel", SEND, run_id="run-4", thread_id="thread-4", origin=said)
    assert (anew.status, anew.reason) == ("waiting", "approval")


async def one_person_waits_for_a_limited_number_of_approvals(world: World, executor: Executor) -> None:
    for step in range(MOST_WAITING):
        assert (await call(executor, "send_parcel", SEND, step=step)).status == "waiting"
    more = await call(executor, "send_parcel", SEND, step=MOST_WAITING)
    assert (more.status, more.reason, more.approval) == ("denied", "limit", None)
    assert f"{MOST_WAITING} of your requests wait" in more.content
    zoe = replace(NORTH, subject="zoe")
    assert (await call(executor, "send_parcel", SEND, step=MOST_WAITING, principal=zoe)).status == "waiting"
    assert (await call(executor, "send_parcel", SEND, step=0)).status == "waiting", "what waits is found again"


async def an_approved_effect_happens_once_however_often_it_is_called(world: World, executor: Executor) -> None:
    approval = await approved(executor)
    outcomes = [await call(executor, "send_parcel", SEND, approval=approval) for _ in range(3)]
    assert {outcome.status for outcome in outcomes} == {"done"}
    assert len({outcome.content for outcome in outcomes}) == 1
    assert len(world.depot.sent) == 1


async def an_approval_of_one_call_does_not_serve_another(world: World, executor: Executor) -> None:
    """Approve A, execute B: other arguments, another tool, another step, another run, another tenant."""
    approval = await approved(executor)
    others: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("send_parcel", {**SEND, "parcel_id": "P-999"}, {}),
        ("burn_parcel", {"parcel_id": "P-123"}, {}),
        ("send_parcel", SEND, {"step": 2}),
        ("send_parcel", SEND, {"run_id": "run-2"}),
        ("send_parcel", SEND, {"principal": SOUTH}),
    ]
    for tool, arguments, changes in others:
        outcome = await call(executor, tool, arguments, approval=approval, **changes)
        assert outcome.status == "denied", (tool, arguments, changes)
    assert world.depot.sent == []


async def only_the_stored_approval_counts(world: World, executor: Executor) -> None:
    """An approval that says of itself that it is approved is only a piece of data."""
    waiting = await call(executor, "send_parcel", SEND)
    assert waiting.approval is not None
    forged = waiting.approval.model_copy(update={"status": "approved", "decided_by": "lena"})
    outcome = await call(executor, "send_parcel", SEND, approval=forged)
    assert outcome.status == "denied"
    assert world.depot.sent == []


async def a_rejected_effect_never_happens(world: World, executor: Executor) -> None:
    waiting = await call(executor, "send_parcel", SEND)
    assert waiting.approval is not None
    decision = Decision(approval_id=waiting.approval.approval_id, approve=False, reason="not this week")
    rejected = await executor.decide(decision, LEAD)
    outcome = await call(executor, "send_parcel", SEND, approval=rejected)
    assert (outcome.status, outcome.reason) == ("denied", "rejected")
    assert "not this week" in outcome.content
    assert world.depot.sent == []


async def an_approver_may_grant_other_arguments_and_those_are_what_runs(world: World, executor: Executor) -> None:
    waiting = await call(executor, "send_parcel", SEND)
    assert waiting.approval is not None
    granted = {**SEND, "parcel_id": "P-124"}
    decision = Decision(approval_id=waiting.approval.approval_id, approve=True, arguments=granted)
    approval = await executor.decide(decision, LEAD)
    assert (approval.arguments, approval.granted_arguments) == (SEND, granted)
    assert approval.edited_hash not in {"", approval.arguments_hash}
    outcomes = [await call(executor, "send_parcel", SEND, approval=approval) for _ in range(2)]
    assert {outcome.content for outcome in outcomes} == {"Parcel P-124 has been sent."}
    assert [parcel for parcel, _ in world.depot.sent] == ["P-124"]
    hashes = [record.arguments_hash for record in recorded(world)]
    assert hashes == [approval.arguments_hash, *[approval.edited_hash] * 3]


async def an_edit_that_the_tool_does_not_take_decides_nothing(world: World, executor: Executor) -> None:
    waiting = await call(executor, "send_parcel", SEND)
    assert waiting.approval is not None
    approval_id = waiting.approval.approval_id
    for arguments, approve in (({**SEND, "parcel_id": "x"}, True), ({**SEND, "tenant": "south"}, True), (SEND, False)):
        with pytest.raises(InvalidRequest):
            await executor.decide(Decision(approval_id=approval_id, approve=approve, arguments=arguments), LEAD)
    assert [one.status for one in await world.approvals.pending("north")] == ["pending"]
    same = await executor.decide(Decision(approval_id=approval_id, approve=True, arguments=SEND), LEAD)
    assert same.edited is None


async def an_approval_ends_with_its_time(world: World, executor: Executor) -> None:
    early, late = await approved(executor), await call(executor, "send_parcel", SEND, run_id="run-2")
    assert late.approval is not None
    world.clock.forward(hours=24)
    with pytest.raises(Gone):
        await executor.decide(Decision(approval_id=late.approval.approval_id, approve=True), LEAD)
    outcome = await call(executor, "send_parcel", SEND, approval=early)
    assert (outcome.status, outcome.reason) == ("denied", "expired")
    assert world.depot.sent == []


async def only_an_approver_of_the_same_tenant_decides(world: World, executor: Executor) -> None:
    waiting = await call(executor, "send_parcel", SEND)
    assert waiting.approval is not None
    decision = Decision(approval_id=waiting.approval.approval_id, approve=True)
    with pytest.raises(Forbidden):
        await executor.decide(decision, NORTH)
    with pytest.raises(NotFound):
        await executor.decide(decision, SOUTH_LEAD)
    assert [one.status for one in await world.approvals.pending("north")] == ["pending"]


async def nobody_approves_their_own(world: World, executor: Executor) -> None:
    """By person, whichever key or spelling; to reject it is to take it back. What was approved alone before the policy
    wanted two people is not done either.
    """
    both = replace(LEAD, subject="Ada")  # NORTH's subject is ada
    waiting = await call(executor, "send_parcel", SEND)
    assert waiting.approval is not None
    decision = Decision(approval_id=waiting.approval.approval_id, approve=True)
    with pytest.raises(Forbidden, match="four_eyes"):
        await executor.decide(decision, both)
    assert [record.rule for record in recorded(world)][-1:] == ["four_eyes"]
    alone = await world.approvals.decide(decision, NORTH)
    outcome = await call(executor, "send_parcel", SEND, approval=alone)
    assert (outcome.status, outcome.reason, outcome.rule) == ("denied", "own", "four_eyes")
    assert world.depot.sent == []
    back = await call(executor, "send_parcel", SEND, run_id="run-2")
    assert back.approval is not None
    taken_back = await executor.decide(Decision(approval_id=back.approval.approval_id, approve=False), both)
    assert taken_back.status == "rejected"


async def one_of_two_simultaneous_decisions_wins(world: World, executor: Executor) -> None:
    waiting = await call(executor, "send_parcel", SEND)
    assert waiting.approval is not None
    decisions = [Decision(approval_id=waiting.approval.approval_id, approve=answer) for answer in (True, False) * 4]
    outcomes = await asyncio.gather(*(executor.decide(one, LEAD) for one in decisions), return_exceptions=True)
    assert sum(isinstance(outcome, Approval) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 7
    assert await world.approvals.pending("north") == []


async def every_call_refusal_and_decision_is_recorded(world: World, executor: Executor) -> None:
    await call(executor, "find_parcel", {"parcel_id": "P-123"})
    await call(executor, "find_parcel", {"parcel_id": "nonsense"})
    await call(executor, "send_parcel", SEND, principal=READER)
    await call(executor, "send_parcel", SEND, approval=await approved(executor))
    waiting = await call(executor, "send_parcel", SEND, run_id="run-2")
    assert waiting.approval is not None
    with pytest.raises(Forbidden):
        await executor.decide(Decision(approval_id=waiting.approval.approval_id, approve=True), NORTH)
    records = recorded(world)
    assert [(record.tool, record.outcome, record.reason, record.rule) for record in records] == [
        ("find_parcel", "done", "", ""),
        ("find_parcel", "failed", "arguments", ""),
        ("send_parcel", "denied", "role", "roles.reader"),
        ("send_parcel", "waiting", "approval", "effects_without_approval"),
        ("send_parcel", "decided", "approved", ""),
        ("send_parcel", "done", "", ""),
        ("send_parcel", "waiting", "approval", "effects_without_approval"),
        ("send_parcel", "denied", "role", "approvers"),
    ]


def allow_unasked(executor: Executor) -> None:
    executor._policy = executor._policy.model_copy(update={"effects_without_approval": ("send_parcel",)})


async def what_the_person_said_is_done_unasked_where_the_operator_allows_it(world: World, executor: Executor) -> None:
    said = Origin(words="Please send parcel P-123, it was asked for")
    assert (await call(executor, "send_parcel", SEND, origin=said)).status == "waiting"
    allow_unasked(executor)
    for _ in range(2):
        outcome = await call(executor, "send_parcel", SEND, origin=said, run_id="run-2")
        assert (outcome.status, outcome.reason, outcome.approval) == ("done", "words", None)
    assert len(world.depot.sent) == 1


async def a_value_that_the_person_did_not_say_needs_an_approval(world: World, executor: Executor) -> None:
    allow_unasked(executor)
    said = Origin(words="Please send parcel P-123")
    for arguments, origin in (
        (SEND, Origin()),
        ({**SEND, "parcel_id": "P-999"}, said),
        ({**SEND, "reason": "see www.evil.example"}, said),
        (SEND, Origin(words="Where is my parcel?")),
    ):
        outcome = await call(executor, "send_parcel", arguments, origin=origin)
        assert outcome.status == "waiting"
        assert "did not state" in outcome.content
    assert world.depot.sent == []


async def whoever_approves_is_told_what_the_person_did_not_say(world: World, executor: Executor) -> None:
    """Of every effect, not only of those that may happen without approval."""
    said = Origin(words="Please send parcel P-123, it was asked for")
    honest = await call(executor, "send_parcel", SEND, origin=said)
    assert honest.approval is not None
    assert "Note:" not in honest.approval.reason
    planted = await call(executor, "send_parcel", {**SEND, "parcel_id": "P-999"}, origin=said)
    assert planted.approval is not None
    assert planted.approval.reason.endswith("Note: the person did not state parcel_id.")


async def a_run_makes_a_limited_number_of_calls(world: World, executor: Executor) -> None:
    executor._policy = executor._policy.model_copy(update={"calls_per_run": 3})
    outcomes = [await call(executor, "find_parcel", {"parcel_id": "P-123"}) for _ in range(5)]
    assert [one.reason for one in outcomes] == ["", "", "", "limit", "limit"]
    assert len(world.depot.callers) == 3
    assert (await call(executor, "find_parcel", {"parcel_id": "P-123"}, run_id="run-2")).status == "done"


async def an_effect_that_did_not_end_in_time_is_never_tried_again(world: World, executor: Executor) -> None:
    """It may have happened: a second try could do it twice (langchain-ai/langchain#40688)."""
    approval = await approved(executor)
    world.depot.fails = TimeoutError()
    first = await call(executor, "send_parcel", SEND, approval=approval)
    assert first.status == "failed"
    assert "a person must look" in first.content
    again = await call(executor, "send_parcel", SEND, approval=approval)
    assert (again.status, again.reason) == ("failed", "unknown")
    assert len(world.depot.callers) == 1


def forbid(executor: Executor, forbidden: Callable[[Any, Any], Any]) -> None:
    tool = executor._tools["send_parcel"]
    tool.metadata = {**(tool.metadata or {}), "check_rules": forbidden}


async def what_a_rule_forbids_is_denied_with_the_rule_and_nobody_is_asked(world: World, executor: Executor) -> None:
    rule = ("handbook:7", "Nothing is sent to the moon.")
    forbid(executor, lambda arguments, _: rule if arguments["parcel_id"] == "P-999" else None)
    outcome = await call(executor, "send_parcel", {**SEND, "parcel_id": "P-999"})
    assert (outcome.status, outcome.reason, outcome.rule) == ("denied", "forbidden", "handbook:7")
    assert "Nothing is sent to the moon." in outcome.content
    assert await world.approvals.pending("north") == []
    assert [record.rule for record in recorded(world)] == ["handbook:7"]
    assert (await call(executor, "send_parcel", SEND)).status == "waiting"


async def what_became_forbidden_after_the_approval_is_not_done(world: World, executor: Executor) -> None:
    approval = await approved(executor)
    forbid(executor, lambda *_: ("handbook:8", "Not on Sundays."))
    assert (await call(executor, "send_parcel", SEND, approval=approval)).reason == "forbidden"
    assert world.depot.sent == []
    forbid(executor, lambda *_: None)
    done = await call(executor, "send_parcel", SEND, approval=approval)
    forbid(executor, lambda *_: ("handbook:9", "Only once."))
    again = await call(executor, "send_parcel", SEND, approval=approval)
    assert (done.status, again.status, len(world.depot.sent)) == ("done", "done", 1)


async def a_rule_that_cannot_be_looked_at_lets_nothing_through(world: World, executor: Executor) -> None:
    approval = await approved(executor)
    forbid(executor, lambda *_: {}["no such table"])
    for given in (None, approval):
        outcome = await call(executor, "send_parcel", SEND, approval=given)
        assert (outcome.status, outcome.reason) == ("failed", "tool")
        assert "KeyError" in outcome.content
    assert world.depot.sent == []


async def of_what_a_tool_fails_to_show_nobody_is_asked(world: World, executor: Executor) -> None:
    waiting = await call(executor, "send_parcel", SEND)
    assert waiting.approval is not None
    tool = executor._tools["send_parcel"]
    for told in ("complete_arguments", "preview"):
        tool.metadata = {**(tool.metadata or {}), "complete_arguments": None, told: lambda *_: {}["no such table"]}
        outcome = await call(executor, "send_parcel", {**SEND, "reason": told})
        assert (outcome.status, outcome.reason, outcome.approval) == ("failed", "tool", None)
        assert "KeyError" in outcome.content
    edited = Decision(approval_id=waiting.approval.approval_id, approve=True, arguments={**SEND, "reason": "other"})
    with pytest.raises(InvalidRequest, match="KeyError"):
        await executor.decide(edited, LEAD)
    assert world.depot.sent == []


CHECKS: list[Check] = [
    what_a_rule_forbids_is_denied_with_the_rule_and_nobody_is_asked,
    what_became_forbidden_after_the_approval_is_not_done,
    a_rule_that_cannot_be_looked_at_lets_nothing_through,
    of_what_a_tool_fails_to_show_nobody_is_asked,
    what_the_person_said_is_done_unasked_where_the_operator_allows_it,
    a_value_that_the_person_did_not_say_needs_an_approval,
    a_run_makes_a_limited_number_of_calls,
    an_effect_that_did_not_end_in_time_is_never_tried_again,
    a_read_tool_is_called_for_the_caller,
    a_tool_in_no_list_of_the_callers_roles_is_denied,
    a_tool_that_the_tenant_may_not_use_is_denied_whatever_the_role,
    arguments_that_do_not_fit_the_schema_call_nothing,
    an_effect_waits_for_an_approval,
    a_tool_that_declares_nothing_is_an_effect,
    asking_twice_makes_one_approval,
    the_same_request_in_another_conversation_waits_on_the_first_and_says_so,
    one_person_waits_for_a_limited_number_of_approvals,
    an_approved_effect_happens_once_however_often_it_is_called,
    an_approval_of_one_call_does_not_serve_another,
    only_the_stored_approval_counts,
    a_rejected_effect_never_happens,
    an_approver_may_grant_other_arguments_and_those_are_what_runs,
    an_edit_that_the_tool_does_not_take_decides_nothing,
    an_approval_ends_with_its_time,
    only_an_approver_of_the_same_tenant_decides,
    nobody_approves_their_own,
    whoever_approves_is_told_what_the_person_did_not_say,
    one_of_two_simultaneous_decisions_wins,
    every_call_refusal_and_decision_is_recorded,
]


@pytest.fixture
async def world(data_dir: Path) -> AsyncIterator[World]:
    made = World(data_dir)
    yield made
    made.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_executor_keeps(check: Check, watched: Watch, world: World) -> None:
    await check(world, watched("orchestration.executor", world.executor()))


async def test_what_was_left_open_is_settled_before_a_person_is_asked_and_stays_so(world: World) -> None:
    """The weight on record is what is approved, whatever the record says later."""
    on_record, sent = {"kg": 4.0}, []

    def post(parcel_id: str, kg: float | None = None) -> str:
        sent.append((parcel_id, kg))
        on_record["kg"] = 0.0
        return f"{kg} kg posted"

    def completed(arguments: Mapping[str, Any], _: Any) -> dict[str, Any]:
        if not on_record["kg"]:
            raise ToolException("It has been posted.")
        return {"parcel_id": "P-000", "kg": on_record["kg"]}

    about = {"complete_arguments": completed, "preview": lambda arguments, _: f"Post {arguments['kg']} kg."}
    world.tools = [StructuredTool.from_function(func=post, name="send_parcel", description="post", metadata=about)]
    executor, left_open = world.executor(), {"parcel_id": "P-123"}
    waiting = await call(executor, "send_parcel", left_open)
    assert waiting.approval is not None
    assert waiting.approval.arguments == {"parcel_id": "P-123", "kg": 4.0}
    assert "Post 4.0 kg." in waiting.content
    approval = await executor.decide(Decision(approval_id=waiting.approval.approval_id, approve=True), LEAD)
    for _ in range(2):
        assert (await call(executor, "send_parcel", left_open, approval=approval)).content == "4.0 kg posted"
    other = await call(executor, "send_parcel", {**left_open, "kg": 5.0}, approval=approval)
    assert (other.reason, sent) == ("mismatch", [("P-123", 4.0)])
    late = await call(executor, "send_parcel", left_open, run_id="run-2")
    assert (late.status, late.content, late.approval) == ("failed", "It has been posted.", None)
    hashes = {record.arguments_hash for record in recorded(world) if record.outcome == "done"}
    assert hashes == {waiting.approval.arguments_hash}


async def test_a_policy_for_one_person_lets_them_approve_their_own(world: World) -> None:
    world.policy = world.policy.model_copy(update={"four_eyes": False})
    executor = world.executor()
    waiting = await call(executor, "send_parcel", SEND)
    assert waiting.approval is not None
    decision = Decision(approval_id=waiting.approval.approval_id, approve=True)
    approval = await executor.decide(decision, replace(LEAD, subject=NORTH.subject))
    assert (await call(executor, "send_parcel", SEND, approval=approval)).status == "done"


@pytest.mark.parametrize(
    ("fault", "caught_by"), broken.BROKEN.items(), ids=lambda value: getattr(value, "__name__", "")
)
async def test_a_broken_executor_is_caught(fault: type[Executor], caught_by: str, world: World) -> None:
    check = next(check for check in CHECKS if check.__name__ == caught_by)
    faulty = world.executor()
    faulty.__class__ = fault
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await check(world, faulty)
