"""Decisions on approvals, as the policy allows them, and their records."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from langchain_core.tools import BaseTool, ToolException

from foundation.clock import Clock
from foundation.errors import Conflict, Forbidden, InvalidRequest, NotFound, SixplyError
from foundation.stores.crashpoints import crash_point
from foundation.types import Principal
from orchestration.actions import Approval, Decision, Requirement
from orchestration.calls import RULES, Denial, UnfitArguments, check_in_time, metadata_of
from orchestration.contract import Approver, Demand
from orchestration.effects.approvals import GrantedMeanwhile, SqliteApprovals
from orchestration.effects.policy import Policy, is_same_person
from orchestration.effects.records import Recorders
from orchestration.effects.requirements import propose, rule_on

T = TypeVar("T")


class Decisions:
    """The methods of the executor that decide on approvals."""

    _tools: dict[str, BaseTool]
    policy: Policy
    approvals: SqliteApprovals
    _recorders: Recorders
    _approver: Approver | None
    _clock: Clock
    _demand: Demand

    async def decide(self, decision: Decision, principal: Principal) -> Approval:
        """Approve with the requested or other arguments, or reject; exactly once.

        Raises NotFound (no such approval in the caller's tenant), Forbidden (none of the caller's roles may decide, or they would
        approve what they asked for themselves), Gone (expired), Conflict (decided already), InvalidRequest (the tool does not
        take the edited arguments), Stopped (effects are stopped; it still waits).
        """
        approval = await self.may_decide(decision.approval_id, principal, approve=decision.approve)
        if decision.approve:
            self._demand("effects")
        edited = await self._check_edited(decision, approval)
        decided = await self._decide_as_granted(decision, approval, edited, principal)
        crash_point("decided")
        if decided.status != "pending":
            await self.record_decision(decided, principal)
        else:
            await self._record(
                decided,
                subject=decided.requested_by,
                decided_by=principal.subject,
                outcome="decided",
                reason="one of several",
                arguments_hash=decided.granted_hash,
            )
        return decided

    async def _decide_as_granted(
        self, decision: Decision, approval: Approval, edited: dict[str, Any] | None, principal: Principal
    ) -> Approval:
        """Decide by who has to approve these arguments, beside what was granted before, also in the moment of the decision."""
        while True:
            granted = await self.approvals.granted(approval.tenant, approval.tool)
            needs = await self._rule(approval, approval.arguments if edited is None else edited, granted)
            await self._demand_may_approve(decision, approval.model_copy(update={"needs": needs}), principal)
            try:
                return await self.approvals.decide(
                    decision, principal, edited=edited, needs=needs, granted=len(granted)
                )
            except GrantedMeanwhile:
                continue

    async def _rule(
        self, approval: Approval, arguments: dict[str, Any], granted: Sequence[Approval]
    ) -> Requirement | None:
        tool = self._tools.get(approval.tool)
        if tool is None:
            return approval.needs
        effect = propose(
            tool,
            arguments,
            tenant=approval.tenant,
            requested_by=approval.requested_by,
            granted=granted,
            at=self._clock.now(),
        )
        return await rule_on(self._approver, effect)

    async def _demand_may_approve(self, decision: Decision, approval: Approval, principal: Principal) -> None:
        """Raises Forbidden: who asked for it approves it alone, none of the caller's roles may, or nobody."""
        needs, own = approval.needs, self.is_own(approval, principal.subject)
        if decision.approve or not is_same_person(approval.requested_by, principal.subject):
            await self._demand_role(approval, principal)
        if not decision.approve:
            return
        if needs is not None and needs.forbidden:
            await self._record_refusal(approval, principal, "forbidden", needs.rule)
            raise Forbidden(f"{needs.forbidden} You may reject it. Rule: {needs.rule}.")
        if own:
            await self._record_refusal(approval, principal, "own", RULES["own"])
            raise Forbidden(
                "You asked for this yourself, so somebody else has to approve it; you may reject it. Where one person works "
                "alone, the policy can say so: four_eyes = false. Rule: four_eyes."
            )

    async def _demand_role(self, approval: Approval, principal: Principal) -> None:
        needs = approval.needs
        if needs is None:
            await self._demand_approver(approval, principal)
        elif needs.roles and not principal.roles & set(needs.roles):
            await self._record_refusal(approval, principal, "role", needs.rule)
            raise Forbidden(f"{needs.why} Rule: {needs.rule}.")

    async def record_decision(self, decided: Approval, principal: Principal) -> None:
        """Record a decision; also a repeated one, since the process may have been killed before it wrote the record."""
        reason = "edited" if decided.edited_hash else decided.status
        by = {"subject": decided.requested_by, "decided_by": principal.subject}
        await self._record(decided, outcome="decided", reason=reason, arguments_hash=decided.granted_hash, **by)

    async def _record(self, approval: Approval, **entry: Any) -> None:
        # an approval does not know its run, so the record names the conversation; the call's own record names the run
        entry |= {"tenant": approval.tenant, "tool": approval.tool, "approval_id": approval.approval_id}
        await self._recorders.record(act="decision", run_id=approval.thread_id, **entry)

    async def _record_refusal(self, approval: Approval, principal: Principal, reason: Denial, rule: str) -> None:
        entry = {"reason": reason, "rule": rule, "arguments_hash": approval.arguments_hash}
        await self._record(approval, subject=principal.subject, outcome="denied", **entry)

    async def may_decide(self, approval_id: str, principal: Principal, *, approve: bool = True) -> Approval:
        """Return the approval, if the caller may decide it; who asked for it may reject it. Raises NotFound, Forbidden: as `decide`."""
        approval = await self.approvals.get(approval_id, principal.tenant)
        if approval is None:
            raise NotFound(f"There is no approval {approval_id}.")
        withdraws = not approve and is_same_person(approval.requested_by, principal.subject)
        if not withdraws and not principal.roles & self.approver_roles:
            await self._demand_approver(approval, principal)
        return approval

    @property
    def approver_roles(self) -> frozenset[str]:
        """The roles that the approver names, beside `approvers`."""
        return self._approver.roles if self._approver else frozenset()

    async def _demand_approver(self, approval: Approval, principal: Principal) -> None:
        ruling = self.policy.approver(principal)
        if not ruling.allowed:
            await self._record_refusal(approval, principal, "role", ruling.rule)
            raise Forbidden(f"{ruling.why} Ask one of them. Rule: {ruling.rule}.")

    def is_own(self, approval: Approval, decider: str | None) -> bool:
        """Whether whoever asked for it would approve it alone, where it needs somebody else."""
        if approval.needs is not None and approval.needs.four_eyes is not None:
            return approval.needs.four_eyes and is_same_person(approval.requested_by, decider)
        return self.policy.is_own(approval.requested_by, decider)

    async def _check_edited(self, decision: Decision, approval: Approval) -> dict[str, Any] | None:
        if decision.arguments is None:
            return None
        if not decision.approve:
            raise InvalidRequest("A rejection changes no arguments. Leave them out, or approve what you changed.")
        tool = self._tools.get(approval.tool)
        if tool is None:
            raise Conflict(f"The tool {approval.tool} no longer exists. Reject the approval.")
        try:
            fitting = await check_in_time(tool, decision.arguments)
            if preview := metadata_of(tool, "preview", None):
                await ask_tool(preview, fitting, Principal(approval.requested_by, approval.tenant))
        except (UnfitArguments, ToolException) as error:
            raise InvalidRequest(f"It cannot be approved with these arguments: {error}") from error
        return None if fitting == approval.arguments else fitting


async def ask_tool(tells: Callable[..., T], arguments: Mapping[str, Any], principal: Principal) -> T:
    """Return what a tool's own `preview` or `complete_arguments` says. Raises ToolException, also where its code fails."""
    try:
        return await asyncio.to_thread(tells, arguments, principal)
    except (ToolException, SixplyError):
        raise
    except Exception as error:  # foreign code, like the tool: what nobody can be shown, nobody is asked
        raise ToolException(f"What would be done could not be told: it failed with {type(error).__name__}.") from error
