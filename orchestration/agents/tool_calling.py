"""The agent for a chat model that calls tools: LangChain's `create_agent`, with one middleware for each concern.

The model searches, reads on, calls several tools at once, asks back, and writes a cited answer in Markdown. A conversation
is a LangGraph thread with all of its messages; what needs a person is an interrupt, and the run goes on where it stopped.
"""

from __future__ import annotations

from typing import Any, Literal, cast

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.types import Command
from pydantic import BaseModel, ConfigDict, Field

from foundation.errors import InvalidSetting
from models.pricing import identity
from orchestration.contract import AgentParts, Answer, Approval
from orchestration.flow import base_agent
from orchestration.flow.base_agent import MADE_BY, Begin, DurableAgent, StoredThread, config_of
from orchestration.middleware.budget import BudgetMiddleware
from orchestration.middleware.citations import CheckedState, CitationMiddleware
from orchestration.middleware.context import ContextMiddleware
from orchestration.middleware.evidence import EvidenceMiddleware
from orchestration.middleware.instructions import InstructionsMiddleware
from orchestration.middleware.policy import PolicyMiddleware, approvals_of
from orchestration.middleware.progress import ProgressMiddleware
from orchestration.prompts.files import read_prompt
from orchestration.run.metered_chat import MeteredChatModel, calls_tools
from orchestration.run.run import Run
from orchestration.run.state import State, as_result

__all__ = ["AgentThread", "Options", "ToolCallingAgent", "build"]

NOBODY_DECIDED = "Nothing was done: this call was given up before anybody had decided on it."


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    rounds: int = Field(default=30, ge=2, le=100)
    """Calls of the chat model for one request at most; the last one is told that it is the last."""
    repairs: int = Field(default=1, ge=0, le=5)
    """How often an answer is written again whose statements are not supported, before they are marked."""
    unsupported: Literal["mark", "drop"] = "mark"
    """What becomes of a statement that stays unsupported: shown with `[?]`, or left out. The answer says so either way."""
    stream: Literal["draft", "checked"] = "draft"
    """Whether words are told as the model writes them, or only once they were checked."""
    persona: str = ""
    """Who answers, and how: put before the model's instructions."""


class AgentThread(CheckedState, State, total=False):
    """What is kept of a conversation: `create_agent`'s messages, and what every agent here keeps."""


class ToolCallingAgent(DurableAgent):
    name = "tool_calling"

    def __init__(self, options: Options, parts: AgentParts) -> None:
        super().__init__(base_agent.Options(), parts)
        if not calls_tools(parts.chat):
            raise InvalidSetting(
                f'[orchestration.agent] use = "tool_calling", and the chat model {identity(parts.chat)[1]} calls no tools. Use '
                'a model that does, or use = "graph". If it does call tools, say so: [models.chat] profile = '
                "{ tool_calling = true }."
            )
        if parts.ledger is None:
            raise InvalidSetting("The tool-calling agent reads documents by their ledger: AgentParts(ledger=...).")
        self._options = options
        self._graph = create_agent(
            MeteredChatModel(inner=parts.chat, told=options.stream == "draft"),
            parts.executor.tools,
            middleware=cast(
                "Any",  # they are typed for their own states
                [
                    ProgressMiddleware(),
                    InstructionsMiddleware(parts, read_prompt(self.name), persona=options.persona),
                    PolicyMiddleware(parts.executor),
                    EvidenceMiddleware(parts, parts.ledger),
                    ContextMiddleware(),
                    CitationMiddleware(
                        parts.grounding,
                        repairs=options.repairs,
                        unsupported=options.unsupported,
                        instructions=options.persona,
                    ),
                    BudgetMiddleware(rounds=options.rounds),
                ],
            ),
            state_schema=cast("Any", AgentThread),
            checkpointer=parts.checkpoints,
            name=self.name,
        )

    async def _load_thread(self, thread_id: str) -> StoredThread:
        snapshot = await self._graph.aget_state(config_of(thread_id))
        values = cast("State", snapshot.values)
        if (snapshot.metadata or {}).get(
            MADE_BY, self.name
        ) != self.name:  # another agent's: nothing of it can go on here
            return StoredThread(values)
        waits_for = frozenset(item.value["approval_id"] for item in snapshot.interrupts)
        return StoredThread(
            values,
            waits=bool(waits_for),
            waits_for=waits_for or approvals_of(snapshot.values.get("messages", [])),
            unfinished=bool(snapshot.next),
        )

    async def _take_steps(self, begin: Begin, state: State, run: Run, config: RunnableConfig) -> State:
        config["recursion_limit"] = 6 * self._options.rounds + 10
        start: Any = None
        if begin == "new":
            start = {**state, "messages": await self._new_messages(state, config), "repairs": 0, "findings": ""}
        elif begin == "decided":
            start = await self._decisions(run, config)
        await self._graph.ainvoke(start, config, durability="sync")
        snapshot = await self._graph.aget_state(config)
        values = cast("State", snapshot.values)
        if snapshot.interrupts:
            waiting = snapshot.interrupts[0].value
            text = "\n\n".join(item.value["text"] for item in snapshot.interrupts)
            said = next((m.text for m in reversed(values["messages"]) if isinstance(m, AIMessage)), "")  # type: ignore[typeddict-item]
            result = as_result("waiting", "approval", f"{said}\n\n{text}".strip(), "tool")
            values = cast("State", {**values, "result": result, "approval_id": waiting["approval_id"]})
        return values

    async def _new_messages(self, state: State, config: RunnableConfig) -> list[AnyMessage]:
        """What this request adds to the conversation: at its beginning what the caller says was said before; an answer to each
        call that was given up; the question."""
        stored: list[AnyMessage] = (await self._graph.aget_state(config)).values.get("messages", [])
        begun = [] if stored else _told_before(state)
        answered = {message.tool_call_id for message in stored if isinstance(message, ToolMessage)}
        open_calls = [call for message in stored if isinstance(message, AIMessage) for call in message.tool_calls]
        given_up = [
            ToolMessage(NOBODY_DECIDED, name=call["name"], tool_call_id=call["id"], status="error")
            for call in open_calls
            if call["id"] not in answered
        ]
        return [*begun, *given_up, HumanMessage(state["question"])]

    async def _decisions(self, run: Run, config: RunnableConfig) -> Command[Any]:
        """Let those calls go on whose approvals were decided; the others go on waiting."""
        snapshot = await self._graph.aget_state(config)
        decided = {}
        for item in snapshot.interrupts:
            approval = await self._approval(item.value["approval_id"], run)
            if approval is not None:
                run.waiting[item.value["call_id"]] = approval
                if approval.status != "pending":
                    decided[item.id] = True
        return Command(resume=decided)

    async def _approval(self, approval_id: str, run: Run) -> Approval | None:
        return await self._parts.executor.approvals.get(approval_id, run.principal.tenant)

    def _tell_text(self, answer: Answer, run: Run) -> None:
        if self._options.stream == "checked" or not run.calls:
            super()._tell_text(answer, run)


def _told_before(state: State) -> list[AnyMessage]:
    said: list[AnyMessage] = []
    for turn in state.get("turns") or []:
        said.append(HumanMessage(turn["question"]))
        if turn.get("text"):
            said.append(AIMessage(turn["text"]))
    return said


def build(options: Options, context: AgentParts) -> ToolCallingAgent:
    return ToolCallingAgent(options, context)
