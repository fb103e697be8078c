"""A chat model that calls tools as it is told: a double of a strong one, and labelled as a double wherever it appears."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from extensions.development.scripted_chat import ScriptedChat
from foundation.components import Context
from foundation.settings import Section
from orchestration.contract import Agent
from orchestration.flow.message_agent import MessageAgent
from orchestration.middleware.policy import governed_tools
from orchestration.run.metered_chat import MeteredChatModel

if TYPE_CHECKING:
    from tests.doubles.orchestration import World


def strong(*replies: Any) -> ScriptedChat:
    """It says the replies in turn; `calls(...)` makes one that calls tools."""
    return ScriptedChat(replies=replies, profile={"tool_calling": True, "max_input_tokens": 128_000})


def calls(*wanted: tuple[str, dict[str, Any]], text: str = "", first: int = 1) -> AIMessage:
    """A reply that calls these tools at once; the ids of the calls are counted from `first`."""
    made = [
        {"name": name, "args": arguments, "id": f"call_{name}_{number}", "type": "tool_call"}
        for number, (name, arguments) in enumerate(wanted, first)
    ]
    return AIMessage(text, tool_calls=made)


def own_agent(world: World) -> Agent:
    """A graph of somebody's own behind the executor of the world: LangChain's plain agent."""
    parts = world.parts()
    graph = create_agent(MeteredChatModel(inner=parts.chat), governed_tools(parts.executor))
    return MessageAgent(graph, parts)


class Options(Section):
    pass


def build(options: Options, context: Context) -> ScriptedChat:
    """The careful model of a stack: `use = "tests.doubles.strong:build"`."""
    del options, context
    return strong(clerk)


NOT_SAID = "The documents do not say this."
_TOOLS = {
    r"\bsend\b.*?(P-\d{3})": "send_parcel",
    r"\bburn\b.*?(P-\d{3})": "burn_parcel",
    r"\bwhere\b.*?(P-\d{3})": "find_parcel",
}
_PASSAGE = re.compile(r'<passage id="(\d+)"[^>]*>\n(.*?)\n</passage>', re.DOTALL)
_REFUND = re.compile(r"\brefund\b.*?(QM-\d{5})", re.IGNORECASE | re.DOTALL)


def clerk(messages: Sequence[BaseMessage]) -> AIMessage:
    """What a careful model would do at the desk of `tests.doubles.orchestration`: call the tool that is asked for, else search,
    and then say what came of it, in the words of the tools and passages.
    """
    question = next(message for message in reversed(messages) if isinstance(message, HumanMessage))
    results = [message for message in messages[messages.index(question) :] if isinstance(message, ToolMessage)]
    if results:
        return AIMessage(_report(question.text, results, messages))
    if re.fullmatch(r"Please send the parcel now", question.text):
        return AIMessage("Please tell me the number of the parcel.")
    if re.fullmatch(r"P-\d{3}", question.text):
        return calls(("send_parcel", {"parcel_id": question.text, "reason": "as asked"}))
    for pattern, tool in _TOOLS.items():
        if found := re.search(pattern, question.text, re.IGNORECASE | re.DOTALL):
            reason = {"reason": question.text} if tool == "send_parcel" else {}
            return calls((tool, {"parcel_id": found[1], **reason}))
    if found := _REFUND.search(question.text):
        return calls(("refund", {"order_id": found[1], "reason": question.text}))
    return calls(("search_documents", {"query": question.text}))


def passages_for(result: str, messages: Sequence[BaseMessage]) -> list[tuple[str, str]]:
    """The passages of a search, by their numbers: those that it shows, and those of which it says that they stand above."""
    text = "\n".join(message.text for message in messages if isinstance(message, ToolMessage))
    every = dict(_PASSAGE.findall(text))
    named = re.findall(r"\d+", "".join(re.findall(r"\[Above already: ([\d, ]+)\.\]", result)))
    return [(number, every[number]) for number in [*named, *dict(_PASSAGE.findall(result))]]


def _report(question: str, results: Sequence[ToolMessage], messages: Sequence[BaseMessage]) -> str:
    if results[-1].name != "search_documents":
        return "\n\n".join(message.text.split("\n")[0] for message in results)
    asked = _long_words(question)
    passages = passages_for(results[-1].text, messages)
    sentences = [(number, sentence) for number, text in passages for sentence in re.split(r"(?<=[.!?]) ", text)]
    number, best = max(sentences, key=lambda item: len(asked & _long_words(item[1])), default=("", ""))
    if len(asked & _long_words(best)) < 2:
        return NOT_SAID
    return f"{best[:-1]} [{number}]{best[-1]}"


def _long_words(text: str) -> set[str]:
    return {word[:4] for word in re.findall(r"\w{4,}", text.casefold())}
