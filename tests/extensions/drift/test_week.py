"""Drift is told of a whole system that was used for a week."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from orchestration.requests import AnswerRequest
from orchestration.run import answering
from serving.settings import load
from serving.wiring import open_system
from tests.extensions.feedback.judged import stack  # noqa: F401 - a fixture
from tests.integration.test_week import (
    ADA,
    QUESTION,
    run,
)


def test_drift_counts_this_week(stack: Path, tmp_path: Path) -> None:  # noqa: F811 - the fixture
    run("drift", "--stack", stack, "--json", tmp_path / "drift.json")
    told = json.loads((tmp_path / "drift.json").read_text())
    assert (told["figures"]["answered"]["n_before"], told["figures"]["answered"]["n_now"]) == (0, 1)
    assert told["figures"]["confidence"]["n_now"] == 1
    assert told["figures"]["accepted"]["n_now"] == 1
    assert told["moved"] == []
    said = run("drift", "--stack", stack)
    assert "nothing can be said" in said


def test_drift_names_the_setting_that_was_changed_since(stack: Path, tmp_path: Path) -> None:  # noqa: F811 - the fixture
    with closing(sqlite3.connect(tmp_path / "var" / "spans.sqlite")) as database, database:
        ago = int(timedelta(days=10).total_seconds() * 1e9)
        database.execute("UPDATE spans SET start_ns = start_ns - ?, end_ns = end_ns - ?", (ago, ago))
    stack.write_text(stack.read_text() + "[retrieval.ranking]\ntop_k = 4\n")
    with open_system(load(stack)) as system:
        asyncio.run(answering.answer(system.agent, AnswerRequest(question=QUESTION), ADA))
    assert "settings.retrieval.ranking.top_k: 4, was 10" in " ".join(run("drift", "--stack", stack).split())
