"""The agent that the chat model deserves: `tool_calling` where the model's profile says that it calls tools, else `graph`.

What a model can is what LangChain knows of it, or what `[models.chat] profile = { tool_calling = true }` says.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from orchestration.agents import graph, tool_calling
from orchestration.contract import Agent, AgentParts


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    graph: graph.Options = Field(default_factory=graph.Options)
    tool_calling: tool_calling.Options = Field(default_factory=tool_calling.Options)


def build(options: Options, context: AgentParts) -> Agent:
    if tool_calling.calls_tools(context.chat):
        return tool_calling.build(options.tool_calling, context)
    return graph.build(options.graph, context)
