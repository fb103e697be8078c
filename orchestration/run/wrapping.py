"""The base of wrappers, and those of an agent, which see its events on their way out. One chooses the agent by tenant."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from foundation.errors import SixplyError
from foundation.types import Principal
from orchestration.actions import Decision
from orchestration.contract import Agent
from orchestration.events import Event
from orchestration.requests import AnswerRequest
from orchestration.run.answering import error_event


class Around:
    """Base of wrappers: holds the inner part, which provides every attribute that the wrapper lacks."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # not set yet while the wrapper is being copied
            raise AttributeError(name)
        return getattr(self.inner, name)


class AgentWrapper(Around):
    inner: Agent

    def of(self, principal: Principal) -> Agent:
        """Return the agent that answers this caller."""
        del principal
        return self.inner

    def stream(self, request: AnswerRequest, principal: Principal) -> AsyncGenerator[Event, None]:
        return self._pass_on(self.of(principal).stream(request, principal), principal)

    def resume(self, decision: Decision, principal: Principal) -> AsyncGenerator[Event, None]:
        return self._pass_on(self.of(principal).resume(decision, principal), principal)

    async def see(self, event: Event, principal: Principal) -> None:
        """Look at an event before the caller gets it. An error of ours takes its place and ends the stream."""

    async def _pass_on(self, events: AsyncIterator[Event], principal: Principal) -> AsyncGenerator[Event, None]:
        """Yield the events of one run of `principal`; close `events` when closed."""
        async with aclosing(events) as source:  # type: ignore[type-var]
            async for event in source:
                try:
                    await self.see(event, principal)
                except SixplyError as error:
                    yield error_event(error)
                    return
                yield event


def innermost(agent: Agent, principal: Principal) -> Agent:
    """Return the agent that answers this caller, without its wrappers."""
    while isinstance(agent, AgentWrapper):
        agent = agent.of(principal)
    return agent


class TenantAgents(AgentWrapper):
    """Passes each call to the agent of the caller's tenant, where it has its own chat model, else to `inner`."""

    def __init__(self, inner: Agent, tenants: Mapping[str, Agent]) -> None:
        super().__init__(inner)
        self._tenants = tenants

    def of(self, principal: Principal) -> Agent:
        return self._tenants.get(principal.tenant, self.inner)
