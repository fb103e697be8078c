"""The one door through which tools are called.

Whatever a model, a document or a route asks for passes here: who may (allow-list by role, deny by default), with what
(the tool's schema, nothing unknown), on whose word (an effect needs an approval of exactly this call, or, where the
operator lists it as `unasked`, arguments that are traced to the person's own words), and how often (the effect ledger; a
cap on the calls of a run). Every call, refusal and decision is in the audit before anybody hears of it.

What a tool says of itself stands in `contract.ToolMetadata`. It finds the caller in the RunnableConfig:
`configurable["principal"]`, and for an effect `["idempotency_key"]` and `["approved_by"]`. `ToolException` means: it did
not happen, and the text is fit for a person.
"""

from __future__ import annotations

import asyncio
import json
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal
from weakref import WeakValueDictionary

from langchain_core.messages import ToolMessage
from langchain_core.tools import ToolException

from foundation.clock import Clock
from foundation.errors import Conflict, Forbidden, InvalidRequest, InvalidSetting, NotFound, SixplyError, Stopped
from foundation.kill_switches import Stops
from foundation.output.rendering import encodable, one_line
from foundation.stores.crashpoints import crash_point
from foundation.types import Principal
from orchestration.contract import (
    Approval,
    ApprovalStore,
    AuditLog,
    AuditRecord,
    BaseTool,
    Completion,
    Decision,
    EffectLog,
    Origin,
    Preview,
    Prohibition,
    ToolOutcome,
)
from orchestration.effects.arguments import (
    UnfitArguments,
    arguments_hash,
    check_arguments,
    demand_metadata,
    demand_schema,
)
from orchestration.effects.effect_log import effect_key
from orchestration.effects.policy import Policy, Ruling
from orchestration.effects.provenance import doubts, without_what_was_read
from orchestration.settings import PolicySettings

TIMEOUT_S = 30.0
COUNTED_RUNS = 10_000
WAITS = "This needs the approval of a colleague; nothing has been done yet."
CALL_ID = "call_id"
"""Beside a result in the effect log: the id of the model's call that did it."""

Denial = Literal[
    "role", "tenant", "limit", "stopped", "approval", "mismatch", "rejected", "expired", "own", "forbidden"
]
RULES: Mapping[Denial, str] = {
    "limit": "calls_per_run",
    "stopped": "stops",
    "approval": "unasked",
    "mismatch": "unasked",
    "rejected": "approvers",
    "expired": "approval_expires_h",
    "own": "four_eyes",
}
"""The setting of the policy behind each denial. For a role and a tenant the ruling names it, for what is
forbidden the tool."""


@dataclass(frozen=True, kw_only=True)
class _Call:
    """One checked call, bound to its place in one run."""

    tool: BaseTool
    arguments: dict[str, Any]
    principal: Principal
    run_id: str
    thread_id: str
    step: int
    origin: Origin
    call_id: str

    @property
    def hash(self) -> str:
        return arguments_hash(self.tool.name, self.principal.tenant, self.arguments)

    @property
    def key(self) -> str:
        return effect_key(self.run_id, self.step, self.hash)

    @property
    def approval_id(self) -> str:
        """Derived from the key: an approval can serve this call and no other, and is asked for once."""
        return f"ap-{self.key[:32]}"

    def metadata_value(self, name: str, default: Any) -> Any:
        return (self.tool.metadata or {}).get(name, default)


