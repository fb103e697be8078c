"""A conversation as a file: Markdown to read, JSON to compute with."""

import json
import re
from collections.abc import Sequence

from orchestration.events import Conversation, Turn


def name_of(conversation: Conversation) -> str:
    return conversation.title or conversation.question


def file_name(conversation: Conversation, ending: str) -> str:
    """Return a name that every file system takes.

    >>> from datetime import UTC, datetime
    >>> file_name(Conversation(thread_id="t", question="What's new?/..", begun_at=datetime(2026, 1, 2, tzinfo=UTC)), "md")
    '2026-01-02 What-s-new.md'
    """
    words = re.sub(r"\W+", "-", name_of(conversation))[:60].strip("-")
    return f"{conversation.begun_at:%Y-%m-%d} {words or 'conversation'}.{ending}"


def as_text(turn: Turn) -> str:
    """Return an answer as text with the list of its sources."""
    sources = [f"[{citation.marker}] {citation.title or citation.uri} ({citation.uri})" for citation in turn.citations]
    return "\n".join([turn.text, *([""] if sources else []), *sources])


def as_markdown(conversation: Conversation, turns: Sequence[Turn]) -> str:
    parts = [f"# {_on_one_line(name_of(conversation))}"]
    for turn in turns:
        parts += [f"## {_on_one_line(turn.question)}", turn.text]
        parts += [_source(turn)] if turn.citations else []
    return "\n\n".join(parts) + "\n"


def as_json(conversation: Conversation, turns: Sequence[Turn]) -> str:
    whole = {**conversation.model_dump(mode="json"), "turns": [turn.model_dump(mode="json") for turn in turns]}
    return json.dumps(whole, ensure_ascii=False, indent=2) + "\n"


def _source(turn: Turn) -> str:
    return "\n".join(
        f"- [{it.marker}] {it.title or it.uri} ({it.uri}{f', page {it.page}' if it.page else ''}): “{_on_one_line(it.quote)}”"
        for it in turn.citations
    )


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
