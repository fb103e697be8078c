"""The agent that fits the chat model: `tool_calling` where the model's profile says that it calls tools, else `graph`.

The profile is what LangChain knows of the model, or `[models.chat] profile = { tool_calling = true }`.
"""

import logging
from typing import Any

from pydantic import Field

from foundation.components import available, load
from foundation.errors import InvalidSetting
from foundation.settings import Part, Section
from models.pricing import identity
from models.resilience.bindings import UNKNOWN_PROFILE
from orchestration.contract import Agent, AgentParts
from orchestration.run.metered_chat import calls_tools

log = logging.getLogger("sixply.orchestration")


class Options(Section):
    rounds: int = Field(default=30, ge=2, le=100)
    """Most calls of the chat model for one request, by `tool_calling`."""
    tool_calling: dict[str, Any] = Field(default_factory=dict)
    """Options of `tool_calling`, where it is chosen; likewise `graph`."""
    graph: dict[str, Any] = Field(default_factory=dict)


def build(options: Options, context: AgentParts) -> Agent:
    if "tool_calling" not in (context.chat.profile or {}):
        log.warning(UNKNOWN_PROFILE, identity(context.chat)[1])
    use, chosen = (
        ("tool_calling", {"rounds": options.rounds} | options.tool_calling)
        if calls_tools(context.chat)
        else ("graph", options.graph)
    )
    if use not in available("orchestration.agent"):
        raise InvalidSetting(
            f"The chat model {identity(context.chat)[1]} calls {'' if use == 'tool_calling' else 'no '}tools, and the agent for that, "
            f"orchestration/agents/{use}.py, was left out. Use another model, or name an agent that is there."
        )
    agent: Agent = load("orchestration.agent", Part(use=use, **chosen), context, expected=Agent)
    return agent