class Executor:
    """Calls tools under the policy in force.

    Raises at construction:
        InvalidSetting: two tools of one name, or a tool whose arguments cannot be checked or whose metadata has a key
            that nobody reads.
    """

    def __init__(
        self,
        *,
        tools: Sequence[BaseTool],
        policy: PolicySettings,
        approvals: ApprovalStore,
        effects: EffectLog,
        audit: AuditLog,
        clock: Clock,
        stops: Stops | None = None,
        announce: Callable[[Approval], None] = lambda _: None,
    ) -> None:
        self._stops = stops
        self._announce = announce
        self._tools = _by_name(tools)
        self._policy = policy
        self.policy = Policy(policy)
        self._approvals = approvals
        self._effects = effects
        self._audit = audit
        self._clock = clock
        self._calls: OrderedDict[str, int] = OrderedDict()
        self._acting: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def tools(self) -> tuple[BaseTool, ...]:
        """Every tool, allowed or not: for planning, so that a refusal can be told from a question."""
        return tuple(self._tools.values())

    @property
    def approvals(self) -> ApprovalStore:
        return self._approvals

    def allowed_tools(self, principal: Principal) -> frozenset[str]:
        """Names of the tools that the caller may call. No role, no tool."""
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
        """Call `tool`, or say why not. Refusals and failures of the tool are outcomes; broken stores raise.

        `step` numbers the tool calls of the run `run_id`: an effect happens once for its run, step and arguments. `call_id`
        tells a model's second call of one step from the first, taken up again: the second is told that it is done.
        `origin` is what its values may be traced to.
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
        call = _Call(
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
        hashed = (granted.edited_hash or granted.arguments_hash) if granted else call.hash
        return await self._record_outcome(outcome, principal, run_id, hashed)

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
        await self._record_decision(decided, principal)
        return decided

    async def decide_again(self, decided: Approval, principal: Principal) -> None:
        """Record that somebody repeats a decision whose run was cut off: whoever took it may have been killed before its
        own record was written."""
        await self._record_decision(decided, principal)

    async def _record_decision(self, decided: Approval, principal: Principal) -> None:
        await self._audit.record(
            AuditRecord(
                act="decision",
                tenant=principal.tenant,
                subject=decided.requested_by,
                run_id=decided.thread_id,  # an approval knows its conversation; the call's own record names the run
                tool=decided.tool,
                arguments_hash=decided.edited_hash or decided.arguments_hash,
                outcome="decided",
                reason="edited" if decided.edited_hash else decided.status,
                approval_id=decided.approval_id,
                decided_by=principal.subject,
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
        await self._audit.record(
            AuditRecord(
                act="decision",
                tenant=principal.tenant,
                subject=principal.subject,
                run_id=approval.thread_id,
                tool=approval.tool,
                arguments_hash=approval.arguments_hash,
                outcome="denied",
                reason=reason,
                rule=rule or RULES[reason],
                approval_id=approval.approval_id,
            )
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

    async def _carry_out(self, call: _Call, approval: Approval | None) -> ToolOutcome:
        if not call.metadata_value("effect", True):
            return await self._invoke(call, {})
        approval_id = approval.approval_id if approval else call.approval_id  # an equal call may have been decided on
        stored = await self._approvals.get(approval_id, call.principal.tenant)
        if approval is None and (stored is None or stored.status == "pending"):
            return await self._act_or_ask(call)
        if stored is not None and call.metadata_value("completed", None):
            call = _fill_open_arguments(
                call, stored.arguments
            )  # settled then; by now the effect itself may have changed the data
        refusal = _find_mismatch(call, stored)
        if refusal is not None or stored is None:
            return refusal or _deny(call, "approval", "There is no such approval.")
        if self.is_own(stored, stored.decided_by):  # decided before the policy wanted two people
            return _deny(call, "own", f"{stored.decided_by} asked for it and approved it alone. Ask for it again.")
        if stored.edited is not None:
            call = replace(call, arguments=stored.edited)
            if call.hash != stored.edited_hash:
                return _deny(call, "mismatch", "The approval was given for something else.")
        return (await self._carry_out_once(call, stored)).model_copy(update={"approval": stored})

    async def _act_or_ask(self, call: _Call) -> ToolOutcome:
        reasons = doubts(call.tool, call.arguments, call.origin, self._tools)
        if call.tool.name not in self._policy.unasked:
            return await self._ask(call, without_what_was_read(reasons, call.tool, call.arguments, call.origin))
        if reasons:
            return await self._ask(call, reasons)
        outcome = await self._carry_out_once(call, None)
        on_words = outcome.status == "done" and not outcome.reason
        return outcome.model_copy(update={"reason": "words"}) if on_words else outcome

    async def _ask(self, call: _Call, reasons: Sequence[str]) -> ToolOutcome:
        """Stop and ask a person, having looked whether the effect is permitted and possible at all."""
        preview: Preview | None = call.metadata_value("preview", None)
        completed: Completion | None = call.metadata_value("completed", None)
        try:
            if completed:
                call = _fill_open_arguments(call, await asyncio.to_thread(completed, call.arguments, call.principal))
            if refusal := await self._forbidden(call):
                return refusal
            described = (
                await asyncio.to_thread(preview, call.arguments, call.principal) if preview else _describe_call(call)
            )
        except ToolException as error:
            return _fail(call, "tool", str(error))
        if hidden := [name for name, value in call.arguments.items() if _has_hidden_characters(value)]:
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
        content = f"{described} {WAITS}"
        return ToolOutcome(
            tool=call.tool.name,
            status="waiting",
            content=content,
            approval=approval,
            reason="approval",
            rule=RULES["approval"],
        )

    async def _carry_out_once(self, call: _Call, approval: Approval | None) -> ToolOutcome:
        """Carry an effect out, unless it has been carried out before. Without an approval: on the person's words."""
        async with self._acting.setdefault(call.key, asyncio.Lock()):  # a model can make one call twice at once
            return await self._claim_and_act(call, approval)

    async def _claim_and_act(self, call: _Call, approval: Approval | None) -> ToolOutcome:
        begun_before = False
        try:
            stored = await self._effects.begin(call.key, call.tool.name, call.hash, call.principal)
        except Conflict as error:
            if not call.metadata_value("idempotent", False):
                return _fail(call, "unknown", str(error))
            stored, begun_before = None, True  # in a run cut off; the tool itself keeps the key from acting twice
        if stored is not None:
            return _as_done_before(call, stored)
        if approval is not None and self._clock.now() >= approval.expires_at:
            await self._effects.abandon(call.key)
            return _deny(call, "expired", "The approval has expired. Ask for it again.")
        if stopped := self._stop_reason(call.tool, call.principal):  # it may have been since the call was checked
            await self._effects.abandon(call.key)
            return _deny(call, "stopped", stopped)
        if not begun_before and (refusal := await self._forbidden(call)):  # else what it did itself may forbid it now
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

    async def _invoke(self, call: _Call, extra: Mapping[str, Any]) -> ToolOutcome:
        request = {"type": "tool_call", "id": call.key, "name": call.tool.name, "args": call.arguments}
        config = {"configurable": {"principal": call.principal, **extra}}
        try:
            async with asyncio.timeout(call.metadata_value("timeout_s", TIMEOUT_S)):
                message: ToolMessage = await call.tool.ainvoke(request, config)  # type: ignore[arg-type]
        except TimeoutError:
            return _fail(call, "timeout", f"{call.tool.name} did not end in time. {_advice_after_failure(call)}")
        except ToolException as error:
            return _fail(call, "tool", str(error))
        except SixplyError:
            raise
        except Exception as error:  # a tool is foreign code; what it raises must not decide how the run ends
            name = type(error).__name__
            return _fail(call, "unknown", f"{call.tool.name} failed with {name}. {_advice_after_failure(call)}")
        if message.status == "error":  # a tool with handle_tool_error
            return _fail(call, "tool", message.text)
        return ToolOutcome(
            tool=call.tool.name,
            status="done",
            content=encodable(message.text),
            arguments=call.arguments,
            artifact=_plain(message.artifact),
        )

    async def _forbidden(self, call: _Call) -> ToolOutcome | None:
        """The refusal, if a rule of the house forbids this effect as things stand, or cannot be looked at."""
        prohibition: Prohibition | None = call.metadata_value("forbidden", None)
        try:
            violation = await asyncio.to_thread(prohibition, call.arguments, call.principal) if prohibition else None
        except ToolException as error:
            return _fail(call, "tool", str(error))
        except Exception as error:  # foreign code, like the tool: nothing is done that could not be checked
            name = type(error).__name__
            return _fail(call, "tool", f"Nothing was done: the rules for {call.tool.name} failed with {name}.")
        if violation is None:
            return None
        rule, text = violation
        return _deny(call, "forbidden", text).model_copy(update={"rule": rule})

    def _stop_reason(self, tool: BaseTool, principal: Principal) -> str:
        """Why the switches forbid this call; empty where they do not."""
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
        """Count one more call of the run; whether the policy has room for it. Tools that pass by the executor, such as searches of
        documents, are counted here too. Old runs are forgotten: a loop is a matter of minutes."""
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
                approval_id=outcome.approval.approval_id if outcome.approval else None,
                decided_by=outcome.approval.decided_by if outcome.approval else None,
            )
        )
        return outcome


