"""A golden case with a history is asked as the next question of that conversation."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from extensions.development.scripted_chat import ScriptedChat
from foundation.components import Context
from foundation.settings import Section
from observability.evaluation.golden_set import GoldenCase
from retrieval.documents import Source
from retrieval.ingest.preparation import Item
from serving.judge.trial import ask_case
from serving.settings import load
from serving.wiring import open_system
from tests.doubles import stacks
from tests.doubles.strong import strong

CASE = GoldenCase(
    id="f1", question="And when was it built?", kind="follow_up", tenant="north", answers=("1911",), answerable=True,
    history=(("How many seats has the Graynes?", "It has 120 seats."),),
)  # fmt: skip
READ: list[str] = []


class Options(Section):
    pass


def build(options: Options, context: Context) -> ScriptedChat:
    """A double that notes what it was shown, and answers."""
    del options, context

    def note(messages: list[BaseMessage], *_: Any) -> AIMessage:
        READ[:] = [message.text for message in messages]
        return AIMessage("In 1911.")

    return strong(note)


def test_the_model_reads_what_was_said_before(tmp_path: Path) -> None:
    path = stacks.stack(tmp_path, chat='use = "tests.integration.test_golden_history:build"')
    with open_system(load(path)) as system:
        system.retrieval.ingestor.ingest(
            [Item(Source("boats.md", "north"), b"The Graynes was built in 1911.", "boats.md")]
        )
        answer = asyncio.run(ask_case(system, CASE, "golden set"))
    assert answer.text == "In 1911."
    said = "\n".join(READ)
    assert (
        said.index("How many seats has the Graynes?")
        < said.index("It has 120 seats.")
        < said.index("when was it built")
    )


def test_what_is_searched_for_are_the_questions_alone() -> None:
    assert CASE.searched == "How many seats has the Graynes?\nAnd when was it built?"
