"""Who may approve how much: tiers of amounts, sums for one target, several people, and an approver of one's own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool, StructuredTool, ToolException

from foundation.components import Context, load
from foundation.errors import ComponentError, Conflict, Forbidden, InvalidRequest, InvalidSetting
from foundation.settings import Part
from foundation.types import Principal
from orchestration.actions import Approval, Decision, ProposedEffect, Requirement, ToolOutcome
from orchestration.calls import check_arguments
from orchestration.contract import Approver
from orchestration.effects.decisions import propose
from orchestration.effects.executor import Executor
from orchestration.settings import PolicySettings
from serving.settings import load as load_stack
from serving.wiring import open_system
from tests.doubles import stacks
from tests.doubles.orchestration import World

TIERS: list[dict[str, Any]] = [
    {"tool": "pay", "up_to": 250, "roles": ["agent", "lead"], "four_eyes": False},
    {"tool": "pay", "up_to": 2000, "roles": ["lead", "manager"]},
    {"tool": "pay", "up_to": 9000, "roles": ["manager"], "people": 2},
    {"tool": "close_*", "roles": ["lead"]},
]
POLICY = PolicySettings(roles={"agent": ("*",), "manager": ()}, approvers=("lead",))


def person(name: str, *roles: str) -> Principal:
    return Principal(name, "north", frozenset(roles))


AGENT, OTHER, LEAD = person("ada", "agent"), person("bo", "agent"), person("lea", "lead")
MANAGER, SECOND = person("max", "manager"), person("mia", "manager")


def pay_tool() -> tuple[BaseTool, list[float]]:
    paid: list[float] = []

    def pay(order: str, amount_usd: float, note: str = "") -> str:
        """Pay money back for an order."""
        del order, note
        paid.append(amount_usd)
        return "Paid."

    metadata = {"arguments": {"note": "content", "amount_usd": "amount"}, "units": {"amount_usd": "0.01"}}
    return StructuredTool.from_function(pay, metadata=metadata), paid


@dataclass
class Desk:
    """An executor of one tool that pays, and what was paid."""

    executor: Executor
    paid: list[float]
    asked: int = 0

    async def ask(self, amount: float, order: str = "N-1", by: Principal = AGENT) -> ToolOutcome:
        self.asked += 1
        return await self.call(self.asked, {"order": order, "amount_usd": amount}, by)

    async def call(
        self, step: int, arguments: dict[str, Any], by: Principal = AGENT, approval: Approval | None = None
    ) -> ToolOutcome:
        at: dict[str, Any] = {"run_id": "run-1", "thread_id": "thread-1", "step": step}
        return await self.executor.call("pay", arguments, principal=by, approval=approval, **at)

    async def decide(self, outcome: ToolOutcome, by: Principal, **changes: Any) -> Approval:
        assert outcome.approval is not None, outcome
        decision = {"approval_id": outcome.approval.approval_id, "approve": True, **changes}
        return await self.executor.decide(Decision(**decision), by)

    async def grant(self, amount: float, by: Principal, order: str = "N-1") -> ToolOutcome:
        """Ask, approve and carry out."""
        outcome = await self.ask(amount, order)
        approval = await self.decide(outcome, by)
        return await self.call(self.asked, {"order": order, "amount_usd": amount}, approval=approval)


def open_desk(folder: Path, approver: Approver | None = None, policy: PolicySettings = POLICY) -> Desk:
    tool, paid = pay_tool()
    chosen = approver or tiers(TIERS)
    return Desk(World(folder, tools=[tool], policy=policy, approver=chosen).executor(), paid)


def tiers(listed: list[dict[str, Any]]) -> Approver:
    part = Part.model_validate({"use": "tiers", "tiers": listed})
    approver: Approver = load("orchestration.policy.approver", part, Context(data_dir=Path()), expected=Approver)
    return approver


@pytest.mark.parametrize(
    ("amount", "may", "may_not"),
    [(250, (OTHER, LEAD), (MANAGER,)), (250.01, (LEAD, MANAGER), (OTHER,)), (2000, (LEAD,), (OTHER,))],
)
async def test_the_first_tier_that_the_amount_fits_into_says_who_approves_it(
    data_dir: Path, amount: float, may: tuple[Principal, ...], may_not: tuple[Principal, ...]
) -> None:
    desk = open_desk(data_dir)
    for number, approver in enumerate(may):
        outcome = await desk.ask(amount, order=f"N-{number}")
        for other in may_not:
            with pytest.raises(
                Forbidden, match=r"needs the approval of somebody with the role .* Rule: approver\.tiers"
            ):
                await desk.decide(outcome, other)
        assert (await desk.decide(outcome, approver)).status == "approved"


async def test_effects_for_one_target_are_added_together_however_it_is_spelled(data_dir: Path) -> None:
    desk = open_desk(data_dir)
    assert (await desk.grant(200, OTHER)).status == "done"
    again = await desk.ask(100, order=" n\N{HYPHEN}1.")
    assert (
        "300 (200 of it approved before), up to 2,000, needs the approval of somebody with the role lead or manager."
        in again.content
    )
    with pytest.raises(Forbidden, match=r"200 of it approved before"):
        await desk.decide(again, OTHER)
    assert (await desk.decide(again, LEAD)).status == "approved"
    assert (await desk.decide(await desk.ask(100, order="N-2"), OTHER)).status == "approved"


async def test_of_two_decisions_at_once_each_sees_what_the_other_granted(data_dir: Path) -> None:
    desk = open_desk(data_dir)
    waiting = [await desk.ask(200), await desk.ask(200), await desk.ask(200)]
    decided = await asyncio.gather(*(desk.decide(outcome, OTHER) for outcome in waiting), return_exceptions=True)
    assert sum(isinstance(each, Approval) for each in decided) == 1
    assert sum(isinstance(each, Forbidden) for each in decided) == 2


async def test_who_edits_an_amount_needs_the_role_for_the_new_one(data_dir: Path) -> None:
    desk = open_desk(data_dir)
    outcome = await desk.ask(100)
    with pytest.raises(Forbidden):
        await desk.decide(outcome, OTHER, arguments={"order": "N-1", "amount_usd": 300})
    lowered = await desk.decide(await desk.ask(5000, order="N-2"), LEAD, arguments={"order": "N-2", "amount_usd": 1500})
    assert (lowered.status, lowered.granted_arguments["amount_usd"]) == ("approved", 1500)


async def test_a_tier_can_let_people_approve_alone_and_the_others_cannot(data_dir: Path) -> None:
    desk = open_desk(data_dir)
    alone = await desk.ask(50)
    done = await desk.call(1, {"order": "N-1", "amount_usd": 50}, approval=await desk.decide(alone, AGENT))
    assert (done.status, desk.paid) == ("done", [50])
    both = person("ada", "agent", "lead")
    larger = await desk.ask(500, by=both)
    with pytest.raises(Forbidden, match="four_eyes"):
        await desk.decide(larger, both)


async def test_two_people_approve_the_same_before_it_happens(data_dir: Path) -> None:
    desk = open_desk(data_dir)
    outcome = await desk.ask(3000)
    first = await desk.decide(outcome, MANAGER)
    assert (first.status, first.approved_by, first.decided_by) == ("pending", ("max",), None)
    assert (await desk.call(1, {"order": "N-1", "amount_usd": 3000})).status == "waiting"
    with pytest.raises(Conflict, match="You approved this already; it needs 2 people"):
        await desk.decide(outcome, person("MAX", "manager"))
    second = await desk.decide(outcome, SECOND)
    assert (second.status, second.approved_by) == ("approved", ("max", "mia"))
    done = await desk.call(1, {"order": "N-1", "amount_usd": 3000}, approval=second)
    assert (done.status, desk.paid) == ("done", [3000])


async def test_who_edits_what_another_person_approved_begins_anew(data_dir: Path) -> None:
    desk = open_desk(data_dir)
    outcome = await desk.ask(3000)
    await desk.decide(outcome, MANAGER)
    edited = await desk.decide(outcome, SECOND, arguments={"order": "N-1", "amount_usd": 4000})
    assert (edited.status, edited.approved_by) == ("pending", ("mia",))
    assert (await desk.decide(outcome, MANAGER, arguments={"order": "N-1", "amount_usd": 4000})).status == "approved"


async def test_one_of_several_can_reject(data_dir: Path) -> None:
    desk = open_desk(data_dir)
    outcome = await desk.ask(3000)
    await desk.decide(outcome, MANAGER)
    assert (await desk.decide(outcome, SECOND, approve=False, reason="no")).status == "rejected"
    assert desk.paid == []


async def test_what_fits_into_no_tier_is_not_done(data_dir: Path) -> None:
    desk = open_desk(data_dir)
    outcome = await desk.ask(9000.01)
    assert (outcome.status, outcome.reason, outcome.rule) == ("denied", "forbidden", "approver.tiers, 3")
    assert "Nobody may approve it: 9,000.01 is above 9,000." in outcome.content


async def test_a_tool_with_a_tier_waits_also_where_its_effect_needs_no_approval(data_dir: Path) -> None:
    free = POLICY.model_copy(update={"effects_without_approval": ("pay",)})
    assert (await open_desk(data_dir, policy=free).ask(10)).status == "waiting"


async def test_a_decision_by_one_of_several_is_recorded(data_dir: Path) -> None:
    tool, _ = pay_tool()
    world = World(data_dir, tools=[tool], policy=POLICY, approver=tiers(TIERS))
    desk = Desk(world.executor(), [])
    await desk.decide(await desk.ask(3000), MANAGER)
    record = world.records[-1]
    assert (record.act, record.outcome, record.reason, record.decided_by) == (
        "decision",
        "decided",
        "one of several",
        "max",
    )


class Weekends:
    """An approver of one's own: nothing is paid at weekends."""

    roles: frozenset[str] = frozenset()

    def rule(self, effect: ProposedEffect) -> Requirement | None:
        if effect.at.weekday() < 5:
            return None
        return Requirement(rule="weekends", forbidden="Nothing is paid at weekends. Ask on Monday.")


