"""The executor: the only code that calls tools.

It checks the caller, the arguments, the permission (an effect needs an approval of exactly this call or, where the policy
lists it in `effects_without_approval`, arguments traced to the person's own words) and repetition. Every call, refusal and decision is
recorded before its outcome is returned.

A tool reads its caller from the RunnableConfig: `configurable["principal"]`, and for an effect `["idempotency_key"]` and
`["approved_by"]`. Raising `ToolException` means that nothing happened; its text is shown to people.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

from langchain_core.tools import BaseTool, ToolException

from foundation.clock import Clock
from foundation.errors import BudgetExceeded, Conflict, InvalidSetting, SixplyError, Stopped, suggest
from foundation.machine.deadline import in_thread_within
from foundation.output.rendering import encodable
from foundation.stores.crashpoints import crash_point
from foundation.types import Principal
from orchestration.actions import Approval, Completion, Origin, Preview, Prohibition, Requirement, ToolOutcome
from orchestration.calls import (
    CALL_ID,
    RULES,
    Call,
    Denial,
    Invoke,
    advise_after_failure,
    arguments_hash,
    as_asked_before,
    as_done_before,
    ask_tool,
    check_in_time,
    demand_described,
    deny,
    describe_call,
    fail,
    fill_open_arguments,
    find_mismatch,
    has_hidden_characters,
    keep_plain,
    metadata_of,
)
from orchestration.contract import Approver, Demand
from orchestration.effects.approvals import SAME_REQUEST, SqliteApprovals, TooManyWaiting
from orchestration.effects.decisions import Decisions
from orchestration.effects.effect_log import SqliteEffects
from orchestration.effects.offered import OfferedTool
from orchestration.effects.policy import Policy
from orchestration.effects.records import Recorders
from orchestration.effects.values import list_reasons_to_ask
from orchestration.settings import PolicySettings

TIMEOUT_S = 30.0
# Most seconds of tracing the values of one effect; after that a person decides
TRACING_S = 10.0
COUNTED_RUNS = 10_000
WAITS = "This needs the approval of a colleague; nothing has been done yet."


class Executor(Decisions):
    """Calls tools under the policy. Raises InvalidSetting: two tools share a name, or one's arguments or metadata cannot be checked."""

    def __init__(
        self,
        *,
        tools: Sequence[BaseTool],
        policy: PolicySettings,
        approvals: SqliteApprovals,
        effects: SqliteEffects,
        recorders: Recorders,
        clock: Clock,
        approver: Approver | None = None,
        demand: Demand = lambda *_: None,
        announce: Callable[[Approval], None] = lambda _: None,
    ) -> None:
        if strange := [tool for tool in tools if not isinstance(tool, BaseTool)]:
            gave = f"A `build` of [[orchestration.tools]] gave {strange[0]!r:.200}, which is no tool."
            raise InvalidSetting(f"{gave} Put LangChain's @tool before a function, and the tools into a list.")
        names = Counter(tool.name for tool in tools)
        if doubled := next((name for name, times in names.items() if times > 1), None):
            raise InvalidSetting(f'Two tools are named "{doubled}". Rename one of them.')
        for tool in tools:
            demand_described(tool)
        self._tools, self._policy, self.policy = {tool.name: tool for tool in tools}, policy, Policy(policy)
        self.approvals, self._effects, self._recorders = approvals, effects, recorders
        self._approver = approver
        self._clock, self._demand, self._announce = clock, demand, announce
        self._calls: OrderedDict[str, int] = OrderedDict()
        # weak references: a lock is dropped when no call with its key is running
        self._acting: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @cached_property
    def tools(self) -> tuple[BaseTool, ...]:
        """Every tool, allowed or not, to be shown and not to be called. Planners need all, to tell a forbidden request from a question."""
        return tuple(map(OfferedTool.of, self._tools.values()))

    def allowed_tools(self, principal: Principal) -> frozenset[str]:
        """Return the names of the tools that the caller's roles and tenant allow."""
        return frozenset(name for name in self._tools if self.policy.tool(name, principal).allowed)

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
        through: Invoke | None = None,
    ) -> ToolOutcome:
        """Call `tool` and return the outcome, which may be a refusal or a failure of the tool. Broken stores raise.

        An effect happens once for its run, `step` and arguments. `call_id` is the model's id of the call: another call with the
        same key is told that it was done before. The argument values are traced to `origin`.
        `through` calls a tool that only reads, so that it may be tried again.
        """
        if refusal := self._refuse_caller(tool, principal, run_id):
            hashed = ""
            with suppress(TypeError, ValueError):  # as a model sent them, they may have no canonical form
                hashed = arguments_hash(tool, principal.tenant, arguments)
            return await self._record_outcome(refusal, principal, run_id, hashed)
        try:
            fitting = await check_in_time(self._tools[tool], arguments)
        except ToolException as error:
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
            through=through,
        )
        outcome = await self._carry_out(call, approval)
        granted = outcome.approval
        return await self._record_outcome(outcome, principal, run_id, granted.granted_hash if granted else call.hash)

    def _refuse_caller(self, tool: str, principal: Principal, run_id: str) -> ToolOutcome | None:
        """Return a refusal where the caller may not call the tool, whatever its arguments; else `None`."""

        def refuse(reason: Denial, content: str, rule: str = "") -> ToolOutcome:
            return ToolOutcome(tool=tool, status="denied", content=content, reason=reason, rule=rule or RULES[reason])

        # counted before the policy is checked, so that a model that keeps asking for forbidden tools also ends
        if not self.count_call(run_id):
            return refuse("limit", self.too_many_calls)
        if tool not in self._tools:
            wrong = f"There is no tool named {tool}. {suggest(tool, self.allowed_tools(principal))}"
            return ToolOutcome(tool=tool, status="failed", content=wrong.rstrip(), reason="arguments")
        ruling = self.policy.tool(tool, principal)
        if not ruling.allowed and ruling.rule.startswith("tenants."):
            return refuse("tenant", f"{tool} is not open to your organisation. Ask the operator.", ruling.rule)
        if not ruling.allowed:
            return refuse("role", f"Your role may not use {tool}. Ask a colleague who may.", ruling.rule)
        stopped = self._stop_reason(self._tools[tool], principal)
        return refuse("stopped", f"Nothing was done. {stopped}") if stopped else None

    async def _carry_out(self, call: Call, approval: Approval | None) -> ToolOutcome:
        if not metadata_of(call.tool, "effect", True):
            return await self._invoke(call, {})
        call = await self._as_taken_back(call)
        # an approval of an equal call may have been decided, and the stored one counts, never the one in the caller's hand
        approval_id = approval.approval_id if approval else call.approval_id
        stored = await self.approvals.get(approval_id, call.principal.tenant)
        if approval is None and (stored is None or stored.status == "pending"):
            return await self._act_or_ask(call)
        if stored is None:
            return deny(call, "approval", "There is no such approval.")
        return await self._act_as_approved(call, stored)

    async def _act_as_approved(self, call: Call, stored: Approval) -> ToolOutcome:
        if metadata_of(call.tool, "complete_arguments", None):
            # as settled then, since the effect may have changed the data
            call = fill_open_arguments(call, stored.arguments)
        if refusal := find_mismatch(call, stored):
            return refusal
        if self.is_own(stored, stored.decided_by):  # decided before the policy wanted two people
            return deny(call, "own", f"{stored.decided_by} asked for it and approved it alone. Ask for it again.")
        if stored.edited is not None:
            call = replace(call, arguments=stored.edited)
            if call.hash != stored.edited_hash:
                return deny(call, "mismatch", "The approval was given for something else.")
        return (await self._carry_out_once(call, stored)).model_copy(update={"approval": stored})

    async def _as_taken_back(self, call: Call) -> Call:
        """Return the call as that of a run which was taken back from the conversation, where an equal one was made or waits."""
        for earlier in (replace(call, run_id=run_id) for run_id in call.origin.taken_back):
            asked = await self.approvals.get(earlier.approval_id, call.principal.tenant)
            waits = asked is not None and asked.status == "pending"
            if waits or earlier.key in await self._effects.keys_of(call.principal):
                return earlier
        return call

    async def _act_or_ask(self, call: Call) -> ToolOutcome:
        try:
            # a conversation may be a megabyte long
            reasons = await in_thread_within(
                TRACING_S, list_reasons_to_ask, call.tool, call.arguments, call.origin, self._tools
            )
        except BudgetExceeded:
            reasons = [f"comparing it with what the person said takes longer than {TRACING_S:g} s"]
        may_act = call.tool.name in self._policy.effects_without_approval and await self._needs(call) is None
        if not may_act or (reasons and call.key not in await self._effects.keys_of(call.principal)):
            return await self._ask(call, reasons)
        outcome = await self._carry_out_once(call, None)
        on_words = outcome.status == "done" and not outcome.reason
        return outcome.model_copy(update={"reason": "words"}) if on_words else outcome

    async def _ask(self, call: Call, reasons: Sequence[str]) -> ToolOutcome:
        """Request an approval, or refuse where the effect is forbidden or impossible."""
        completed: Completion | None = metadata_of(call.tool, "complete_arguments", None)
        preview: Preview = metadata_of(call.tool, "preview", None) or (lambda *_: describe_call(call))
        try:
            if completed:
                call = fill_open_arguments(call, await ask_tool(completed, call.arguments, call.principal))
            needs = await self._needs(call)
            if refusal := await self._forbidden(call, needs):
                return refusal
            described = await ask_tool(preview, call.arguments, call.principal)
        except ToolException as error:
            return fail(call, "tool", str(error))
        described += f" {needs.why}" if needs and needs.why else ""
        if hidden := [name for name, value in call.arguments.items() if has_hidden_characters(value)]:
            described += f" Careful, there are characters that cannot be seen in: {', '.join(hidden)}."
        if reasons:
            described += f" Note: {'; '.join(reasons)}."
        now = self._clock.now()
        asked = Approval(
            approval_id=call.approval_id,
            thread_id=call.thread_id,
            tenant=call.principal.tenant,
            requested_by=call.principal.subject,
            tool=call.tool.name,
            arguments=call.arguments,
            arguments_hash=call.hash,
            reason=described,
            asked=call.origin.asked,
            request_hash=call.request_hash,
            needs=needs,
            requested_at=now,
            expires_at=now + timedelta(hours=self._policy.approval_expires_h),
        )
        return await self._request(call, asked)

    async def _request(self, call: Call, asked: Approval) -> ToolOutcome:
        try:
            approval = await self.approvals.request(asked)
        except TooManyWaiting as error:
            return deny(call, "limit", str(error), rule="")
        if approval.approval_id != call.approval_id:
            return as_asked_before(call, approval, SAME_REQUEST)
        # completing the arguments changed the hash, and a call with that hash may have been decided before
        if approval.status != "pending":
            return await self._carry_out(call, approval)
        self._announce(approval)
        crash_point("approval_asked")
        waits: dict[str, Any] = {"approval": approval, "reason": "approval", "rule": RULES["approval"]}
        return ToolOutcome(tool=call.tool.name, status="waiting", content=f"{asked.reason} {WAITS}", **waits)

    async def _needs(self, call: Call, approval: Approval | None = None) -> Requirement | None:
        """Return what the approver says of the call beside what was approved before; `approval` is its own."""
        own, person = approval.approval_id if approval else call.approval_id, call.principal
        granted = await self.approvals.granted(person.tenant, call.tool.name)
        others = [other for other in granted if other.approval_id != own]
        return await self._rule(call.tool, call.arguments, others, tenant=person.tenant, requested_by=person.subject)

    async def _carry_out_once(self, call: Call, approval: Approval | None) -> ToolOutcome:
        """Carry an effect out unless it was before. `approval` is `None` where the person's own words suffice."""
        async with self._acting.setdefault(call.key, asyncio.Lock()):  # a model can make one call twice at once
            return await self._claim_and_act(call, approval)

    async def _claim_and_act(self, call: Call, approval: Approval | None) -> ToolOutcome:
        begun_before = False
        try:
            stored = await self._effects.begin(call.key, call.tool.name, call.hash, call.principal)
        except Conflict as error:
            if not metadata_of(call.tool, "idempotent", False):
                return fail(call, "unknown", str(error))
            stored, begun_before = None, True  # in a run cut off; the tool itself keeps the key from acting twice
        if stored is not None:
            return as_done_before(call, stored)
        if refusal := await self._refuse_now(call, approval, begun_before=begun_before):
            await self._effects.abandon(call.key)
            return refusal
        crash_point("before_effect")
        extra = {"idempotency_key": call.key, "approved_by": approval.decided_by if approval else ""}
        outcome = await self._invoke(call, extra)
        crash_point("after_effect")
        # after a time-out or an unknown failure the key stays begun: nobody knows whether it happened
        if outcome.status == "done":
            await self._effects.finish(call.key, {**outcome.model_dump(mode="json"), CALL_ID: call.call_id})
        elif outcome.reason == "tool":
            await self._effects.abandon(call.key)
        crash_point("after_ledger")
        return outcome

    async def _refuse_now(self, call: Call, approval: Approval | None, *, begun_before: bool) -> ToolOutcome | None:
        """Return a refusal where something has changed since the approval; else `None`."""
        if approval is not None and self._clock.now() >= approval.expires_at:
            return deny(call, "expired", "The approval has expired. Ask for it again.")
        # again: a stop may have come since the check
        if stopped := self._stop_reason(call.tool, call.principal):
            return deny(call, "stopped", stopped)
        # the earlier, unfinished call may itself be why it is forbidden now
        return None if begun_before else await self._forbidden(call, await self._needs(call, approval))

    async def _invoke(self, call: Call, extra: Mapping[str, Any]) -> ToolOutcome:
        try:
            async with asyncio.timeout(metadata_of(call.tool, "timeout_s", TIMEOUT_S)):
                message = await call.invoke(extra)
        except TimeoutError:
            return fail(call, "timeout", f"{call.tool.name} did not end in time. {advise_after_failure(call)}")
        except ToolException as error:
            return fail(call, "tool", str(error))
        except SixplyError:
            raise
        except Exception as error:  # a tool is foreign code, and its exceptions must not end the run
            name = type(error).__name__
            return fail(call, "unknown", f"{call.tool.name} failed with {name}. {advise_after_failure(call)}")
        if message.status == "error":  # a tool with handle_tool_error
            return fail(call, "tool", message.text)
        done: dict[str, Any] = {"arguments": call.arguments, "artifact": keep_plain(message.artifact)}
        return ToolOutcome(tool=call.tool.name, status="done", content=encodable(message.text), **done)

    async def _forbidden(self, call: Call, needs: Requirement | None) -> ToolOutcome | None:
        """Return a refusal where the approver or a rule of the tool's `check_rules` forbids the effect now, or fails; else `None`."""
        if needs and needs.forbidden:
            return deny(call, "forbidden", needs.forbidden, rule=needs.rule)
        prohibition: Prohibition = metadata_of(call.tool, "check_rules", None) or (lambda *_: None)
        try:
            violation = await asyncio.to_thread(prohibition, call.arguments, call.principal)
        except ToolException as error:
            return fail(call, "tool", str(error))
        except Exception as error:  # foreign code, like the tool: nothing is done that could not be checked
            name = type(error).__name__
            return fail(call, "tool", f"Nothing was done: the rules for {call.tool.name} failed with {name}.")
        return deny(call, "forbidden", violation[1], rule=violation[0]) if violation else None

    def _stop_reason(self, tool: BaseTool, principal: Principal) -> str:
        """Return why a guard stops this call; empty where none does."""
        try:
            self._demand("tenant", principal.tenant)
            if metadata_of(tool, "effect", True):
                self._demand("effects")
        except Stopped as error:
            return str(error)
        return ""

    def count_call(self, run_id: str) -> bool:
        """Count a call of the run, also of a tool that bypasses the executor; return whether the policy allows it."""
        self._calls[run_id] = self._calls.pop(run_id, 0) + 1
        # runs do not say when they end, so the oldest counts go
        while len(self._calls) > COUNTED_RUNS:
            self._calls.popitem(last=False)
        return self._calls[run_id] <= self._policy.calls_per_run

    @property
    def too_many_calls(self) -> str:
        return f"This run has made its {self._policy.calls_per_run} tool calls. Ask again, for less at a time."

    async def _record_outcome(
        self, outcome: ToolOutcome, principal: Principal, run_id: str, hashed: str
    ) -> ToolOutcome:
        approval = outcome.approval
        await self._recorders.record(
            tenant=principal.tenant,
            subject=principal.subject,
            run_id=run_id,
            tool=outcome.tool,
            arguments_hash=hashed,
            outcome=outcome.status,
            reason=outcome.reason,
            rule=outcome.rule,
            approval_id=approval and approval.approval_id,
            decided_by=approval and approval.decided_by,
        )
        return outcome
