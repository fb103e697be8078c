"""The agent that fits the chat model: `without_tools` where the model's profile says that it calls none, else `tool_calling`.

The profile is what LangChain knows of the model, or `[models.chat] profile = { tool_calling = true }`.
"""

import logging
from typing import Any

from pydantic import Field

from foundation.components import load
from foundation.settings import NamedPart, Part, Section
from models.pricing import identity
from models.resilience.bindings import UNKNOWN_PROFILE
from orchestration.contract import Agent, AgentParts
from orchestration.run.metered_chat import calls_tools

log = logging.getLogger("sixply.orchestration")


class Options(Section):
    rounds: int = Field(default=30, ge=2, le=100)
    """Most calls of the chat model for one request, by `tool_calling`."""
    tool_calling: dict[str, Any] = Field(default_factory=dict)
    """Options of `tool_calling`, where it is chosen."""
    without_tools: NamedPart = Part(use="quoting")
    """The agent for a model that calls no tools, by its name, or as a table with its options: `{ use = "quoting", writes = true }`."""


def build(options: Options, context: AgentParts) -> Agent:
    if "tool_calling" not in (context.chat.profile or {}):
        log.warning(UNKNOWN_PROFILE, identity(context.chat)[1])
    with_tools = Part(use="tool_calling", **({"rounds": options.rounds} | options.tool_calling))
    chosen = with_tools if calls_tools(context.chat) else options.without_tools
    agent: Agent = load("orchestration.agent", chosen, context, expected=Agent)
    return agent
