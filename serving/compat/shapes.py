"""What the shapes of other vendors' APIs have in common over our answers: names of models, which parameters are honoured, and
the text with its sources. Each shape is a file beside this one.

The last user message is the question. Without the id of a conversation that lives on our side, it is read with the user
messages before it; what an assistant is said to have answered is never read, for anybody can write that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from foundation.errors import InvalidRequest, did_you_mean
from foundation.output.rendering import markdown, markdown_label
from orchestration.contract import Answer, AnswerRequest
from serving.api.schemas import Identifier, Text
from serving.http.errors import UnknownModel, UnsupportedParameter

Compose = Literal["auto", "extractive", "generative"]
MODELS: dict[str, Compose | None] = {
    "sixply": None,
    "sixply-extractive": "extractive",
    "sixply-generative": "generative",
}
"""Names to ask for, and how each composes; `None`: as configured."""

TOOLS = frozenset({"tools", "tool_choice", "functions", "function_call"})
NO_TOOLS: tuple[Any, ...] = ("none", {"type": "none"})
"""Values of `tool_choice` with which a client's tools are only mentioned."""


class TextPart(BaseModel):
    type: Literal["text"]
    text: Text


class ChatMetadata(BaseModel):
    """Clients may keep notes of their own in it; only `thread_id` is read."""

    model_config = ConfigDict(extra="allow", frozen=True)

    thread_id: Identifier | None = Field(default=None, description="Continues a conversation of yours.")


class Message(Protocol):
    """One message of a client's history, in whichever shape. `speaker` says whose it is, "tool" for a tool's result."""

    @property
    def speaker(self) -> str: ...
    @property
    def text(self) -> str: ...


def refuse_unsupported(
    parameters: Mapping[str, Any], *, tuning: Collection[str], neutral: Mapping[str, Collection[Any]]
) -> None:
    """Let pass what tunes, which has no effect here, and values that ask for nothing; refuse what would be missed.

    Raises:
        UnsupportedParameter: with its name.
    """
    named_only = parameters.get("tool_choice") in NO_TOOLS
    for name, value in parameters.items():
        if value is None or name in tuning or value in neutral.get(name, ()) or (named_only and name in TOOLS):
            continue
        if name in TOOLS:
            raise UnsupportedParameter(
                f'"{name}" is not supported here: the agent has tools of its own, which run on the server under its policy, '
                f"and never asks a client to run one. Leave it out; docs/tools.md says how the agent gets more tools.",
                param=name,
            )
        raise UnsupportedParameter(
            f'"{name}" is not supported here. Leave it out; docs/api.md lists what is.', param=name
        )


def request_from(model: str, messages: Iterable[Message], thread_id: str | None) -> AnswerRequest:
    """The question that the messages end in, with those before it where no conversation of ours is named.

    Raises:
        UnknownModel. InvalidRequest: there is no question.
        UnsupportedParameter: the last message is a tool's result.
    """
    if model not in MODELS:
        raise unknown(model)
    turns = list(messages)
    if turns and turns[-1].speaker == "tool":
        raise UnsupportedParameter(
            "The last message is the result of a tool that the client ran. The agent asks for none; end with a user message.",
            param="messages",
        )
    *earlier, question = [message.text for message in turns if message.speaker == "user"] or [""]
    if not question.strip():
        raise InvalidRequest("There is no user message with text in it, so there is no question.")
    before = () if thread_id else tuple(text.strip() for text in earlier if text.strip())
    return AnswerRequest(question=question, thread_id=thread_id, earlier=before, compose=MODELS[model])


def unknown(model: str) -> UnknownModel:
    return UnknownModel(f'No model "{model}". {did_you_mean(model, MODELS)}')


def with_footnotes(answer: Answer) -> str:
    """The answer's text with `footnotes` below it, for clients that show nothing else.

    Such clients read Markdown, and HTML in it: what documents and models wrote reaches them as text.
    """
    return "\n\n".join(filter(None, (markdown(answer.text), footnotes(answer))))


def footnotes(answer: Answer) -> str:
    """The citations, where to look instead, what nothing supports, and the approval that is waited for, a line each."""
    notes = [
        f"[{cited.marker}] {markdown_label(cited.title or cited.uri)} ({markdown_label(cited.uri)}, "
        f"characters {cited.start}-{cited.end})"
        for cited in answer.citations
    ]
    if answer.nearest:
        notes.append(
            "Nearest: "
            + ", ".join(f"{markdown_label(near.title)} ({markdown_label(near.uri)})" for near in answer.nearest)
        )
    if answer.approval is not None and answer.status == "waiting":
        notes.append(f"Waiting for approval {answer.approval.approval_id}.")
    notes += [
        f"[?] {markdown_label(claim.text)} ({markdown_label(claim.detail or claim.reason)})"
        for claim in answer.unsupported
    ]
    return "\n".join(notes)


def extra_of(answer: Answer) -> dict[str, Any]:
    """The answer without what the shapes carry already, and without the steps."""
    return answer.model_dump(mode="json", exclude={"question", "text", "usage", "steps"})