def _by_name(tools: Sequence[BaseTool]) -> dict[str, BaseTool]:
    named: dict[str, BaseTool] = {}
    for tool in tools:
        if tool.name in named:
            raise InvalidSetting(f'Two tools are named "{tool.name}". Rename one of them.')
        demand_schema(tool)
        demand_metadata(tool)
        named[tool.name] = tool
    return named


def _plain(artifact: Any) -> Any:
    """The artifact where it is plain JSON, else nothing: what is kept must be readable after a restart."""
    try:
        return json.loads(encodable(json.dumps(artifact, ensure_ascii=False)))
    except (TypeError, ValueError):
        return None


def _as_done_before(call: _Call, stored: Mapping[str, Any]) -> ToolOutcome:
    """The stored result; where another call of the same answer did it, with the words that it was not done again."""
    result = dict(stored)
    first = result.pop(CALL_ID, "")
    outcome = ToolOutcome(**result)
    if first in ("", call.call_id):
        return outcome
    content = (
        f"Already done by an equal call of this answer, so it was not done again. The result was: {outcome.content}"
    )
    return outcome.model_copy(update={"content": content, "reason": "repeated"})


def _fill_open_arguments(call: _Call, settled: Mapping[str, Any]) -> _Call:
    """The call with the arguments that it leaves open as they were settled; those that it states stay."""
    arguments = {name: settled.get(name) if value is None else value for name, value in call.arguments.items()}
    return replace(call, arguments=arguments)


