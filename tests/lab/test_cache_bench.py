"""The replayed log: what it is made of, and what counts as a false hit."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from extensions.datasets.reading import Question
from foundation.errors import InvalidRequest, UpstreamDown
from lab.bench.cache import Asked, Told, figures, question_log, replay
from orchestration.events import Answer

LAMP = Question("1", "How long does the lamp run?", ("lamp",), ("nine hours",), answerable=True)
DESK = Question("2", "How long does the desk lamp run?", ("lamp",), ("two days",), answerable=True)


def folder(path: Path, questions: list[dict[str, Any]]) -> Path:
    (path / "corpus.jsonl").write_text('{"_id": "lamp", "title": "Lamp", "text": "Nine hours."}\n')
    (path / "qa.jsonl").write_text("".join(json.dumps(one) + "\n" for one in questions))
    return path


def told(answer_id: str, text: str, **changes: Any) -> Told:
    given = {"thread_id": "t", "question": "?", "status": "answered", "stop_reason": "complete", "path": "extractive"}
    return Told(Answer(answer_id=answer_id, text=text, **{**given, **changes}), 10.0)


def test_each_question_is_asked_once_as_it_is_and_up_to_three_times_again(tmp_path: Path) -> None:
    rows = [
        {
            "id": str(n),
            "question": f"How many lamps has room {n}?",
            "doc_ids": ["lamp"],
            "answers": ["9"],
            "answerable": True,
        }
        for n in range(30)
    ]
    rows.append({"id": "none", "question": "Why?", "doc_ids": [], "answers": [], "answerable": False})
    log, corpus = question_log(folder(tmp_path, rows), limit=20, seed=7)
    assert [document.document_id for document in corpus] == ["lamp"]
    times = Counter(line.question.question_id for line in log)
    assert (len(times), "none" in times, set(times.values()) <= {1, 2, 3, 4}) == (20, False, True)
    assert [line.way for line in log].count("first") == 20
    assert all(line.text == line.question.question for line in log if line.way == "first")
    assert all(line.text != line.question.question for line in log if line.way == "paraphrase")
    assert question_log(tmp_path, limit=20, seed=7)[0] == log
    assert question_log(tmp_path, limit=20, seed=8)[0] != log


def test_a_folder_without_an_answer_to_compare_with_is_refused(tmp_path: Path) -> None:
    rows = [{"id": "1", "question": "Why?", "doc_ids": [], "answers": [], "answerable": False}]
    with pytest.raises(InvalidRequest, match="no question"):
        question_log(folder(tmp_path, rows), limit=5, seed=7)


def test_a_hit_is_false_where_another_questions_answer_lacks_what_was_asked_for() -> None:
    log = [Asked(LAMP, LAMP.question, "first"), Asked(LAMP, "how long?", "repeat"), Asked(DESK, DESK.question, "first")]
    made = [told("a", "Nine hours."), told("b", "Nine hours."), told("c", "Two days.")]
    cached = [
        told("A", "Nine hours."),
        told("B", "Nine hours.", cached="exact", first_answer_id="A"),
        told("C", "Nine hours.", cached="semantic", first_answer_id="A"),
    ]
    found = figures(log, made=made, cached=cached)
    assert (found["hits"], found["exact_hits"], found["semantic_hits"]) == (2, 1, 1)
    assert (found["wrong_hits"], found["false_hits"], found["false_hit_rate"]) == (1, 1, 0.5)
    assert (found["answer_contained_off"], found["answer_contained_on"]) == (1.0, pytest.approx(2 / 3))
    assert found["rows"][0]["given_for"] == LAMP.question
    assert found["usd_off"] is None, "an answer without a price is not free"


async def test_a_question_that_fails_is_counted_and_not_fatal() -> None:
    async def ask(text: str) -> Answer:
        raise UpstreamDown("Gone.")

    [[one]] = await replay([Asked(LAMP, LAMP.question, "first")], [ask])
    assert one.answer is None
    found = figures([Asked(LAMP, LAMP.question, "first")], made=[one], cached=[one])
    assert (found["hits"], found["false_hit_rate"], found["hit_p50_ms"]) == (0, None, None)
