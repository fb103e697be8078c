"""The chat model for a judge of entailment, which calls it from a thread: charged to the current run, its words not streamed."""
# ruff: noqa: SLF001  # LangChain spells the hooks of a chat model with an underscore, and a wrapper must call them

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import TimeoutError as NotYet
from dataclasses import replace
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult
from pydantic import Field

from foundation.machine.deadline import check
from foundation.machine.threads import waiting_for_loop
from models.embedding import on_behalf_of
from orchestration.run.metered_chat import MeteredChatModel
from orchestration.run.run import UNCALLED, Run, run_at_work, running

# Seconds after which a thread that waits for a reply checks again whether its caller is gone
_LOOKS_S = 0.2


class JudgingChatModel(MeteredChatModel):
    """`inner` for sync calls, each charged to the run on its event loop; outside of a run, as in a benchmark, nothing is
    charged. Raises, besides what `inner` raises, BudgetExceeded (the call does not fit into what is left to the run or the
    day), RuntimeError (called on the event loop, which would wait for itself).
    """

    told: bool = False
    tenants: Mapping[str, BaseChatModel] = Field(default_factory=dict)

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        run = run_at_work.get()
        if run is None:
            return self.inner._generate(messages, stop, run_manager, **kwargs)
        own = self.tenants.get(run.principal.tenant)
        model = MeteredChatModel(inner=own, told=False) if own else self
        if (loop := run.loop) is None:
            # judgements after the run, such as of sampled answers, are not charged
            with on_behalf_of(run.principal.tenant):
                return model.inner._generate(messages, stop, run_manager, **kwargs)
        if asyncio._get_running_loop() is loop:
            raise RuntimeError("A judge that asks the chat model is called in a thread: use in_thread.")
        call = asyncio.run_coroutine_threadsafe(
            _pay_aside(run, lambda: model._agenerate(messages, stop, **kwargs)), loop
        )
        try:
            while True:
                check()
                try:
                    with waiting_for_loop():
                        return call.result(_LOOKS_S)
                except NotYet:
                    if call.done():  # in this moment, or it has ended in a timeout of its own
                        return call.result()
        finally:
            call.cancel()


async def _pay_aside(run: Run, call: Callable[[], Awaitable[ChatResult]]) -> ChatResult:
    # a copy of the run is charged, so that the run's own `partial` and `first_token_s` stay as they are
    aside = replace(run, usage=UNCALLED, _local_s=0.0)
    try:
        with running(aside):
            return await call()
    finally:
        aside.first_token_s = None
        run.join(aside)
