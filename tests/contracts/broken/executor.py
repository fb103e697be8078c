"""Executors that give one promise away each. The contract suite must reject every one of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from foundation.types import Principal
from orchestration.actions import Approval, Decision, ToolOutcome
from orchestration.calls import metadata_of
from orchestration.effects.executor import Executor
from orchestration.effects.policy import Ruling


class IgnoresApprovals(Executor):
    async def _carry_out(self, call: Any, approval: Approval | None) -> ToolOutcome:
        del approval
        return await self._invoke(call, {"idempotency_key": call.key})


class RepeatsEffects(Executor):
    async def _carry_out_once(self, call: Any, approval: Approval) -> ToolOutcome:
        del approval
        return await self._invoke(call, {"idempotency_key": call.key})


class AllowsEveryone(Executor):
    def _refuse_caller(self, tool: str, principal: Principal, run_id: str) -> ToolOutcome | None:
        allowed = Ruling(allowed=tool in {one.name for one in self.tools}, rule="", why="")
        self.policy.tool = lambda *_: allowed  # type: ignore[method-assign]
        return super()._refuse_caller(tool, principal, run_id)


class ForgetsTheTenant(Executor):
    def _refuse_caller(self, tool: str, principal: Principal, run_id: str) -> ToolOutcome | None:
        return super()._refuse_caller(tool, replace(principal, tenant="another"), run_id)


class TakesAnyApproval(Executor):
    """Looks whether something was approved, not what."""

    async def _carry_out(self, call: Any, approval: Approval | None) -> ToolOutcome:
        if approval is not None and approval.status == "approved":
            return await self._carry_out_once(call, approval)
        return await super()._carry_out(call, approval)


class TrustsWhatItIsHanded(Executor):
    """Believes the approval in its hand instead of the one in the store."""

    async def _carry_out(self, call: Any, approval: Approval | None) -> ToolOutcome:
        if approval is not None and (approval.approval_id, approval.status) == (call.approval_id, "approved"):
            return await self._carry_out_once(call, approval)
        return await super()._carry_out(call, approval)


class KeepsApprovalsForever(Executor):
    async def _carry_out_once(self, call: Any, approval: Approval) -> ToolOutcome:
        forever = approval.model_copy(update={"expires_at": approval.expires_at.replace(year=2999)})
        return await super()._carry_out_once(call, forever)


class LetsAnybodyDecide(Executor):
    async def may_decide(self, approval_id: str, principal: Principal, *, approve: bool = True) -> Approval:
        del approve
        found = await self.approvals.get(approval_id, principal.tenant)
        assert found is not None
        return found


class LetsPeopleApproveTheirOwn(Executor):
    def is_own(self, approval: Approval, decider: str | None) -> bool:
        del approval, decider
        return False


class WarnsOnlyAboutWhatMayHappenUnasked(Executor):
    async def _act_or_ask(self, call: Any) -> ToolOutcome:
        if call.tool.name not in self._policy.effects_without_approval:
            return await self._ask(call, [])
        return await super()._act_or_ask(call)


class ActsWhereItWasRejected(Executor):
    async def decide(self, decision: Decision, principal: Principal) -> Approval:
        return await super().decide(decision.model_copy(update={"approve": True}), principal)


class RunsWhatWasAskedNotWhatWasGranted(Executor):
    async def decide(self, decision: Decision, principal: Principal) -> Approval:
        return await super().decide(decision.model_copy(update={"arguments": None}), principal)


class GrantsAnything(Executor):
    async def _check_edited(self, decision: Decision, asked: Approval) -> dict[str, Any] | None:
        return None if decision.arguments == asked.arguments else decision.arguments


class TreatsUndeclaredToolsAsHarmless(Executor):
    async def _carry_out(self, call: Any, approval: Approval | None) -> ToolOutcome:
        if not metadata_of(call.tool, "effect", False):
            return await self._invoke(call, {"idempotency_key": call.key})
        return await super()._carry_out(call, approval)


class ForgetsTheRecord(Executor):
    async def _record_outcome(
        self, outcome: ToolOutcome, principal: Principal, run_id: str, hashed: str
    ) -> ToolOutcome:
        del principal, run_id, hashed
        return outcome


class BelievesThatThePersonSaidEverything(Executor):
    async def _act_or_ask(self, call: Any) -> ToolOutcome:
        if call.tool.name in self._policy.effects_without_approval:
            return await self._carry_out_once(call, None)
        return await self._ask(call, [])


class AsksForEverything(Executor):
    async def _act_or_ask(self, call: Any) -> ToolOutcome:
        return await self._ask(call, [])


class RunsInCircles(Executor):
    def count_call(self, run_id: str) -> bool:
        del run_id
        return True


class TriesAgain(Executor):
    async def _carry_out_once(self, call: Any, approval: Approval | None) -> ToolOutcome:
        outcome = await super()._carry_out_once(call, approval)
        if outcome.status == "failed":
            await self._effects.abandon(call.key)
        return outcome


class AsksAboutTheForbidden(Executor):
    async def _forbidden(self, call: Any, needs: Any) -> ToolOutcome | None:
        del call, needs
        return None


BROKEN: dict[type[Executor], str] = {
    IgnoresApprovals: "an_effect_waits_for_an_approval",
    RepeatsEffects: "an_approved_effect_happens_once_however_often_it_is_called",
    AllowsEveryone: "a_tool_in_no_list_of_the_callers_roles_is_denied",
    ForgetsTheTenant: "a_tool_that_the_tenant_may_not_use_is_denied_whatever_the_role",
    TakesAnyApproval: "an_approval_of_one_call_does_not_serve_another",
    TrustsWhatItIsHanded: "only_the_stored_approval_counts",
    KeepsApprovalsForever: "an_approval_ends_with_its_time",
    LetsAnybodyDecide: "only_an_approver_of_the_same_tenant_decides",
    LetsPeopleApproveTheirOwn: "nobody_approves_their_own",
    WarnsOnlyAboutWhatMayHappenUnasked: "whoever_approves_is_told_what_the_person_did_not_say",
    ActsWhereItWasRejected: "a_rejected_effect_never_happens",
    RunsWhatWasAskedNotWhatWasGranted: "an_approver_may_grant_other_arguments_and_those_are_what_runs",
    GrantsAnything: "an_edit_that_the_tool_does_not_take_decides_nothing",
    TreatsUndeclaredToolsAsHarmless: "a_tool_that_declares_nothing_is_an_effect",
    BelievesThatThePersonSaidEverything: "a_value_that_the_person_did_not_say_needs_an_approval",
    AsksForEverything: "what_the_person_said_is_done_unasked_where_the_operator_allows_it",
    RunsInCircles: "a_run_makes_a_limited_number_of_calls",
    TriesAgain: "an_effect_that_did_not_end_in_time_is_never_tried_again",
    AsksAboutTheForbidden: "what_a_rule_forbids_is_denied_with_the_rule_and_nobody_is_asked",
    ForgetsTheRecord: "every_call_refusal_and_decision_is_recorded",
}
