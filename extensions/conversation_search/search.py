"""`search_conversation`: what is no longer shown to the model can be found, as it was said."""

from collections.abc import Sequence
from typing import Annotated, Any, cast

from langchain.agents.middleware import ModelRequest
from langchain.tools import ToolRuntime
from langchain_core.messages import AnyMessage
from langchain_core.tools import BaseTool
from pydantic import Field

from foundation.settings import Section as Options  # it takes none
from foundation.text.lexical import Rarity, terms
from foundation.text.sentences import sentence_spans
from orchestration.contract import AgentParts
from orchestration.middleware.base import RequestMiddleware, reading_tool
from orchestration.middleware.context import ContextState, find_summary_place
from orchestration.middleware.policy import this_turn

SEARCH = "search_conversation"
# Messages that a search gives, and the characters of each
FOUND, QUOTED = 5, 800

Words = Annotated[str, Field(min_length=1, max_length=500, description="words of what was said")]


class ConversationSearchMiddleware(RequestMiddleware):
    """Offers the search once there is something to find: before that it would only cost."""

    def __init__(self) -> None:
        about = "Search the earlier messages of this conversation that are no longer shown, word for word."
        self.tools: list[BaseTool] = [reading_tool(self._search, SEARCH, about)]

    async def prepare(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        state = dict[str, Any](request.state)
        if state.get("summary_before") or state.get("left_out_before"):
            return request
        return request.override(tools=[tool for tool in request.tools if getattr(tool, "name", "") != SEARCH])

    async def _search(self, query: Words, runtime: ToolRuntime) -> str:
        wanted, messages = terms(query), cast("Sequence[AnyMessage]", runtime.state["messages"])
        place, _ = find_summary_place(messages, cast("ContextState", runtime.state))
        # the question has its own words, and so have the results of earlier searches
        earlier = messages[: max(len(messages) - len(this_turn(messages)), place)]
        found = find_said([message for message in earlier if message.name != SEARCH], wanted, FOUND)
        return "\n".join(_quote(message, wanted) for message in found) or "No earlier message has these words."


def find_said(messages: Sequence[AnyMessage], wanted: frozenset[str], most: int) -> list[AnyMessage]:
    """Return the messages that together have most of the wanted terms, rare ones before frequent ones, as they follow on each other."""
    words = [terms(message.text) & wanted for message in messages]
    weights, found = dict(Rarity.among(wanted, words).weights), list[int]()
    for _ in range(min(most, len(messages))):
        places = (place for place in range(len(messages)) if place not in found and words[place])
        best = max(places, key=lambda place: (sum(weights[term] for term in words[place]), place), default=None)
        if best is None:
            break
        found.append(best)
        # or many that say the same would stand before the one that says more
        weights |= {term: weights[term] / 2 for term in words[best]}
    return [messages[place] for place in sorted(found)]


def _quote(message: AnyMessage, wanted: frozenset[str] | set[str]) -> str:
    """Return who said it, and the part of the message that has most of the words."""
    text, speaker = message.text, {"human": "Person", "ai": "Assistant"}.get(message.type, message.name or "Tool")
    spans = list(sentence_spans(text)) or [(0, len(text))]
    start, _ = max(spans, key=lambda span: len(wanted & terms(text[slice(*span)])))
    start = max(0, start - QUOTED // 4)
    return f"{speaker}: {text[start : start + QUOTED]}"


def build(options: Options, context: AgentParts) -> ConversationSearchMiddleware:  # noqa: ARG001 - the signature of every adapter
    return ConversationSearchMiddleware()
