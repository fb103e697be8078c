"""An agent for each tenant whose chat model is its own, and one for all others: each caller gets that of their tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

from foundation.types import Principal
from orchestration.contract import Agent, AnswerRequest, Conversation, ConversationStore, Decision, Event, Turn


class TenantAgents:
    """An `Agent`. The tenant is that of the credential; a conversation and an approval belong to one tenant."""

    def __init__(self, everybody: Agent, tenants: Mapping[str, Agent]) -> None:
        self.everybody, self._tenants = everybody, tenants

    def __getattr__(self, name: str) -> Any:
        if name == "everybody":  # not set yet while the wrapper is being copied
            raise AttributeError(name)
        return getattr(self.everybody, name)

    def of(self, principal: Principal) -> Agent:
        return self._tenants.get(principal.tenant, self.everybody)

    def stream(self, request: AnswerRequest, principal: Principal) -> AsyncIterator[Event]:
        return self.of(principal).stream(request, principal)

    def resume(self, decision: Decision, principal: Principal) -> AsyncIterator[Event]:
        return self.of(principal).resume(decision, principal)

    @property
    def conversations(self) -> ConversationStore:
        """Raises AttributeError where the agent keeps none."""
        cast("Any", self.everybody).conversations  # noqa: B018
        return _TenantConversations(self)


class _TenantConversations:
    """A `ConversationStore`: that of the caller's agent, which knows what is busy there."""

    def __init__(self, agents: TenantAgents) -> None:
        self._agents = agents

    def _of(self, principal: Principal) -> ConversationStore:
        return cast("ConversationStore", cast("Any", self._agents.of(principal)).conversations)

    async def all(self, principal: Principal) -> list[Conversation]:
        return await self._of(principal).all(principal)

    async def turns(self, thread_id: str, principal: Principal) -> list[Turn]:
        return await self._of(principal).turns(thread_id, principal)

    async def delete(self, thread_id: str, principal: Principal) -> None:
        await self._of(principal).delete(thread_id, principal)