async def test_an_approver_of_ones_own_can_forbid_also_what_was_approved(data_dir: Path) -> None:
    tool, paid = pay_tool()
    world = World(data_dir, tools=[tool], policy=POLICY, approver=Weekends())
    desk = Desk(world.executor(), paid)
    outcome = await desk.ask(10)
    late = await desk.decide(outcome, LEAD)
    world.clock.forward(days=3, hours=-1)  # from Wednesday to Saturday
    other = await desk.ask(20)
    assert (other.status, other.reason, other.rule) == ("denied", "forbidden", "weekends")
    carried_out = await desk.call(1, {"order": "N-1", "amount_usd": 10}, approval=late)
    assert carried_out.status == "denied"
    assert paid == []


class Failing(Weekends):
    def rule(self, effect: ProposedEffect) -> Requirement | None:
        raise ZeroDivisionError(effect.tool)


async def test_an_approver_that_fails_stops_the_effect_and_is_named(data_dir: Path) -> None:
    desk = open_desk(data_dir, Failing())
    with pytest.raises(ComponentError, match="Failing, which says who approves pay, failed with ZeroDivisionError"):
        await desk.ask(10)
    assert desk.paid == []


@pytest.mark.parametrize("limits", [(250, 250), (300, 200), (None, 200)])
def test_tiers_out_of_order_are_refused(limits: tuple[float | None, ...]) -> None:
    listed = [{"tool": "pay", "roles": ["lead"]} | ({"up_to": limit} if limit else {}) for limit in limits]
    with pytest.raises(InvalidSetting, match=r'The tiers of "pay" .* are out of order'):
        tiers(listed)


