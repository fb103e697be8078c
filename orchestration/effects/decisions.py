"""Who has to approve an effect, decisions on approvals, and their records."""

import asyncio
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NoReturn

from langchain_core.tools import BaseTool, ToolException

from foundation.clock import Clock
from foundation.errors import ComponentError, Conflict, Forbidden, InvalidRequest, NotFound, SixplyError
from foundation.stores.crashpoints import crash_point
from foundation.types import Principal
from orchestration.actions import Approval, Decision, ProposedEffect, Requirement
from orchestration.calls import RULES, Denial, amount_of, ask_tool, check_in_time, metadata_of, roles_of
from orchestration.contract import Approver, Demand
from orchestration.effects.approvals import GrantedMeanwhile, SqliteApprovals
from orchestration.effects.policy import Policy, is_same_person
from orchestration.effects.records import Recorders


class Decisions:
    """The part of the executor that says who has to approve an effect, and takes their decisions."""

    _tools: dict[str, BaseTool]
    policy: Policy
    approvals: SqliteApprovals
    _recorders: Recorders
    _approver: Approver | None
    _clock: Clock
    _demand: Demand

    @property
    def approver_roles(self) -> frozenset[str]:
        """The roles that the approver names, beside `approvers`."""
        return self._approver.roles if self._approver else frozenset()

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
        tool, arguments = self._tools.get(approval.tool), approval.arguments if edited is None else edited
        asked = {"tenant": approval.tenant, "requested_by": approval.requested_by}
        while True:
            # who has to approve depends on what was granted before, so that must still be all when this is stored
            granted = await self.approvals.granted(approval.tenant, approval.tool)
            needs = await self._rule(tool, arguments, granted, **asked) if tool else approval.needs
            await self._demand_may_approve(decision, approval.model_copy(update={"needs": needs}), principal)
            try:
                decided = await self.approvals.decide(
                    decision, principal, edited=edited, needs=needs, granted=len(granted)
                )
                break
            except GrantedMeanwhile:
                continue
        crash_point("decided")
        await self.record_decision(decided, principal)
        return decided

    async def may_decide(self, approval_id: str, principal: Principal, *, approve: bool = True) -> Approval:
        """Return the approval, if the caller may decide it; who asked for it may reject it. Raises NotFound, Forbidden: as `decide`."""
        approval = await self.approvals.get(approval_id, principal.tenant)
        if approval is None:
            raise NotFound(f"There is no approval {approval_id}.")
        withdraws = not approve and is_same_person(approval.requested_by, principal.subject)
        if not withdraws and not principal.roles & self.approver_roles:
            await self._demand_approver(approval, principal)
        return approval

    def is_own(self, approval: Approval, decider: str | None) -> bool:
        """Whether whoever asked for it would approve it alone, where it needs somebody else."""
        if approval.needs is not None and approval.needs.four_eyes is not None:
            return approval.needs.four_eyes and is_same_person(approval.requested_by, decider)
        return self.policy.is_own(approval.requested_by, decider)

    async def record_decision(self, decided: Approval, principal: Principal) -> None:
        """Record a decision; also a repeated one, since the process may have been killed before it wrote the record."""
        reason = (
            "one of several" if decided.status == "pending" else "edited" if decided.edited_hash else decided.status
        )
        by = {"subject": decided.requested_by, "decided_by": principal.subject}
        await self._record(decided, outcome="decided", reason=reason, arguments_hash=decided.granted_hash, **by)

    async def _demand_may_approve(self, decision: Decision, approval: Approval, principal: Principal) -> None:
        """Raises Forbidden: who asked for it approves it alone, none of the caller's roles may, or nobody."""
        needs = approval.needs
        if decision.approve or not is_same_person(approval.requested_by, principal.subject):
            if needs is None:
                await self._demand_approver(approval, principal)
            elif needs.roles and not principal.roles & set(needs.roles):
                await self._refuse(approval, principal, "role", needs.rule, needs.why)
        if not decision.approve:
            return
        if needs is not None and needs.forbidden:
            await self._refuse(approval, principal, "forbidden", needs.rule, f"{needs.forbidden} You may reject it.")
        if self.is_own(approval, principal.subject):
            text = (
                "You asked for this yourself, so somebody else has to approve it; you may reject it. Where one person works "
                "alone, the policy can say so: four_eyes = false."
            )
            await self._refuse(approval, principal, "own", RULES["own"], text)

    async def _demand_approver(self, approval: Approval, principal: Principal) -> None:
        ruling = self.policy.approver(principal)
        if not ruling.allowed:
            await self._refuse(approval, principal, "role", ruling.rule, f"{ruling.why} Ask one of them.")

    async def _refuse(self, approval: Approval, principal: Principal, reason: Denial, rule: str, text: str) -> NoReturn:
        entry = {"reason": reason, "rule": rule, "arguments_hash": approval.arguments_hash}
        await self._record(approval, subject=principal.subject, outcome="denied", **entry)
        raise Forbidden(f"{text} Rule: {rule}.")

    async def _record(self, approval: Approval, **entry: Any) -> None:
        # an approval does not know its run, so the record names the conversation; the call's own record names the run
        entry |= {"tenant": approval.tenant, "tool": approval.tool, "approval_id": approval.approval_id}
        await self._recorders.record(act="decision", run_id=approval.thread_id, **entry)

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
        except ToolException as error:
            raise InvalidRequest(f"It cannot be approved with these arguments: {error}") from error
        return None if fitting == approval.arguments else fitting

    async def _rule(
        self,
        tool: BaseTool,
        arguments: Mapping[str, Any],
        granted: Sequence[Approval],
        *,
        tenant: str,
        requested_by: str,
    ) -> Requirement | None:
        """Return what the approver says of an effect; `None` without one. Raises ComponentError: it failed, so nothing is done."""
        if self._approver is None:
            return None
        asked: dict[str, Any] = {"tenant": tenant, "requested_by": requested_by, "at": self._clock.now()}
        try:
            return await asyncio.to_thread(self._approver.rule, propose(tool, arguments, granted=granted, **asked))
        except SixplyError:
            raise
        except Exception as error:  # foreign code
            name = f"{type(self._approver).__module__}.{type(self._approver).__name__}"
            raise ComponentError(
                f"Nothing was done: {name}, which says who approves {tool.name}, failed with {type(error).__name__}: {error}"
            ) from error


