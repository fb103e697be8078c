"""An agent around another one: it sees each event on its way out, and passes on what it does not define itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from foundation.types import Principal
from orchestration.contract import Agent, AnswerRequest, Decision, Event


class AgentWrapper(ABC):
    """An `Agent` whose events are those of `inner`, as `_pass_on` gives them."""

    def __init__(self, inner: Agent) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # not set yet while the wrapper is being copied
            raise AttributeError(name)
        return getattr(self.inner, name)

    async def stream(self, request: AnswerRequest, principal: Principal) -> AsyncGenerator[Event, None]:
        async with aclosing(self._pass_on(self.inner.stream(request, principal), principal)) as events:
            async for event in events:
                yield event

    async def resume(self, decision: Decision, principal: Principal) -> AsyncGenerator[Event, None]:
        async with aclosing(self._pass_on(self.inner.resume(decision, principal), principal)) as events:
            async for event in events:
                yield event

    @abstractmethod
    def _pass_on(self, events: AsyncIterator[Event], principal: Principal) -> AsyncGenerator[Event, None]:
        """The events of one run of `principal`; it closes `events` when it is closed."""
