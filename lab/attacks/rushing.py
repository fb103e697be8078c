"""A chat class within the server's process that writes a long reply and never waits: everybody else is served meanwhile."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx2 as httpx
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool

from foundation.settings import Section
from lab.attacks.contract import Attack, Tried

if TYPE_CHECKING:
    from foundation.components import Context
    from lab.attacks.victim import Victim

TENANT = "rushing"
STACK = """
[models.chat]
use = "lab.attacks.rushing:build"
"""
WORDS = 100_000
HEALTH_S, PATIENCE_S = 2.5, 120.0


class Options(Section):
    """There is nothing to choose."""


def build(options: Options, context: Context) -> BaseChatModel:
    """The chat class."""
    del options, context
    return Rushing()


class Rushing(BaseChatModel):
    """A double of a model that runs in this process: it yields its words as they are asked for, and awaits nothing."""

    @property
    def _llm_type(self) -> str:
        return "rushing (test double)"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """The agent for models that call tools asks it, and it calls none."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        del messages
        return ChatResult(generations=[ChatGeneration(message=AIMessage("word " * WORDS))])

    async def _astream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        del messages
        for _word in range(WORDS):
            yield ChatGenerationChunk(message=AIMessageChunk(content="word "))


def rush(victim: Victim) -> Tried:
    """Ask for the long reply, and look at the server's health and at a stop meanwhile."""
    tried = Tried()
    agent, operator = victim.person("rosa", "agent", tenant=TENANT), victim.person("opal", "operator", tenant=TENANT)
    victim.upload(agent, "lamp.md", "The moon lamp of rushing runs for nine hours.")
    question = {"question": "How long does the moon lamp of rushing run?", "compose": "generative"}
    with victim.watching_health() as longest:
        agent.post("/v1/answers", json=question, timeout=PATIENCE_S)
        waited = longest()
    tried.check(held=waited < HEALTH_S, otherwise=f"health took {waited:.1f} s")
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(agent.post, "/v1/answers", json=question, timeout=PATIENCE_S)
        time.sleep(0.5)
        began = time.monotonic()
        operator.put(f"/v1/stops/tenant:{TENANT}", json={"reason": "It talks."}).raise_for_status()
        waited = time.monotonic() - began
        status = asking.result().status_code
    tried.check(held=waited < HEALTH_S, otherwise=f"a stop took {waited:.1f} s")
    tried.check(held=status == httpx.codes.SERVICE_UNAVAILABLE, otherwise=f"the stopped answer gave {status}")
    operator.delete(f"/v1/stops/tenant:{TENANT}").raise_for_status()
    return tried


def never_breathe() -> None:
    """The event loop is given back only where something waits."""
    from models.resilience import streams

    streams.HOLDS_S = 1e6


ATTACKS = (
    Attack(
        name="model-never-waits",
        title="a chat class that never waits holds up everybody else, and the stop that should end it",
        run=rush,
        reopen=never_breathe,
        stack=STACK,
    ),
)
