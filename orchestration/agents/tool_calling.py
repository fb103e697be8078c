"""An agent for a chat model that calls tools: LangChain's `create_agent`, with one middleware for each concern.

A conversation is a LangGraph thread with all of its messages; an approval is an interrupt, after which the run resumes.
"""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, cast

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field

from foundation.errors import InvalidSetting
from foundation.settings import Section
from models.pricing import identity
from models.resilience.bindings import UNKNOWN_PROFILE
from orchestration.contract import AgentParts, ClientMiddleware, MoreMiddleware
from orchestration.flow.base_agent import Begin
from orchestration.flow.message_agent import AgentThread, MessageAgent
from orchestration.middleware.base import ToolChoiceMiddleware
from orchestration.middleware.citations import CitationMiddleware
from orchestration.middleware.context import ContextMiddleware
from orchestration.middleware.document_tools import DocumentToolsMiddleware
from orchestration.middleware.instructions import PROMPTS, InstructionsMiddleware
from orchestration.middleware.policy import PolicyMiddleware
from orchestration.middleware.progress import ProgressMiddleware
from orchestration.middleware.rounds import RoundsMiddleware
from orchestration.run.metered_chat import MeteredChatModel, calls_tools
from orchestration.run.run import Run
from orchestration.run.state import State

__all__ = ["Options", "ToolCallingAgent", "build"]


class Options(Section):
    rounds: int = Field(default=30, ge=2, le=100)
    """Most calls of the chat model for one request; in the last one the model is told to answer."""
    documents: bool = True
    """Whether the model may search and open documents, by `search_documents` and `open_document`."""
    stream: Literal["draft", "checked"] = "draft"
    """Whether words are streamed as the model writes them, or only once checked."""
    client_instructions: bool = True
    """Whether system messages of clients of the vendors' APIs are followed, below all our instructions."""


class ToolCallingAgent(MessageAgent):
    name = "tool_calling"

    def __init__(self, options: Options, parts: AgentParts) -> None:
        if not calls_tools(parts.chat):
            raise InvalidSetting(
                f'[orchestration.agent] use = "tool_calling", and the chat model {identity(parts.chat)[1]} calls no tools. Use '
                'a model that does, or use = "auto". If it does call tools, say so: [models.chat] profile = '
                "{ tool_calling = true }."
            )
        if parts.ledger is None:
            raise InvalidSetting("The tool-calling agent reads documents by their ledger: AgentParts(ledger=...).")
        profile = parts.chat.profile or {}
        window, self.takes_images = profile.get("max_input_tokens"), bool(profile.get("image_inputs"))
        prompts = [name for name in PROMPTS if options.documents or name != "tool_calling_documents"]
        brought = (service.open(parts) for service in parts.services if isinstance(service, MoreMiddleware))
        more = [item for items in brought for item in items]
        clients = next((service for service in parts.services if isinstance(service, ClientMiddleware)), None)
        middleware = [
            ProgressMiddleware(),
            InstructionsMiddleware(parts, prompts, client=options.client_instructions),
            *([clients.tools()] if clients else []),
            PolicyMiddleware(parts.executor, calls_within=bool(more)),
            *([DocumentToolsMiddleware(parts.ledger)] if options.documents else []),
            *more,
            ContextMiddleware(window=window),
            clients.checks() if clients else CitationMiddleware(),
            RoundsMiddleware(rounds=options.rounds),
        ]
        tools = [*parts.executor.tools, *(tool for item in middleware for tool in getattr(item, "tools", ()))]
        self.own_tools = _demand_names(tools)
        for item in more:
            tools = item.choose(tools, ()) if isinstance(item, ToolChoiceMiddleware) else tools
        _demand_room(parts, tools, prompts, window)
        checked = options.stream == "checked"
        graph = create_agent(
            MeteredChatModel(inner=parts.chat, told=not checked),
            parts.executor.tools,
            middleware=cast("Any", middleware),  # they are typed for their own states
            state_schema=cast("Any", AgentThread),
            checkpointer=parts.checkpoints,
        )
        super().__init__(graph, parts, checked=checked, most_steps=6 * options.rounds + 10)
        self._unknown = "" if "tool_calling" in profile else UNKNOWN_PROFILE % identity(parts.chat)[1]

    async def _take_steps(self, begin: Begin, state: State, run: Run, config: RunnableConfig) -> State:
        if self._unknown:
            run.note(self._unknown)
        return await super()._take_steps(begin, state, run, config)


def _demand_names(tools: Sequence[BaseTool]) -> frozenset[str]:
    names = Counter(tool.name for tool in tools)
    if doubled := [name for name, times in names.items() if times > 1]:
        raise InvalidSetting(
            f"A tool of yours is named {doubled[0]}, as one of the agent. Rename it, or leave the agent's tools for documents out: "
            "[orchestration.agent] documents = false."
        )
    return frozenset(names)


def _demand_room(parts: AgentParts, tools: Sequence[BaseTool], prompts: Sequence[str], window: int | None) -> None:
    # the other half is for the conversation
    described = [
        *(SystemMessage(parts.prompts.everybody[name].text) for name in prompts),
        *(HumanMessage(json.dumps(convert_to_openai_tool(tool))) for tool in tools),
    ]
    needed = count_tokens_approximately(described)
    if window and needed > window / 2:
        raise InvalidSetting(
            f"The chat model {identity(parts.chat)[1]} reads {window:,} tokens; the instructions and {len(tools)} tools take about "
            f"{needed:,} of them with each call. Use a model that reads more, offer fewer tools, or a search over them "
            "(docs/agents.md)."
        )


def build(options: Options, context: AgentParts) -> ToolCallingAgent:
    return ToolCallingAgent(options, context)
