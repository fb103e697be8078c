"""Messages of single calls of a chat model: a prompt, and frames that mark documents as data."""

from collections.abc import Sequence

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from orchestration.prompts.files import Prompt

# Of any width
BRACKETS = str.maketrans("<>\uff1c\uff1e\ufe64\ufe65", "()()()")


def answer_from(prompt: Prompt, question: str, passages: Sequence[str]) -> list[BaseMessage]:
    """Return the messages that ask for an answer from `passages`, numbered from 1."""
    framed = "\n".join(f"[{number}] <evidence>{as_data(text)}</evidence>" for number, text in enumerate(passages, 1))
    return [SystemMessage(prompt.text), HumanMessage(f"{framed}\n\nQuestion: {question}")]


def as_data(text: str) -> str:
    """Return one line that cannot close its frame."""
    return " ".join(text.split()).translate(BRACKETS)
