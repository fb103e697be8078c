"""An agent that an operator can stop: for a tenant, or altogether."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from foundation.errors import Stopped
from foundation.kill_switches import Stops
from foundation.types import Principal
from orchestration.contract import Agent, AnswerRequest, Decision, Event
from orchestration.run.answering import error_event


class StoppableAgent:
    """An `Agent` that looks at the switches before a run and before each event of it, and ends it where they are off.

    Raises, beside what the agent inside raises:
        Stopped: the caller's tenant, or everything, is stopped.
    """

    def __init__(self, inner: Agent, stops: Stops) -> None:
        self.inner = inner
        self._stops = stops

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # not set yet while the wrapper is being copied
            raise AttributeError(name)
        return getattr(self.inner, name)

    async def stream(self, request: AnswerRequest, principal: Principal) -> AsyncGenerator[Event, None]:
        self._stops.demand("tenant", principal.tenant)
        async with aclosing(self._watched(self.inner.stream(request, principal), principal)) as events:
            async for event in events:
                yield event

    async def resume(self, decision: Decision, principal: Principal) -> AsyncGenerator[Event, None]:
        self._stops.demand("tenant", principal.tenant)
        async with aclosing(self._watched(self.inner.resume(decision, principal), principal)) as events:
            async for event in events:
                yield event

    async def _watched(self, events: AsyncIterator[Event], principal: Principal) -> AsyncGenerator[Event, None]:
        async with aclosing(events) as given:  # type: ignore[type-var]
            async for event in given:
                try:
                    self._stops.demand("tenant", principal.tenant)
                except Stopped as error:
                    yield error_event(error)
                    return
                yield event
