"""An agent that an operator can stop: for a tenant, or altogether."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from foundation.errors import Stopped
from foundation.kill_switches import Stops, unless_stopped
from foundation.types import Principal
from orchestration.contract import Agent, AnswerRequest, Decision, Event
from orchestration.run.answering import error_event
from orchestration.run.streaming import stream_from


class StoppableAgent:
    """An `Agent` that looks at the switches before a run, before each event of it and while none comes, and ends it where they
    are off: a model that is writing is left at once, and what it did until then is paid.

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
        async with aclosing(self._watch(self.inner.stream(request, principal), principal)) as events:
            async for event in events:
                yield event

    async def resume(self, decision: Decision, principal: Principal) -> AsyncGenerator[Event, None]:
        self._stops.demand("tenant", principal.tenant)
        async with aclosing(self._watch(self.inner.resume(decision, principal), principal)) as events:
            async for event in events:
                yield event

    async def _watch(self, events: AsyncIterator[Event], principal: Principal) -> AsyncGenerator[Event, None]:
        def demand() -> None:
            self._stops.demand("tenant", principal.tenant)

        async def watch(emit: Callable[[Event], None]) -> None:
            async def pass_on() -> None:
                async with aclosing(events) as source:  # type: ignore[type-var]
                    async for event in source:
                        emit(event)

            await unless_stopped(pass_on(), demand)

        try:
            async with aclosing(stream_from(watch)) as watched:
                async for event in watched:
                    demand()
                    yield event
        except Stopped as error:
            yield error_event(error)
