"""A strong chat model, played by a script: it shows the tool-calling agent where no strong model is available.

    [models.chat]
    use = "examples.support_desk.scripted_model:build"

It is a double, and says so in its name. It plays one conversation, `SCRIPT`, whatever the question is.
"""

import re
from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from foundation.components import Context, load
from foundation.settings import Part, Section

PROFILE = {"tool_calling": True, "max_input_tokens": 128_000}
SCRIPT: Sequence[str | list[tuple[str, dict[str, Any]]]] = (
    [
        ("find_order", {"order_id": "QM-10035"}),
        ("search_documents", {"query": "How long is the warranty of label printers and batteries?"}),
    ],
    [("search_documents", {"query": "refund for a device that arrived broken"})],
    [("refund", {"order_id": "QM-10035", "reason": "One of the two printers arrived broken.", "amount_usd": 349.0})],
    (
        "The refund of 349.00 USD for order QM-10035 is **done**. As to the other printer:\n\n"
        "- Label printers carry a warranty of **36 months** from the date of delivery {36 months from the date of delivery}.\n"
        "- Batteries are covered for **12 months** {Batteries are covered for 12 months}."
    ),
)
"""Its turns: tools to call at once, or a text, where words in braces become the number of the passage that contains them."""


class Options(Section):
    pass


def build(options: Options, context: Context) -> BaseChatModel:  # noqa: ARG001  # every adapter has this signature
    """Return the scripted double, which finds its next line from the conversation."""
    chat: BaseChatModel = load("models.chat", Part(use="scripted"), context, expected=BaseChatModel)
    return chat.model_copy(update={"replies": (reply,), "profile": PROFILE})


def reply(messages: Sequence[BaseMessage]) -> AIMessage:
    """Return the script's next line, by the number of the model's turns since the person's message."""
    asked = max(place for place, message in enumerate(messages) if isinstance(message, HumanMessage))
    said = sum(isinstance(message, AIMessage) for message in messages[asked:])
    line = SCRIPT[min(said, len(SCRIPT) - 1)]
    if isinstance(line, str):
        return AIMessage(re.sub(r"\{(.+?)\}", lambda words: _passage_with(words[1], messages), line))
    calls = [
        {"name": name, "args": arguments, "id": f"call_{said}_{number}"}
        for number, (name, arguments) in enumerate(line)
    ]
    return AIMessage("", tool_calls=calls)


def _passage_with(words: str, messages: Sequence[BaseMessage]) -> str:
    results = "\n".join(message.text for message in messages if isinstance(message, ToolMessage))
    for number, text in re.findall(r'<passage id="(\d+)"[^>]*>\n(.*?)\n</passage>', results, re.DOTALL):
        if words in text:
            return f"[{number}]"
    return "(nothing was found)"