def propose(
    tool: BaseTool,
    arguments: Mapping[str, Any],
    *,
    tenant: str,
    requested_by: str,
    granted: Sequence[Approval],
    at: datetime,
) -> ProposedEffect:
    """Return the effect of a call, its amount with that of what was approved for the same targets. `granted` are the approved calls
    of the same tool and tenant, without this one.
    """
    amount, targets = amount_of(tool, arguments), _targets(tool, arguments)
    earlier = [approval.granted_arguments for approval in granted]
    before = sum((amount_of(tool, one) or Decimal(0) for one in earlier if _targets(tool, one) == targets), Decimal(0))
    total = None if amount is None else amount + before
    asked: dict[str, Any] = {"tenant": tenant, "requested_by": requested_by, "at": at}
    return ProposedEffect(tool=tool.name, arguments=dict(arguments), amount=amount, total=total, **asked)


def _targets(tool: BaseTool, arguments: Mapping[str, Any]) -> dict[str, str]:
    """Return the arguments that say what the effect is for, in one spelling: a sign more must not begin a new sum."""
    roles = roles_of(tool)
    steering = {name: value for name, value in arguments.items() if roles.get(name, "target") == "target"}
    return {name: _spell_plainly(str(value)) for name, value in steering.items() if value is not None}


def _spell_plainly(value: str) -> str:
    return "".join(sign for sign in unicodedata.normalize("NFKC", value).casefold() if sign.isalnum())
