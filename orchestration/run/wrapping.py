"""Wrappers of an agent that see its events on their way out. One chooses the agent by tenant."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, cast

from foundation.types import Principal
from orchestration.actions import Decision
from orchestration.contract import Agent, ConversationStore
from orchestration.events import Conversation, Event, Turn
from orchestration.requests import AnswerRequest


class AgentWrapper:
    """An `Agent` around `inner`, which provides every attribute that the wrapper lacks."""

    def __init__(self, inner: Agent) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # not set yet while the wrapper is being copied
            raise AttributeError(name)
        return getattr(self.inner, name)

    def of(self, principal: Principal) -> Agent:
        """Return the agent that answers this caller."""
        del principal
        return self.inner

    def stream(self, request: AnswerRequest, principal: Principal) -> AsyncGenerator[Event, None]:
        return self._pass_on(self.of(principal).stream(request, principal), principal)

    def resume(self, decision: Decision, principal: Principal) -> AsyncGenerator[Event, None]:
        return self._pass_on(self.of(principal).resume(decision, principal), principal)

    async def _pass_on(self, events: AsyncIterator[Event], principal: Principal) -> AsyncGenerator[Event, None]:
        """Yield the events of one run of `principal`; close `events` when closed."""
        del principal
        async with aclosing(events) as source:  # type: ignore[type-var]
            async for event in source:
                yield event


class TenantAgents(AgentWrapper):
    """Passes each call to the agent of the caller's tenant, where it has its own chat model, else to `inner`."""

    def __init__(self, inner: Agent, tenants: Mapping[str, Agent]) -> None:
        super().__init__(inner)
        self._tenants = tenants

    def of(self, principal: Principal) -> Agent:
        return self._tenants.get(principal.tenant, self.inner)

    @property
    def conversations(self) -> ConversationStore:
        """The conversations of the caller's tenant. Raises AttributeError: the agent keeps none."""
        cast("Any", self.inner).conversations  # noqa: B018
        return _TenantConversations(self)


class _TenantConversations:
    # only the agent of the tenant knows which of its conversations are busy

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
