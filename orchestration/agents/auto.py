"""The agent that the chat model deserves: `tool_calling` where the model's profile says that it calls tools, else `graph`.

What a model can is what LangChain knows of it, or what `[models.chat] profile = { tool_calling = true }` says.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from orchestration.agents.graph import GraphAgent
from orchestration.agents.graph import Options as GraphOptions
from orchestration.agents.tool_calling import Options as ToolCallingOptions
from orchestration.agents.tool_calling import ToolCallingAgent, calls_tools
from orchestration.contract import Agent, AgentParts


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    graph: GraphOptions = Field(default_factory=GraphOptions)
    tool_calling: ToolCallingOptions = Field(default_factory=ToolCallingOptions)


def build(options: Options, context: AgentParts) -> Agent:
    if calls_tools(context.chat):
        return ToolCallingAgent(options.tool_calling, context)
    return GraphAgent(options.graph, context)