async def test_a_role_of_a_tier_decides_nothing_that_no_tier_names(data_dir: Path) -> None:
    desk = open_desk(data_dir, tiers([{"tool": "close_*", "roles": ["manager"]}]))
    outcome = await desk.ask(10)
    with pytest.raises(Forbidden, match=r"Approvals are decided by the roles: lead\..* Rule: approvers\."):
        await desk.decide(outcome, MANAGER)
    assert (await desk.decide(outcome, LEAD)).status == "approved"


def test_a_role_that_nobody_can_have_is_refused_at_the_start(tmp_path: Path) -> None:
    named = '[[orchestration.policy.approver.tiers]]\ntool = "pay"\nroles = ["manger"]\n'
    path = stacks.stack(tmp_path, f"[orchestration.policy]\nroles = {{ manager = [] }}\n{named}")
    said = r'names the role "manger", which nobody can have\..* "manager"'
    with pytest.raises(InvalidSetting, match=said), open_system(load_stack(path)):
        pass


@pytest.mark.parametrize("amount", [True, False])
async def test_true_and_false_are_no_amounts_neither_asked_nor_edited(data_dir: Path, amount: bool) -> None:
    desk = open_desk(data_dir)
    refused = await desk.ask(amount)
    assert (refused.status, refused.reason, refused.approval) == ("failed", "arguments", None)
    assert '"amount_usd" does not fit (it is true or false, and an amount is a number)' in refused.content
    waiting = await desk.ask(100)
    with pytest.raises(InvalidRequest, match="true or false"):
        await desk.decide(waiting, OTHER, arguments={"order": "N-1", "amount_usd": amount})
    assert desk.paid == []


def test_true_within_a_list_of_amounts_is_refused_too() -> None:
    def share(amounts: list[float]) -> str:
        """Pay several amounts."""
        return str(amounts)

    tool = StructuredTool.from_function(share, metadata={"arguments": {"amounts": "amount"}})
    assert check_arguments(tool, {"amounts": [5, 1]}) == {"amounts": [5.0, 1.0]}
    with pytest.raises(ToolException, match="true or false"):
        check_arguments(tool, {"amounts": [5, True]})


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), "many", None])
def test_an_amount_that_is_no_number_is_unknown_and_never_added_up(amount: Any) -> None:
    tool, _ = pay_tool()
    effect = propose(
        tool,
        {"order": "o-1", "amount_usd": amount},
        tenant="north",
        requested_by="ada",
        granted=[],
        at=datetime(2026, 12, 2, tzinfo=UTC),
    )
    assert (effect.amount, effect.total) == (None, None)