def _find_mismatch(call: _Call, stored: Approval | None) -> ToolOutcome | None:
    """Why the stored approval does not permit this call, or `None` if it does."""
    if stored is None:
        return _deny(call, "approval", "There is no such approval.")
    bound = (stored.approval_id, stored.tool, stored.arguments_hash, stored.tenant)
    if bound != (call.approval_id, call.tool.name, call.hash, call.principal.tenant):
        return _deny(call, "mismatch", "The approval was given for something else.")
    if stored.status == "rejected":
        note = f": {stored.note}" if stored.note else "."
        return _deny(call, "rejected", f"{stored.decided_by} did not approve it{note}")
    if stored.status == "expired":
        return _deny(call, "expired", "The approval has expired. Ask for it again.")
    return None if stored.status == "approved" else _deny(call, "approval", "It has not been approved yet.")


def _deny(call: _Call, reason: Denial, text: str) -> ToolOutcome:
    content = f"Nothing was done. {text}"
    return ToolOutcome(tool=call.tool.name, status="denied", content=content, reason=reason, rule=RULES.get(reason, ""))


def _fail(call: _Call, reason: Literal["tool", "timeout", "unknown"], text: str) -> ToolOutcome:
    return ToolOutcome(tool=call.tool.name, status="failed", content=encodable(text), reason=reason)


def _advice_after_failure(call: _Call) -> str:
    effect = call.metadata_value("effect", True)
    return "Whether it happened is unknown; it is not tried again, a person must look." if effect else "Try again."


def _has_hidden_characters(value: Any) -> bool:
    """Whether the value is another one than whoever looks at it sees."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return any(unicodedata.category(character) in ("Cf", "Cc") and character not in "\n\t\r" for character in text)


def _describe_call(call: _Call) -> str:
    stated = ", ".join(f"{name} = {one_line(value)}" for name, value in call.arguments.items() if value is not None)
    return f"{call.tool.name} with {stated or 'no arguments'}."
