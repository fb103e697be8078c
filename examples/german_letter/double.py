"""A double of a strong model, and labelled as one: it searches once, and says in English what the German passages say that it was shown."""

import re
from collections.abc import Sequence

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from foundation.components import Context, load
from foundation.settings import Part, Section

# What it says in English of what it was shown in German, by a word of the question
ENGLISH = {
    "bill": ("Der Rechnungsbetrag ist 1.284,50 EUR", "The bill is 1.284,50 EUR"),
    "warranty": ("Die Garantie der Pumpen gilt drei Jahre", "The warranty of the pumps lasts three years"),
    "technician": ("Der Monteur kommt am 12. Mai um 9 Uhr", "The technician comes on 12 May at 9"),
}


class Options(Section):
    pass


def build(options: Options, context: Context) -> BaseChatModel:  # noqa: ARG001  # every adapter has this signature
    chat: BaseChatModel = load("models.chat", Part(use="scripted"), context, expected=BaseChatModel)
    return chat.model_copy(update={"replies": (reply,), "profile": {"tool_calling": True, "max_input_tokens": 128_000}})


def reply(messages: Sequence[BaseMessage]) -> AIMessage:
    asked = max(place for place, message in enumerate(messages) if isinstance(message, HumanMessage))
    question = messages[asked].text
    results = [message for message in messages[asked:] if isinstance(message, ToolMessage)]
    if not results:
        search = {"name": "search_documents", "args": {"query": question}, "id": "call_search"}
        return AIMessage("", tool_calls=[search])
    passages = re.findall(r'<passage id="(\d+)"[^>]*>\n(.*?)\n</passage>', results[-1].text, re.DOTALL)
    for subject, (german, english) in ENGLISH.items():
        for number, text in passages:
            # spaces are what OCR misses most
            if subject in question.casefold() and _squeeze(german) in _squeeze(text):
                return AIMessage(f"{english} [{number}].")
    return AIMessage("The documents do not say this.")


def _squeeze(text: str) -> str:
    return "".join(text.split())
