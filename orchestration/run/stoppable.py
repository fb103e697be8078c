"""An agent that an operator can stop: for a tenant, or altogether."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

from foundation.errors import Stopped
from foundation.kill_switches import Stops, unless_stopped
from foundation.types import Principal
from orchestration.contract import Agent, Event
from orchestration.run.answering import error_event
from orchestration.run.streaming import stream_from
from orchestration.run.wrapping import AgentWrapper


class StoppableAgent(AgentWrapper):
    """An `Agent` that looks at the switches before a run, before each event of it and while none comes, and ends it where they
    are off: a model that is writing is left at once, and what it did until then is paid.

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
