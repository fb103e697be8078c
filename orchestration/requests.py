"""What is asked of an agent, and how it plans to meet it."""

from __future__ import annotations

from datetime import date, datetime
from itertools import takewhile
from typing import Any, Literal

from langchain_core.messages import AnyMessage, HumanMessage, ToolMessage
from pydantic import BaseModel, ConfigDict, Field

Route = Literal["answer", "look_up", "act", "several", "clarify", "refuse", "hand_over", "reply"]
Outcome = Literal["planned", "done", "failed", "skipped", "waiting"]


class Noun(BaseModel):
    model_config = ConfigDict(frozen=True)


class ClientOptions(Noun):
    """What the program through which a person asks wants of one request. It is the program's word: it widens no policy."""

    instructions: str = ""
    """Its system messages: role, tone, language and form of the answers."""
    tools: tuple[dict[str, Any], ...] = ()
    """Functions that it carries out, as Chat Completions describe them. None bears the name of a tool of the agent's."""
    tool_choice: str = "auto"
    """Whether the first reply calls one of them: auto, none, any (one of them), or the name of one."""
    parallel_tool_calls: bool = True
    response_format: dict[str, Any] | None = None
    """As Chat Completions have it, of the type json_object or json_schema; `None`: Markdown."""


class AnswerRequest(Noun):
    """What a person asked. `thread_id` continues a conversation; `as_of` asks for the versions in force on that day."""

    question: str
    thread_id: str | None = None
    messages: tuple[AnyMessage, ...] = ()
    """The conversation up to the question, oldest first, where the caller keeps it: the caller's word, which vouches for nothing. With
    `thread_id` it is not read."""
    images: tuple[dict[str, Any], ...] = ()
    """Pictures that go with the question, as LangChain's content blocks."""
    since: tuple[AnyMessage, ...] = ()
    """What came of the question so far: calls of the client's tools and their results. Ends in results, or is empty."""
    client: ClientOptions = ClientOptions()
    compose: Literal["auto", "extractive", "generative"] | None = None
    max_usd: float | None = Field(default=None, ge=0)
    as_of: date | None = None

    @property
    def earlier(self) -> tuple[str, ...]:
        """What the same person asked before, oldest first."""
        said = [message.text for message in self.messages if isinstance(message, HumanMessage)]
        return tuple(text for text in said if text)

    @property
    def results(self) -> dict[str, ToolMessage]:
        """The results with which it ends, by the ids of their calls."""
        last = takewhile(lambda message: isinstance(message, ToolMessage), reversed(self.since))
        return {message.tool_call_id: message for message in last if isinstance(message, ToolMessage)}


class PlanStep(Noun):
    """One thing to do: answer from the documents, look something up by a read tool, or act by an effect tool."""

    step_id: str
    kind: Literal["answer", "look_up", "act"]
    ask: str
    """The part of the request that it serves, in the person's words."""
    tool: str = ""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """A value `$1.order_id` stands for the field `order_id` of what step 1 found."""
    missing: tuple[str, ...] = ()
    """Arguments that the person did not state and is asked for."""
    after: tuple[str, ...] = ()
    """Steps that must be done before. Steps that do not wait for each other run side by side."""
    outcome: Outcome = "planned"
    detail: str = ""


class Plan(Noun):
    """What a request asks for and how it is met, made from the person's words alone.

    `several` are more than one step; `clarify`, `refuse`, `hand_over` (to a person) and `reply` (nothing is asked for) end the run at
    once, but for a step that the caller's role may not take: the executor refuses it, so that it is in the audit.
    """

    route: Route
    steps: tuple[PlanStep, ...] = ()
    made_by: Literal["classifier", "model", "fixed"] = "fixed"
    reason: str = ""
    reply: str = ""
    """What the person is told where nothing is to be done."""
    changes: tuple[str, ...] = ()
    """What was changed on the way, and why."""


class Fact(Noun):
    """Something that is remembered of a person beyond one conversation."""

    fact_id: str
    text: str
    at: datetime
    """When it was told, or corrected."""
    approved_by: str = ""
    """Who let it in, where it was not in the person's own words."""
