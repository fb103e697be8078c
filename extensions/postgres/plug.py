"""Where PostgreSQL plugs in, beside its adapters: a decision is carried out by one replica alone."""

from extensions.postgres.claiming import ClaimingAgent
from extensions.postgres.records import SharedRecords
from orchestration.contract import Agent
from orchestration.effects.approvals import SqliteApprovals
from serving.hooks import Around, Hooks


def plug(hooks: Hooks) -> None:
    context = hooks.context
    if not isinstance(context.records, SharedRecords):
        return
    records = hooks.keep(context.records)

    def claim(agent: Agent) -> Agent:
        approvals = SqliteApprovals(context.data_dir / "approvals.sqlite", context.clock, records)
        return ClaimingAgent(agent, hooks.keep(approvals), records)

    hooks.agents[Around.CLAIM] = claim
