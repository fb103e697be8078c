"""The settings that the page docs/extensions/answer_cache.md shows give an answer again, to a question that only looks different."""

import asyncio
import re
from pathlib import Path

from foundation.types import Principal
from retrieval.documents import Source
from retrieval.ingest.preparation import Item
from serving.judge import trial
from serving.settings import load
from serving.wiring import open_system
from tests.doubles.stacks import stack

PAGE = (Path(__file__).parents[3] / "docs" / "extensions" / "answer_cache.md").read_text(encoding="utf-8")
QUESTION = "How long does the moon lamp run?"
PERSON = Principal("ada", "north", frozenset({"reader"}))


def test_a_question_is_answered_once(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    with open_system(load(stack(tmp_path, shown, extensions=["answer_cache"]))) as system:
        text = b"The moon lamp runs for nine hours."
        system.ingestor.ingest_one(Item(Source("lamp.md", "north"), text, "lamp.md"), scope=None)
        first = asyncio.run(trial.ask(system, QUESTION, PERSON))
        again = asyncio.run(trial.ask(system, f" {QUESTION.lower()} ", PERSON))
    assert (first.status, first.cached) == ("answered", None)
    assert (again.text, again.cached) == (first.text, "exact")
