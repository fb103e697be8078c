"""Questions to tables: all that is asserted is right, and what cannot be answered is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import StructuredTool

from extensions.tables.questions import english
from extensions.tables.questions.answers import TableAnswers
from foundation.errors import InvalidRequest
from foundation.types import Scope
from lab.bench import table_questions as tables
from lab.bench.made_tables import write_tables
from orchestration.events import Answer
from serving.settings import load
from serving.wiring import open_system
from tests.doubles.stacks import stack


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    with open_system(load(stack(tmp_path_factory.mktemp("tables"), extensions=["office"]))) as system:
        assert not system.retrieval.ingestor.ingest(tables.documents()).refused
        with tables.open_tool(system) as tool:
            yield [tables.row_of(one, *tables.ask_tool(tool, one)) for one in all_questions()]


def all_questions() -> list[tables.TableQuestion]:
    return [question for file in tables.SETS.values() for question in tables.read_questions(file)]


def test_the_halves_have_60_questions_each_over_tables_of_five_formats() -> None:
    halves = [tables.read_questions(tables.SETS[name]) for name in ("first", "second")]
    assert [len(half) for half in halves] == [60, 60]
    assert {"two tables", "group"} < {question.kind for half in halves for question in half}
    suffixes = {Path(name).suffix for name, _ in write_tables()}
    assert suffixes == {".csv", ".xlsx", ".html", ".docx", ".pdf"}
    assert (
        len({each.question_id for each in all_questions()}) == len({each.question for each in all_questions()}) == 321
    )


def test_the_earlier_120_are_of_every_kind_and_a_fifth_cannot_be_answered() -> None:
    questions = tables.read_questions()
    assert {each.kind for each in questions} == {
        "look-up", "superlative", "count", "list", "sum", "difference", "unanswerable",
    }  # fmt: skip
    assert sum(each.expected is None for each in questions) >= 120 / 5


def test_at_most_one_in_a_hundred_asserted_figures_is_wrong(rows: list[dict[str, Any]]) -> None:
    figures = tables.summarise(rows)
    assert figures["asserted_wrong"]["share"] <= tables.MOST_ASSERTED_WRONG, [
        row for row in rows if row["outcome"] == "wrong"
    ]


def test_a_right_query_is_answered_and_what_the_tables_do_not_say_is_refused(rows: list[dict[str, Any]]) -> None:
    expected = {row["id"]: "refused" if row["expected"] is None else "right" for row in rows}
    assert {row["id"]: row["outcome"] for row in rows} == expected
    assert all(row["said"].endswith((".", "?")) for row in rows if row["outcome"] == "refused"), "a sentence each"


def test_what_is_read_without_a_model_is_right_or_left_alone(tmp_path: Path) -> None:
    scope, answers = Scope(tables.TENANT, tables.PERSON.groups), TableAnswers()
    with open_system(load(stack(tmp_path, extensions=["office"]))) as system:
        system.retrieval.ingestor.ingest(tables.documents())
        with tables.open_tool(system) as tool:
            outcomes = []
            for question in all_questions():
                hits = system.retriever.retrieve(question.question, scope, limit=10)
                found = answers.work_out(question.question, hits, scope, system.retrieval.ledger)
                status = {"text": found["text"], "band": "answered"} if found else {"text": "", "status": "abstained"}
                answer = _answer(**status)
                outcomes.append(tables.judge_answer(answer, question.expected, tables.other_rows(tool, question)))
    assert outcomes.count("wrong") <= tables.MOST_ASSERTED_WRONG * outcomes.count("right")
    assert outcomes.count("right") >= 105


def test_a_question_with_a_word_that_its_table_does_not_have_is_left_alone(tmp_path: Path) -> None:
    """Each word of an answered question counts: with an unknown one in its place nothing is asserted."""
    scope, answers = Scope(tables.TENANT, tables.PERSON.groups), TableAnswers()
    with open_system(load(stack(tmp_path, extensions=["office"]))) as system:
        system.retrieval.ingestor.ingest(tables.documents())
        changed, asserted = 0, []
        for question in tables.read_questions(tables.SETS["third"])[::3]:
            hits = system.retriever.retrieve(question.question, scope, limit=10)
            if answers.work_out(question.question, hits, scope, system.retrieval.ledger) is None:
                continue
            for word in question.question.rstrip("?").split():
                if word.lower() not in english.FILLERS:
                    changed += 1
                    other = question.question.replace(word, "zorble", 1)
                    asserted += [other] if answers.work_out(other, hits, scope, system.retrieval.ledger) else []
    assert changed > 30
    assert not asserted


def test_a_tool_that_ignores_conditions_is_found_out() -> None:
    def query_table(**_: Any) -> tuple[str, dict[str, Any]]:
        return "", {"rows": [{"rows": "12", "height (m)": "55"}]}

    tool = StructuredTool.from_function(
        query_table, name="query_table", description="x", response_format="content_and_artifact"
    )
    outcomes = [tables.ask_tool(tool, one)[0] for one in tables.read_questions()[:20]]
    assert outcomes.count("right") == 1
    assert outcomes.count("wrong") == 19


def _answer(text: str, **changes: Any) -> Answer:
    given = {"answer_id": "a", "thread_id": "t", "question": "?", "status": "answered", "stop_reason": "complete"}
    return Answer(text=text, **{**given, **changes})


@pytest.mark.parametrize(
    ("answer", "expected", "outcome"),
    [
        (_answer("It is 55 m high [1].", band="answered"), ["55"], "right"),
        (_answer("It is 155 m high [1].", band="answered"), ["55"], "wrong"),
        (_answer("Upper Lane and Priory", band="answered"), ["Priory", "Upper Lane"], "right"),
        (_answer("It is 55 m high.", band="answered"), None, "wrong"),
        (_answer("height: 55", band="closest"), ["55"], "refused"),
        (_answer("I could not find this.", status="abstained"), None, "refused"),
    ],
)
def test_only_what_is_asserted_can_be_right_or_wrong(answer: Answer, expected: Any, outcome: str) -> None:
    assert tables.judge_answer(answer, expected) == outcome


def test_shares_come_with_their_intervals() -> None:
    question = tables.read_questions()[0]
    figures = tables.summarise([tables.row_of(question, "right", "55"), tables.row_of(question, "wrong", "5")])
    assert figures["asserted_wrong"]["share"] == 0.5
    assert 0 < figures["asserted_wrong"]["low"] < 0.5 < figures["asserted_wrong"]["high"] < 1
    assert figures["refused_unanswerable"] == {"share": None, "low": None, "high": None, "count": 0, "of": 0}
    assert tables.as_table({"way": figures})[3][1] == "of none"


def test_a_list_with_a_row_too_many_is_wrong() -> None:
    answer = _answer("Rivers: Aldwater, Esker", band="answered")
    assert tables.judge_answer(answer, ["Aldwater"], ["Brant"]) == "right"
    assert tables.judge_answer(answer, ["Aldwater"], ["Esker"]) == "wrong"


@pytest.mark.parametrize("line", ["{", json.dumps({"id": "1"}), "[]"])
def test_a_line_that_is_no_question_is_told_of(line: str, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(line)
    with pytest.raises(InvalidRequest, match="a line that is no question"):
        tables.read_questions(tmp_path / "q.jsonl")
