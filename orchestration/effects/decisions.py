"""Decisions on approvals, as the policy allows them, and their records."""

import asyncio
from typing import Any

from langchain_core.tools import BaseTool, ToolException

from foundation.errors import Conflict, Forbidden, InvalidRequest, NotFound
from foundation.stores.crashpoints import crash_point
from foundation.types import Principal
from orchestration.actions import Approval, Decision
from orchestration.calls import RULES, Denial, UnfitArguments, check_in_time, metadata_of
from orchestration.effects.approvals import SqliteApprovals
from orchestration.effects.policy import Policy
from orchestration.effects.records import Recorders


class Decisions:
    """The methods of the executor that decide on approvals."""

    _tools: dict[str, BaseTool]
    policy: Policy
    approvals: SqliteApprovals
    _recorders: Recorders
    _stops: Any  # `foundation.kill_switches.Stops`, or `None`

    async def decide(self, decision: Decision, principal: Principal) -> Approval:
        """Approve with the requested or other arguments, or reject; exactly once.

        Raises NotFound (no such approval in the caller's tenant), Forbidden (none of the caller's roles may decide, or they would
        approve what they asked for themselves), Gone (expired), Conflict (decided already), InvalidRequest (the tool does not
        take the edited arguments), Stopped (effects are stopped; it still waits).
        """
        approval = await self.may_decide(decision.approval_id, principal)
        if decision.approve and self.is_own(approval, principal.subject):
            await self._record_refusal(approval, principal, "own", RULES["own"])
            raise Forbidden(
                "You asked for this yourself, so somebody else has to approve it; you may reject it. Where one person works "
                "alone, the policy can say so: four_eyes = false. Rule: four_eyes."
            )
        if self._stops is not None and decision.approve:
            self._stops.demand("effects")
        edited = await self._check_edited(decision, approval)
        decided = await self.approvals.decide(decision, principal, edited=edited)
        crash_point("decided")
        await self.record_decision(decided, principal)
        return decided

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

    async def may_decide(self, approval_id: str, principal: Principal) -> Approval:
        """Return the approval, if the caller may decide it. Raises NotFound, Forbidden: as `decide`."""
        approval = await self.approvals.get(approval_id, principal.tenant)
        if approval is None:
            raise NotFound(f"There is no approval {approval_id}.")
        ruling = self.policy.approver(principal)
        if not ruling.allowed:
            await self._record_refusal(approval, principal, "role", ruling.rule)
            raise Forbidden(f"{ruling.why} Ask one of them. Rule: {ruling.rule}.")
        return approval

    def is_own(self, approval: Approval, decider: str | None) -> bool:
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
                await asyncio.to_thread(preview, fitting, Principal(approval.requested_by, approval.tenant))
        except (UnfitArguments, ToolException) as error:
            raise InvalidRequest(f"It cannot be approved with these arguments: {error}") from error
        return None if fitting == approval.arguments else fitting
