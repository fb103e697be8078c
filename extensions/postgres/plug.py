"""Where PostgreSQL plugs in, beside its adapters: a decision is carried out by one replica alone, and `make doctor` warns."""

from functools import partial

from extensions.postgres.claiming import ClaimingAgent
from extensions.postgres.records import SharedRecords
from orchestration.contract import Agent
from orchestration.effects.approvals import SqliteApprovals
from serving.hooks import Around, Check, Hooks
from serving.settings import Settings


def plug(hooks: Hooks) -> None:
    hooks.checks.append(partial(check_records, hooks.settings))
    context = hooks.context
    if not isinstance(context.records, SharedRecords):
        return
    records = hooks.keep(context.records)

    def claim(agent: Agent) -> Agent:
        approvals = SqliteApprovals(context.data_dir / "approvals.sqlite", context.clock, records)
        return ClaimingAgent(agent, hooks.keep(approvals), records)

    hooks.agents[Around.CLAIM] = claim


def check_records(settings: Settings) -> Check:
    """Warn where several replicas may run and each would keep its own approvals."""
    use, advice = settings.foundation.records.use, ""
    if use == "sqlite" and settings.retrieval.ledger.use == "postgres" and settings.orchestration.tools:
        advice = (
            'Works for one replica. Several would each have their own approvals: [foundation.records] use = "postgres".'
        )
    return Check("records", ok=True, found=use, advice=advice)
