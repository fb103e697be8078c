"""An agent that continues a decided run only if no other replica is continuing it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from foundation.errors import Conflict
from foundation.types import Principal
from orchestration.actions import Decision
from orchestration.contract import Agent
from orchestration.effects.approvals import SqliteApprovals
from orchestration.events import Event
from orchestration.run.wrapping import AgentWrapper


class ClaimingAgent(AgentWrapper):
    """Claims the conversation of a decision for this replica. Raises Conflict: another replica holds it; otherwise as `inner`."""

    def __init__(self, inner: Agent, approvals: SqliteApprovals, records: Any) -> None:
        super().__init__(inner)
        self._approvals, self._claim = approvals, records.claim

    async def resume(self, decision: Decision, principal: Principal) -> AsyncGenerator[Event, None]:
        approval = await self._approvals.get(decision.approval_id, principal.tenant)
        claim = self._claim(approval.thread_id if approval else decision.approval_id)
        free = await asyncio.to_thread(claim.__enter__)
        try:
            if not free:
                raise Conflict("This was decided and is being carried out. Wait for its answer.")
            async with aclosing(super().resume(decision, principal)) as events:
                async for event in events:
                    yield event
        finally:
            await asyncio.to_thread(claim.__exit__, None, None, None)
