"""The executor: the only code that calls tools.

It checks the caller (an allow-list by role, deny by default), the arguments (the tool's schema, nothing unknown), the
permission (an effect needs an approval of exactly this call or, where the policy lists it as `unasked`, arguments
traced to the person's own words) and repetition (the effect log; a cap on the calls of a run). Every call, refusal and
decision is in the audit before its outcome is returned.

A tool describes itself by `ToolMetadata`. It reads the caller from the RunnableConfig: `configurable["principal"]`, and for an effect
`["idempotency_key"]` and `["approved_by"]`. Raising `ToolException` means that nothing happened; its text is shown to people.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from weakref import WeakValueDictionary

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, ToolException

from foundation.clock import Clock
from foundation.components import load_if_there
from foundation.errors import Conflict, InvalidSetting, SixplyError, Stopped
from foundation.kill_switches import Stops
from foundation.output.rendering import encodable
from foundation.stores.crashpoints import crash_point
from foundation.types import Principal
from orchestration.actions import Approval, Completion, Origin, Preview, Prohibition, ToolOutcome
from orchestration.effects.approvals import SqliteApprovals
from orchestration.effects.arguments import (
    UnfitArguments,
    arguments_hash,
    check_arguments,
    demand_described,
)
from orchestration.effects.audit import SqliteAudit
from orchestration.effects.calls import (
    CALL_ID,
    RULES,
    Call,
    Denial,
    advise_after_failure,
    as_done_before,
    deny,
    describe_call,
    fail,
    fill_open_arguments,
    find_mismatch,
    has_hidden_characters,
    keep_plain,
)
from orchestration.effects.decisions import Decisions
from orchestration.effects.effect_log import SqliteEffects
from orchestration.effects.policy import Policy, Ruling
from orchestration.events import AuditRecord
from orchestration.settings import PolicySettings

TIMEOUT_S = 30.0
COUNTED_RUNS = 10_000
UNTRACED = "nothing here tells where its values come from"
"""The doubt about every effect where orchestration/effects/provenance.py was deleted."""
WAITS = "This needs the approval of a colleague; nothing has been done yet."


class Executor(Decisions):
    """Calls tools under the policy. Raises InvalidSetting at construction: two tools have one name, or a tool's
    arguments cannot be checked, or its metadata has an unknown key."""

    def __init__(
        self,
        *,
        tools: Sequence[BaseTool],
        policy: PolicySettings,
        approvals: SqliteApprovals,
        effects: SqliteEffects,
        audit: SqliteAudit,
        clock: Clock,
        stops: Stops | None = None,
        announce: Callable[[Approval], None] = lambda _: None,
    ) -> None:
        names = Counter(tool.name for tool in tools)
        if doubled := next((name for name, times in names.items() if times > 1), None):
            raise InvalidSetting(f'Two tools are named "{doubled}". Rename one of them.')
        for tool in tools:
            demand_described(tool)
        self._tools, self._policy, self.policy = {tool.name: tool for tool in tools}, policy, Policy(policy)
        self.approvals = self._approvals = approvals
        self._effects, self._audit, self._clock, self._stops, self._announce = effects, audit, clock, stops, announce
        self._calls: OrderedDict[str, int] = OrderedDict()
        self._acting: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def tools(self) -> tuple[BaseTool, ...]:
        """Every tool, allowed or not. Planners need all, to tell a forbidden request from a question."""
        return tuple(self._tools.values())

    def allowed_tools(self, principal: Principal) -> frozenset[str]:
        """Return the names of the tools that the caller's roles and tenant allow."""
        return frozenset(name for name in self._tools if self._ruling(name, principal).allowed)

    def _ruling(self, tool: str, principal: Principal) -> Ruling:
        return self.policy.tool(tool, principal)

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        principal: Principal,
        run_id: str,
        thread_id: str,
        step: int,
        origin: Origin = Origin(),  # noqa: B008 - frozen
        approval: Approval | None = None,
        call_id: str = "",
    ) -> ToolOutcome:
        """Call `tool` and return the outcome, which may be a refusal or a failure of the tool. Broken stores raise.

        `step` numbers the tool calls of the run `run_id`: an effect happens once for its run, step and arguments.
        `call_id` is the model's id of the call: another call with the same key is told that it was done before. The
        argument values are traced to `origin`.
        """
        if not self.count_call(run_id):
            return await self._refuse(tool, arguments, principal, run_id, reason="limit")
        ruling = self._ruling(tool, principal)
        if not ruling.allowed or tool not in self._tools:
            reason: Denial = "tenant" if ruling.rule.startswith("tenants.") else "role"
            return await self._refuse(tool, arguments, principal, run_id, reason=reason, rule=ruling.rule)
        if stopped := self._stop_reason(self._tools[tool], principal):
            return await self._refuse(tool, arguments, principal, run_id, reason="stopped", why=stopped)
        try:
            fitting = check_arguments(self._tools[tool], arguments)
        except UnfitArguments as error:
            outcome = ToolOutcome(tool=tool, status="failed", content=str(error), reason="arguments")
            return await self._record_outcome(outcome, principal, run_id, arguments_hash(tool, principal.tenant, {}))
        call = Call(
            tool=self._tools[tool],
            arguments=fitting,
            principal=principal,
            run_id=run_id,
            thread_id=thread_id,
            step=step,
            origin=origin,
            call_id=call_id,
        )
        outcome = await self._carry_out(call, approval)
        granted = outcome.approval
        return await self._record_outcome(outcome, principal, run_id, granted.granted_hash if granted else call.hash)

    async def _carry_out(self, call: Call, approval: Approval | None) -> ToolOutcome:
        if not call.metadata_value("effect", True):
            return await self._invoke(call, {})
        approval_id = approval.approval_id if approval else call.approval_id  # an equal call may have been decided on
        stored = await self._approvals.get(approval_id, call.principal.tenant)
        if approval is None and (stored is None or stored.status == "pending"):
            return await self._act_or_ask(call)
        if stored is not None and call.metadata_value("completed", None):
            # as settled then, since the effect may have changed the data
            call = fill_open_arguments(call, stored.arguments)
        refusal = find_mismatch(call, stored)
        if refusal is not None or stored is None:
            return refusal or deny(call, "approval", "There is no such approval.")
        if self.is_own(stored, stored.decided_by):  # decided before the policy wanted two people
            return deny(call, "own", f"{stored.decided_by} asked for it and approved it alone. Ask for it again.")
        if stored.edited is not None:
            call = replace(call, arguments=stored.edited)
            if call.hash != stored.edited_hash:
                return deny(call, "mismatch", "The approval was given for something else.")
        return (await self._carry_out_once(call, stored)).model_copy(update={"approval": stored})

    async def _act_or_ask(self, call: Call) -> ToolOutcome:
        provenance = load_if_there("orchestration.effects.provenance")
        reasons = provenance.doubts(call.tool, call.arguments, call.origin, self._tools) if provenance else [UNTRACED]
        if call.tool.name not in self._policy.unasked:
            to_look_at = provenance and provenance.without_what_was_read(
                reasons, call.tool, call.arguments, call.origin
            )
            return await self._ask(call, to_look_at or [])
        if reasons:
            return await self._ask(call, reasons)
        outcome = await self._carry_out_once(call, None)
        on_words = outcome.status == "done" and not outcome.reason
        return outcome.model_copy(update={"reason": "words"}) if on_words else outcome

    async def _ask(self, call: Call, reasons: Sequence[str]) -> ToolOutcome:
        """Request an approval, or refuse where the effect is forbidden or impossible."""
        completed: Completion | None = call.metadata_value("completed", None)
        preview: Preview = call.metadata_value("preview", None) or (lambda *_: describe_call(call))
        try:
            if completed:
                call = fill_open_arguments(call, await asyncio.to_thread(completed, call.arguments, call.principal))
            if refusal := await self._forbidden(call):
                return refusal
            described = await asyncio.to_thread(preview, call.arguments, call.principal)
        except ToolException as error:
            return fail(call, "tool", str(error))
        if hidden := [name for name, value in call.arguments.items() if has_hidden_characters(value)]:
            described += f" Careful, there are characters that cannot be seen in: {', '.join(hidden)}."
        if reasons:
            described += f" Careful, this is not what the person said: {', '.join(reasons)}."
        now = self._clock.now()
        approval = await self._approvals.request(
            Approval(
                approval_id=call.approval_id,
                thread_id=call.thread_id,
                tenant=call.principal.tenant,
                requested_by=call.principal.subject,
                tool=call.tool.name,
                arguments=call.arguments,
                arguments_hash=call.hash,
                reason=described,
                asked=call.origin.asked,
                requested_at=now,
                expires_at=now + timedelta(hours=self._policy.approval_expires_h),
            )
        )
        if approval.status != "pending":
            return await self._carry_out(call, approval)
        self._announce(approval)
        crash_point("approval_asked")
        waits: dict[str, Any] = {"approval": approval, "reason": "approval", "rule": RULES["approval"]}
        return ToolOutcome(tool=call.tool.name, status="waiting", content=f"{described} {WAITS}", **waits)

    async def _carry_out_once(self, call: Call, approval: Approval | None) -> ToolOutcome:
        """Carry an effect out unless it was before. `approval` is `None` where the person's own words suffice."""
        async with self._acting.setdefault(call.key, asyncio.Lock()):  # a model can make one call twice at once
            return await self._claim_and_act(call, approval)

    async def _claim_and_act(self, call: Call, approval: Approval | None) -> ToolOutcome:
        begun_before = False
        try:
            stored = await self._effects.begin(call.key, call.tool.name, call.hash, call.principal)
        except Conflict as error:
            if not call.metadata_value("idempotent", False):
                return fail(call, "unknown", str(error))
            stored, begun_before = None, True  # in a run cut off; the tool itself keeps the key from acting twice
        if stored is not None:
            return as_done_before(call, stored)
        if approval is not None and self._clock.now() >= approval.expires_at:
            await self._effects.abandon(call.key)
            return deny(call, "expired", "The approval has expired. Ask for it again.")
        if stopped := self._stop_reason(call.tool, call.principal):  # again: a stop may have come since the check
            await self._effects.abandon(call.key)
            return deny(call, "stopped", stopped)
        if not begun_before and (refusal := await self._forbidden(call)):  # else its own effect may forbid it now
            await self._effects.abandon(call.key)
            return refusal
        crash_point("before_effect")
        extra = {"idempotency_key": call.key, "approved_by": approval.decided_by if approval else ""}
        outcome = await self._invoke(call, extra)
        crash_point("after_effect")
        if outcome.status == "done":
            await self._effects.finish(call.key, {**outcome.model_dump(mode="json"), CALL_ID: call.call_id})
        elif outcome.reason == "tool":
            await self._effects.abandon(call.key)
        crash_point("after_ledger")
        return outcome

    async def _invoke(self, call: Call, extra: Mapping[str, Any]) -> ToolOutcome:
        request = {"type": "tool_call", "id": call.key, "name": call.tool.name, "args": call.arguments}
        config = {"configurable": {"principal": call.principal, **extra}}
        try:
            async with asyncio.timeout(call.metadata_value("timeout_s", TIMEOUT_S)):
                message: ToolMessage = await call.tool.ainvoke(request, config)  # type: ignore[arg-type]
        except TimeoutError:
            return fail(call, "timeout", f"{call.tool.name} did not end in time. {advise_after_failure(call)}")
        except ToolException as error:
            return fail(call, "tool", str(error))
        except SixplyError:
            raise
        except Exception as error:  # a tool is foreign code; what it raises must not decide how the run ends
            name = type(error).__name__
            return fail(call, "unknown", f"{call.tool.name} failed with {name}. {advise_after_failure(call)}")
        if message.status == "error":  # a tool with handle_tool_error
            return fail(call, "tool", message.text)
        done: dict[str, Any] = {"arguments": call.arguments, "artifact": keep_plain(message.artifact)}
        return ToolOutcome(tool=call.tool.name, status="done", content=encodable(message.text), **done)

    async def _forbidden(self, call: Call) -> ToolOutcome | None:
        """Return a refusal where the tool's `forbidden` rule forbids the effect now, or fails; else `None`."""
        prohibition: Prohibition = call.metadata_value("forbidden", None) or (lambda *_: None)
        try:
            violation = await asyncio.to_thread(prohibition, call.arguments, call.principal)
        except ToolException as error:
            return fail(call, "tool", str(error))
        except Exception as error:  # foreign code, like the tool: nothing is done that could not be checked
            name = type(error).__name__
            return fail(call, "tool", f"Nothing was done: the rules for {call.tool.name} failed with {name}.")
        if violation is None:
            return None
        rule, text = violation
        return deny(call, "forbidden", text).model_copy(update={"rule": rule})

    def _stop_reason(self, tool: BaseTool, principal: Principal) -> str:
        """Return why a kill switch stops this call; empty where none does."""
        if self._stops is None:
            return ""
        try:
            self._stops.demand("tenant", principal.tenant)
            if (tool.metadata or {}).get("effect", True):
                self._stops.demand("effects")
        except Stopped as error:
            return str(error)
        return ""

    def count_call(self, run_id: str) -> bool:
        """Count one more call of the run, and return whether the policy allows it. Tools that bypass the executor,
        such as document search, are counted too. Only the last `COUNTED_RUNS` runs are remembered."""
        self._calls[run_id] = self._calls.pop(run_id, 0) + 1
        while len(self._calls) > COUNTED_RUNS:
            self._calls.popitem(last=False)
        return self._calls[run_id] <= self._policy.calls_per_run

    @property
    def too_many_calls(self) -> str:
        return f"This run has made its {self._policy.calls_per_run} tool calls. Ask again, for less at a time."

    async def _refuse(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        principal: Principal,
        run_id: str,
        *,
        reason: Denial,
        rule: str = "",
        why: str = "",
    ) -> ToolOutcome:
        content = {
            "role": f"Your role may not use {tool}. Ask a colleague who may.",
            "tenant": f"{tool} is not open to your organisation. Ask the operator.",
            "stopped": f"Nothing was done. {why}",
            "limit": self.too_many_calls,
        }[reason]
        rule = rule or RULES[reason]
        outcome = ToolOutcome(tool=tool, status="denied", content=content, reason=reason, rule=rule)
        try:
            hashed = arguments_hash(tool, principal.tenant, arguments)
        except (TypeError, ValueError):  # a refusal must not depend on what was sent
            hashed = ""
        return await self._record_outcome(outcome, principal, run_id, hashed)

    async def _record_outcome(
        self, outcome: ToolOutcome, principal: Principal, run_id: str, hashed: str
    ) -> ToolOutcome:
        approval = outcome.approval
        await self._audit.record(
            AuditRecord(
                tenant=principal.tenant,
                subject=principal.subject,
                run_id=run_id,
                tool=outcome.tool,
                arguments_hash=hashed,
                outcome=outcome.status,
                reason=outcome.reason,
                rule=outcome.rule,
                approval_id=approval.approval_id if approval else None,
                decided_by=approval.decided_by if approval else None,
            )
        )
        return outcome
