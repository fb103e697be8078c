"""Open the parts of layer 4: tools, approvals, the executor, checkpoints, and the agent."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.tools import BaseTool
from langgraph.checkpoint.base import BaseCheckpointSaver

from foundation.components import Assembly
from foundation.errors import InvalidSetting, did_you_mean
from models.contract import BaseChatModel
from orchestration.actions import Approval
from orchestration.contract import Agent, AgentParts, Approver, Demand, ToolParts
from orchestration.effects.approvals import SqliteApprovals
from orchestration.effects.effect_log import SqliteEffects
from orchestration.effects.executor import Executor
from orchestration.effects.policy import Policy
from orchestration.effects.records import Recorders
from orchestration.run.spending import SqliteSpending
from orchestration.run.wrapping import TenantAgents
from orchestration.settings import OrchestrationSettings, PolicySettings
from retrieval.contract import DocumentLedger, Retriever

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Orchestration:
    """The open parts of layer 4 without the agent, which `open_agent` builds from them and the other layers."""

    tools: tuple[BaseTool, ...]
    approvals: SqliteApprovals
    recorders: Recorders
    executor: Executor
    spending: SqliteSpending
    checkpoints: BaseCheckpointSaver[Any]


def open_orchestration(
    settings: OrchestrationSettings,
    assembly: Assembly,
    *,
    recorders: Recorders,
    announcers: Sequence[Callable[[Approval], None]] = (),
    demand: Demand = lambda *_: None,
    ledger: DocumentLedger,
    retriever: Retriever,
) -> Orchestration:
    """Open the parts and stores of layer 4. Raises ConfigurationError: one of them cannot be built or opened."""
    data, clock, records = assembly.context.data_dir, assembly.context.clock, assembly.context.records
    reading = ToolParts(
        **vars(assembly.context), ledger=ledger, retriever=retriever, scope_of=Policy(settings.policy).scope
    )
    tools = tuple(
        tool for chosen in settings.tools for tool in assembly.part("orchestration.tools", chosen, context=reading)
    )
    approvals = assembly.keep(SqliteApprovals(data / "approvals.sqlite", clock, records))

    def announce(approval: Approval) -> None:
        until = approval.expires_at.isoformat(timespec="minutes")
        log.info(
            "approval %r of tenant %r waits: %r, until %s",
            approval.approval_id,
            approval.tenant,
            approval.tool,
            until,
        )
        for tell in announcers:
            tell(approval)

    return Orchestration(
        tools=tools,
        approvals=approvals,
        recorders=recorders,
        executor=Executor(
            tools=tools,
            policy=settings.policy,
            approvals=approvals,
            effects=assembly.keep(SqliteEffects(data / "effects.sqlite", records)),
            recorders=recorders,
            clock=clock,
            approver=_open_approver(settings.policy, assembly),
            demand=demand,
            announce=announce,
        ),
        spending=assembly.keep(SqliteSpending(data / "spending.sqlite", settings.budget, clock, records)),
        checkpoints=assembly.part("orchestration.checkpoints", settings.checkpoints),
    )


def _open_approver(policy: PolicySettings, assembly: Assembly) -> Approver:
    approver: Approver = assembly.part("orchestration.policy.approver", policy.approver, Approver)
    if unknown := sorted(approver.roles - {*policy.roles, *policy.approvers}):
        raise InvalidSetting(
            f'The policy\'s [approver] names the role "{unknown[0]}", which nobody can have. '
            f"{did_you_mean(unknown[0], {*policy.roles, *policy.approvers})} Or add it to [roles], also without a tool."
        )
    return approver


def open_agent(
    settings: OrchestrationSettings,
    assembly: Assembly,
    parts: AgentParts,
    tenants: Mapping[str, BaseChatModel] | None = None,
) -> Agent:
    """Build the agent of `[orchestration.agent]`: another one for each tenant with its own chat model, since an agent depends
    on its model's abilities. Raises ConfigurationError: it cannot be built.
    """

    def open_with(chat: BaseChatModel) -> Agent:
        agent: Agent = assembly.part("orchestration.agent", settings.agent, Agent, context=replace(parts, chat=chat))
        return agent

    agents = {tenant: open_with(chat) for tenant, chat in {"": parts.chat, **(tenants or {})}.items()}
    everybody = agents.pop("")
    return TenantAgents(everybody, agents) if agents else everybody
