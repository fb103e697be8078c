"""Questions to tables in a person's words, read without a model: answered where every word is understood, else left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from extensions.tables.questions.answers import TableAnswers
from foundation.types import Principal, Scope
from orchestration.requests import AnswerRequest
from orchestration.run import answering
from retrieval.documents import Source
from retrieval.ingest.preparation import Item
from serving.settings import load
from serving.wiring import System, open_system
from tests.doubles.stacks import GRAPH, stack

BOATS = """boat,harbour,class,length (m),built,price (EUR),hire a day (EUR)
Petrel,Orrin,sail,12,1990,48000,120
Gannet,Orrin,motor,9,2004,31000,95
Tern,Selk,sail,15,1978,72000,180
Skua,Selk,motor,7,2015,22500,80
Fulmar,Drift,sail,11,,39000,–
"""
CREW = "name,boat,role,hours\nAda,Petrel,skipper,30\nBo,Petrel,cook,20\nCy,Tern,skipper,35\nAda,Gannet,cook,5\n"
PERSON = Principal("ada", "north", frozenset({"agent"}))


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    extensions = ["planned_agent", "structured", "tables"]
    with open_system(load(stack(tmp_path_factory.mktemp("boats"), GRAPH, extensions=extensions))) as opened:
        files = {"boats.csv": BOATS, "crew.csv": CREW}
        items = [Item(Source(name, "north"), text.encode(), name) for name, text in files.items()]
        assert not opened.retrieval.ingestor.ingest(items).refused
        yield opened


@pytest.fixture(scope="module")
def work_out(system: System) -> Callable[[str], dict[str, Any] | None]:
    answers, scope = TableAnswers(), Scope("north", frozenset())

    def ask(question: str) -> dict[str, Any] | None:
        hits = system.retriever.retrieve(question, scope, limit=10)
        return answers.work_out(question, hits, scope, system.retrieval.ledger)

    return ask


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("How long is the Tern?", "boat: Tern, length (m): 15. [1]"),
        ("In which harbour is the Skua?", "boat: Skua, harbour: Selk. [1]"),
        ("Which boat is the cheapest?", "boat: Skua, price (EUR): 22500. [1]"),
        ("Which boat in Orrin has the highest price?", "boat: Petrel, price (EUR): 48000. [1]"),
        ("Which boat is the oldest?", "boat: Tern, built: 1978. [1]"),
        ("How many boats are there in Selk?", "number of rows: 2 where harbour equals Selk. [1][2]"),
        ("How many boats are longer than 10 m?", "number of rows: 3 where length (m) is above 10. [1][2][3]"),
        ("How many boats are there of each class?", "class: motor, number of rows: 2; class: sail, number of rows: 3. [1][2][3][4][5]"),
        ("Which boats cost more than 40000 euros?", "boat: Petrel; boat: Tern. [1][2]"),
        ("List the sail boats.", "boat: Petrel; boat: Tern; boat: Fulmar. [1][2][3]"),
        ("What is the total length of the boats in Selk?", "sum of length (m): 22 where harbour equals Selk. [1][2]"),
        ("How much longer is the Tern than the Skua?", "The difference is 8: boat: Tern, length (m): 15; boat: Skua, length (m): 7. [1][2]"),
        ("How many hours has Cy?", "name: Cy, hours: 35. [1]"),
    ],
)  # fmt: skip
def test_a_question_of_known_words_is_answered_with_its_rows(
    work_out: Callable[[str], dict[str, Any] | None], question: str, text: str
) -> None:
    found = work_out(question)
    assert found is not None
    assert found["text"] == text
    assert all(citation["quote"].startswith(("boat: ", "name: ")) for citation in found["citations"])


@pytest.mark.parametrize(
    "question",
    [
        "How heavy is the Tern?",  # no such column
        "How long is the Osprey?",  # no such row
        "Which red boat is the cheapest?",  # a word that is neither
        "Which boats are not in Selk?",
        "Which boats are in Selk or in Orrin?",
        "How many harbours are there?",  # rows of the table are boats
        "How many boats does the Tern have?",  # a row by its name is one
        "How many hours has Ada?",  # two rows
        "How many people are cooks?",  # "people" is no word of the table
        "Which boats cost more than 40000 dollars?",  # another unit
        "What is the average hire a day?",  # a row has no figure
        "How long was the hire of the Tern?",  # a price does not say how long
        "Was kostet die Tern im Hafen von Selk?",
        "Which boats were built from 1990 on?",  # not those of 1990
        "How many boats were built by 2004?",
        "When is the Tern in a harbour?",  # a harbour is no date
        "Who is the length of the Tern?",
        "Where was the Tern built?",  # a year is no place
        "Where is the cheapest boat?",
        "How many hours does Cy use?",  # what is done with hours is not what somebody has
        "Which boats are in Selk and of the motor class?",  # those of either, or of both
        "Who is the oldest skipper?",  # no column of age
        "Which boats are in Selkirk?",  # a name that only begins like a value
        "List the sailing boats.",
        "Tern",
    ],
)
def test_a_question_with_something_that_the_table_does_not_have_is_left_alone(
    work_out: Callable[[str], dict[str, Any] | None], question: str
) -> None:
    assert work_out(question) is None


def test_somebody_elses_table_answers_nothing(system: System) -> None:
    hits = system.retriever.retrieve("Which boat is the cheapest?", Scope("north", frozenset()), limit=10)
    assert (
        TableAnswers().work_out(
            "Which boat is the cheapest?", hits, Scope("south", frozenset()), system.retrieval.ledger
        )
        is None
    )


def test_two_tables_that_could_be_meant_answer_nothing(tmp_path: Path) -> None:
    with open_system(load(stack(tmp_path))) as opened:
        opened.retrieval.ingestor.ingest(
            [Item(Source(name, "north"), BOATS.encode(), name) for name in ("old.csv", "new.csv")]
        )
        scope = Scope("north", frozenset())
        hits = opened.retriever.retrieve("Which boat is the cheapest?", scope, limit=10)
        assert TableAnswers().work_out("Which boat is the cheapest?", hits, scope, opened.retrieval.ledger) is None


def test_the_planned_agent_gives_it_as_the_answer_and_quotes_where_there_is_none(system: System) -> None:
    def ask(question: str) -> Any:
        return asyncio.run(answering.answer(system.agent, AnswerRequest(question=question), PERSON))

    cheapest, other = ask("Which boat is the cheapest?"), ask("Which red boat is the cheapest?")
    assert (cheapest.status, cheapest.band, cheapest.text) == (
        "answered", "answered", "boat: Skua, price (EUR): 22500. [1]",
    )  # fmt: skip
    assert [citation.uri for citation in cheapest.citations] == ["boats.csv"]
    assert any(step.detail == "worked out from a table" for step in cheapest.steps)
    assert not any(step.detail == "worked out from a table" for step in other.steps)
