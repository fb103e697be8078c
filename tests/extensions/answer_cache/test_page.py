"""The settings that the page docs/extensions/answer_cache.md shows give an answer again, to a question that only looks different."""

import asyncio
import re
from pathlib import Path

from foundation.types import Principal
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer
from retrieval.documents import Source
from retrieval.ingest.preparation import Item
from serving.settings import load
from serving.wiring import System, open_system
from tests.doubles.stacks import stack

PAGE = (Path(__file__).parents[3] / "docs" / "extensions" / "answer_cache.md").read_text(encoding="utf-8")
QUESTION = "How long does the moon lamp run?"
PERSON = Principal("ada", "north", frozenset({"reader"}))


def ask(system: System, question: str) -> Answer:
    return asyncio.run(answer(system.agent, AnswerRequest(question=question, compose="extractive"), PERSON))


def test_a_question_is_answered_once(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    with open_system(
        load(stack(tmp_path, shown, extensions=["answer_cache", "planned_agent", "structured"]))
    ) as system:
        text = b"The moon lamp runs for nine hours."
        system.retrieval.ingestor.ingest_one(Item(Source("lamp.md", "north"), text, "lamp.md"), scope=None)
        first = ask(system, QUESTION)
        again = ask(system, f"{QUESTION} ")
    assert (first.status, first.cached) == ("answered", None)
    assert (again.text, again.cached) == (first.text, "exact")
