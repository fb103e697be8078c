"""A double of a strong model, and labelled as one: it plays one trip to `examples.research_desk.trips`, and reads what it is shown."""

import re
from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from foundation.components import Context, load
from foundation.settings import Part, Section

TASKS = ("What does a single adult ticket cost?", "How long does the crossing take?")
SENTENCES = (
    "A single adult ticket between Port Ellis and Graynes costs 14.50 euros",
    "A bicycle costs 3 euros on each crossing",
    "The crossing takes 55 minutes",
)
"""What it says of the passages, where it was shown one that says so."""


class Options(Section):
    pass


def build(options: Options, context: Context) -> BaseChatModel:  # noqa: ARG001  # every adapter has this signature
    chat: BaseChatModel = load("models.chat", Part(use="scripted"), context, expected=BaseChatModel)
    return chat.model_copy(update={"replies": (reply,), "profile": {"tool_calling": True, "max_input_tokens": 128_000}})


def reply(messages: Sequence[BaseMessage]) -> AIMessage:
    asked = max(place for place, message in enumerate(messages) if isinstance(message, HumanMessage))
    results = [message for message in messages[asked:] if isinstance(message, ToolMessage)]
    if messages[asked].text in TASKS:  # the task of the sub-agent
        return _report(results) if results else _calls(("search_documents", {"query": messages[asked].text}))
    if len(results) < 3:
        tasks = [("look_up", {"task": task}) for task in TASKS]
        return _calls(*tasks, ("free_seats", {"crossing": "C-104"}))
    if len(results) == 3:
        return _calls(("book_seats", {"crossing": "C-104", "seats": 2}))
    reports = " ".join(message.text for message in results if message.name == "look_up")
    rules = [f"{sentence}." for sentence in dict.fromkeys(reports.removesuffix(".").split(". "))]
    booked = "are booked" in results[-1].text
    return _calls(("Trip", {"price_eur": 2 * 14.5 + 3, "rules": rules, "booked": booked}))


def _report(results: Sequence[ToolMessage]) -> AIMessage:
    passages = re.findall(r'<passage id="(\d+)"[^>]*>\n(.*?)\n</passage>', results[-1].text, re.DOTALL)
    said = [f"{words} [{number}]." for words in SENTENCES for number, text in passages if words in text]
    return AIMessage(" ".join(said) or "Nothing was found.")


def _calls(*wanted: tuple[str, dict[str, Any]]) -> AIMessage:
    made = [
        {"name": name, "args": arguments, "id": f"call_{name}_{number}"}
        for number, (name, arguments) in enumerate(wanted)
    ]
    return AIMessage("", tool_calls=made)
