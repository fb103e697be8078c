"""Who decides on an approval, and that it is in the audit: approve, as it was asked or with other arguments, or reject."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from langchain_core.tools import BaseTool, ToolException

from foundation.errors import Conflict, Forbidden, InvalidRequest, NotFound
from foundation.kill_switches import Stops
from foundation.stores.crashpoints import crash_point
from foundation.types import Principal
from orchestration.actions import Approval, Decision, Preview
from orchestration.effects.approvals import SqliteApprovals
from orchestration.effects.arguments import UnfitArguments, arguments_hash, check_arguments
from orchestration.effects.audit import SqliteAudit
from orchestration.effects.calls import RULES, Denial
from orchestration.events import AuditRecord
from orchestration.settings import PolicySettings


class Decisions:
    """The decisions on what `tools` would do."""

    def __init__(
        self,
        tools: Mapping[str, BaseTool],
        policy: PolicySettings,
        approvals: SqliteApprovals,
        audit: SqliteAudit,
        stops: Stops | None,
    ) -> None:
        self._tools, self._policy, self._stops = tools, policy, stops
        self.approvals = self._approvals = approvals
        self._audit = audit

    async def decide(self, decision: Decision, principal: Principal) -> Approval:
        """Approve, as it was asked or with other arguments, or reject; exactly once.

        Raises:
            NotFound: no such approval in the caller's tenant. Forbidden: none of the caller's roles may decide, or they
                would approve what they asked for themselves.
            Gone: it has expired. Conflict: somebody has decided it already.
            InvalidRequest: the tool does not take the edited arguments.
            Stopped: it would be approved while effects are stopped; it goes on waiting.
        """
        approval = await self.may_decide(decision.approval_id, principal)
        if decision.approve and self.is_own(approval, principal.subject):
            await self._record_refusal(approval, principal, "own")
            raise Forbidden(
                "You asked for this yourself, so somebody else has to approve it; you may reject it. Where one person works "
                "alone, the policy can say so: four_eyes = false. Rule: four_eyes."
            )
        if self._stops is not None and decision.approve:
            self._stops.demand("effects")
        edited = await self._check_edited(decision, approval)
        decided = await self._approvals.decide(
            decision.approval_id,
            principal.tenant,
            approve=decision.approve,
            by=principal.subject,
            note=decision.note,
            edited=edited,
            edited_hash="" if edited is None else arguments_hash(approval.tool, approval.tenant, edited),
        )
        crash_point("decided")
        await self.record_decision(decided, principal)
        return decided

    async def record_decision(self, decided: Approval, principal: Principal) -> None:
        """Also for a decision that is repeated: whoever took it may have been killed before its record was written."""
        await self._record(
            decided,
            subject=decided.requested_by,
            outcome="decided",
            reason="edited" if decided.edited_hash else decided.status,
            arguments_hash=decided.edited_hash or decided.arguments_hash,
            decided_by=principal.subject,
        )

    async def _record(self, approval: Approval, **entry: Any) -> None:
        """`run_id` is the conversation, which is what an approval knows; the call's own record names the run."""
        await self._audit.record(
            AuditRecord(
                act="decision",
                tenant=approval.tenant,
                run_id=approval.thread_id,
                tool=approval.tool,
                approval_id=approval.approval_id,
                **entry,
            )
        )

    async def may_decide(self, approval_id: str, principal: Principal) -> Approval:
        """The approval, if the caller may see and decide it; raises NotFound or Forbidden as `decide` does."""
        approval = await self._approvals.get(approval_id, principal.tenant)
        if approval is None:
            raise NotFound(f"There is no approval {approval_id}.")
        if not principal.roles & set(self._policy.approvers):
            await self._record_refusal(approval, principal, "role", rule="approvers")
            needed = ", ".join(self._policy.approvers) or "none is configured"
            raise Forbidden(f"Approvals are decided by the roles: {needed}. Ask one of them. Rule: approvers.")
        return approval

    def is_own(self, approval: Approval, decider: str | None) -> bool:
        """Whether the person who decides is the one who asked, where the policy wants two. A directory may write one person
        in upper and lower case."""
        return self._policy.four_eyes and (decider or "").casefold() == approval.requested_by.casefold()

    async def _record_refusal(
        self, approval: Approval, principal: Principal, reason: Denial, *, rule: str = ""
    ) -> None:
        await self._record(
            approval,
            subject=principal.subject,
            outcome="denied",
            reason=reason,
            rule=rule or RULES[reason],
            arguments_hash=approval.arguments_hash,
        )

    async def _check_edited(self, decision: Decision, approval: Approval) -> dict[str, Any] | None:
        """The arguments that are granted instead, checked like any others; `None` where nothing is changed."""
        if decision.arguments is None:
            return None
        if not decision.approve:
            raise InvalidRequest("A rejection changes no arguments. Leave them out, or approve what you changed.")
        tool = self._tools.get(approval.tool)
        if tool is None:
            raise Conflict(f"There is no tool {approval.tool} any more. Reject the approval.")
        try:
            fitting = check_arguments(tool, decision.arguments)
            preview: Preview | None = (tool.metadata or {}).get("preview")
            if preview is not None:
                requester = Principal(approval.requested_by, approval.tenant)
                await asyncio.to_thread(preview, fitting, requester)
        except (UnfitArguments, ToolException) as error:
            raise InvalidRequest(f"It cannot be approved with these arguments: {error}") from error
        return None if fitting == approval.arguments else fitting
