"""Requests to an agent."""

from datetime import date
from itertools import takewhile
from typing import Any, Literal

from langchain_core.messages import AnyMessage, HumanMessage, ToolMessage
from pydantic import BaseModel, ConfigDict, Field


class Noun(BaseModel):
    model_config = ConfigDict(frozen=True)


class ClientOptions(Noun):
    """Options that the client program, not the person, sets for one request. They widen no policy."""

    instructions: str = ""
    """The client's system messages: role, tone, language and form of the answers."""
    tools: tuple[dict[str, Any], ...] = ()
    """Functions that the client carries out, as in Chat Completions. None has the name of a tool of the agent."""
    tool_choice: str = "auto"
    """Whether the first reply calls one of `tools`: auto, none, any (one of them), or the name of one."""
    parallel_tool_calls: bool = True
    settings: dict[str, Any] = Field(default_factory=dict)
    """How each reply of the model is written: `max_tokens`, `stop`, and `SAMPLING` of `models.resilience.bindings`."""
    response_format: dict[str, Any] | None = None
    """The answer's format as in Chat Completions: json_object or json_schema; `None`: Markdown."""


class AnswerRequest(Noun):
    """A person's question. `thread_id` continues a conversation; `as_of` is the day whose versions of documents are searched."""

    question: str
    thread_id: str | None = None
    messages: tuple[AnyMessage, ...] = ()
    """The conversation before the question, oldest first, if the client keeps it. Not trusted; ignored with `thread_id`."""
    images: tuple[dict[str, Any], ...] = ()
    """Images of the question, as LangChain's content blocks."""
    since: tuple[AnyMessage, ...] = ()
    """Calls of the client's tools since the question, and their results. Ends in results, or is empty."""
    client: ClientOptions = ClientOptions()
    compose: Literal["auto", "extractive", "generative"] | None = None
    model: str = ""
    """The name of one of `[models.choices]`; empty: `[models.chat]`."""
    max_usd: float | None = Field(default=None, ge=0)
    as_of: date | None = None
    watched: bool = True
    """Whether somebody reads the words as they come; else a reply that breaks off in the middle is tried again."""
    forget: bool = False
    """Whether the conversation is deleted when the request ends, unless it waits for somebody."""

    @property
    def earlier(self) -> tuple[str, ...]:
        """Earlier questions in `messages`, oldest first."""
        said = [message.text for message in self.messages if isinstance(message, HumanMessage)]
        return tuple(text for text in said if text)

    @property
    def results(self) -> dict[str, ToolMessage]:
        """The tool results at the end of `since`, by the ids of their calls."""
        last = takewhile(lambda message: isinstance(message, ToolMessage), reversed(self.since))
        return {message.tool_call_id: message for message in last if isinstance(message, ToolMessage)}
