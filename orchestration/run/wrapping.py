"""Agents around an agent: each sees the events on their way out. One breaks off what an operator stops, one chooses by tenant."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any, cast

from foundation.errors import Stopped
from foundation.kill_switches import Stops, unless_stopped
from foundation.types import Principal
from orchestration.actions import Decision
from orchestration.contract import Agent, ConversationStore
from orchestration.events import Conversation, Event, Turn
from orchestration.requests import AnswerRequest
from orchestration.run.answering import error_event, stream_from


class AgentWrapper:
    """An `Agent` around `inner`. What it does not define itself is that of `inner`."""

    def __init__(self, inner: Agent) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # not set yet while the wrapper is being copied
            raise AttributeError(name)
        return getattr(self.inner, name)

    def of(self, principal: Principal) -> Agent:
        """The agent that answers this caller."""
        del principal
        return self.inner

    async def stream(self, request: AnswerRequest, principal: Principal) -> AsyncGenerator[Event, None]:
        async with aclosing(self._pass_on(self.of(principal).stream(request, principal), principal)) as events:
            async for event in events:
                yield event

    async def resume(self, decision: Decision, principal: Principal) -> AsyncGenerator[Event, None]:
        async with aclosing(self._pass_on(self.of(principal).resume(decision, principal), principal)) as events:
            async for event in events:
                yield event

    async def _pass_on(self, events: AsyncIterator[Event], principal: Principal) -> AsyncGenerator[Event, None]:
        """The events of one run of `principal`; it closes `events` when it is closed."""
        del principal
        async with aclosing(events) as source:  # type: ignore[type-var]
            async for event in source:
                yield event


class StoppableAgent(AgentWrapper):
    """Looks at the switches before a run, before each event and while none comes, and ends the run where they are off: a model that
    is writing is left at once, and what it did until then is paid.

    Raises, beside what the agent inside raises:
        Stopped: the caller's tenant, or everything, is stopped.
    """

    def __init__(self, inner: Agent, stops: Stops) -> None:
        super().__init__(inner)
        self._stops = stops

    async def _pass_on(self, events: AsyncIterator[Event], principal: Principal) -> AsyncGenerator[Event, None]:
        def demand() -> None:
            self._stops.demand("tenant", principal.tenant)

        demand()
        passed = super()._pass_on(events, principal)

        async def emit_all(emit: Callable[[Event], None]) -> None:
            async with aclosing(passed) as source:
                async for event in source:
                    emit(event)

        async def watch(emit: Callable[[Event], None]) -> None:
            await unless_stopped(emit_all(emit), demand)

        try:
            async with aclosing(stream_from(watch)) as watched:
                async for event in watched:
                    demand()
                    yield event
        except Stopped as error:
            yield error_event(error)


class TenantAgents(AgentWrapper):
    """The agent of the caller's tenant where its chat model is its own, else `inner`. A conversation and an approval belong to one
    tenant."""

    def __init__(self, inner: Agent, tenants: Mapping[str, Agent]) -> None:
        super().__init__(inner)
        self._tenants = tenants

    def of(self, principal: Principal) -> Agent:
        return self._tenants.get(principal.tenant, self.inner)

    @property
    def conversations(self) -> ConversationStore:
        """Raises AttributeError where the agent keeps none."""
        cast("Any", self.inner).conversations  # noqa: B018
        return _TenantConversations(self)


class _TenantConversations:
    """The conversations of the caller's agent, which knows what is busy there."""

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
