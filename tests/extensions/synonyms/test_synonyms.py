"""Words of the house: found by what the documents say, for their tenant alone, and without the file nothing changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from extensions.synonyms.settings import SynonymsSettings
from extensions.synonyms.words import Group, HouseWords, add_group, read_groups
from foundation.errors import InvalidRequest, InvalidSetting
from foundation.types import Principal, Scope
from orchestration.requests import AnswerRequest
from orchestration.run import answering
from retrieval.documents import Source
from retrieval.ingest.preparation import Item
from serving.cli.main import main
from serving.settings import context_of, load
from serving.wiring import System, open_system
from tests.doubles import command_line
from tests.doubles.stacks import stack

ILKA = Principal("ilka", "alder", frozenset({"reader"}))
BRAM = Principal("bram", "bexley", frozenset({"reader"}))
TEXTS = {
    "cover.md": "# Cover\n\nThe warranty of the crane is two years from delivery.",
    "soup.md": "# Canteen\n\nSoup is served between noon and two.",
    "sales.md": "# Sales\n\nIn fiscal 2023 the harbour sold 410 cranes.",
}
WORDS = (
    '[[words]]\nsame = ["guarantee", "warranty"]\n[[words]]\nsame = ["lifting gear", "crane"]\ntenants = ["alder"]\n'
)
HOUSE = HouseWords((Group(same=("guarantee", "warranty")), Group(same=("lifting gear", "crane"), tenants=("alder",))))


@contextmanager
def house(folder: Path, words: str = WORDS, more: str = "", **given: Any) -> Iterator[System]:
    if words:
        (folder / "synonyms.toml").write_text(words, encoding="utf-8")
    given = {"extensions": ["synonyms"], **given}
    with open_system(load(stack(folder, more, **given))) as system:
        items = [
            Item(Source(name, tenant), text.encode(), name)
            for tenant in ("alder", "bexley")
            for name, text in TEXTS.items()
        ]
        assert not system.retrieval.ingestor.ingest(items).refused
        yield system


def test_a_question_gets_the_other_words_for_the_search() -> None:
    assert HOUSE.widen("What guarantee has the lifting gear?", "alder").endswith("? warranty crane")
    assert HOUSE.widen("What guarantee has the lifting gear?", "bexley").endswith("? warranty")
    assert HOUSE.widen("What does the soup cost?", "alder") == "What does the soup cost?"
    assert HOUSE.widen("guarantees", "alder") == "guarantees", "as they stand in the file"


def test_a_question_is_put_into_the_words_of_the_passages_where_they_lack_its_own() -> None:
    asked = "What Guarantee has the lifting gear?"
    assert HOUSE.fit(asked, "alder", [TEXTS["cover.md"]]) == "What warranty has the crane?"
    assert HOUSE.fit(asked, "alder", ["The guarantee of lifting gear."]) == asked
    assert HOUSE.fit(asked, "alder", [TEXTS["soup.md"]]) == asked
    assert HOUSE.fit(asked, "alder", []) == asked


@pytest.mark.parametrize("said", ["FY2023", "FY23", "FY 2023", "fiscal year 2023"])
def test_a_year_of_account_is_the_same_however_it_is_written(said: str) -> None:
    assert HOUSE.fit(f"Sales in {said}?", "alder", [TEXTS["sales.md"]]) == "Sales in fiscal 2023?"
    assert "fiscal 2023" in HOUSE.widen(f"Sales in {said}?", "alder")
    assert HouseWords((), periods=False).widen(f"Sales in {said}?", "alder") == f"Sales in {said}?"


def test_the_passage_is_found_and_its_sentence_is_surer_with_the_file(tmp_path: Path) -> None:
    question = "guarantee lifting gear"
    with house(tmp_path) as system:
        ranks = {hit.source.uri: hit.ranks for hit in system.retriever.retrieve(question, Scope("alder"))}
        assert ranks["cover.md"]["keyword"] == 1
        answer = asyncio.run(answering.answer(system.agent, AnswerRequest(question=question), ILKA))
        other = asyncio.run(answering.answer(system.agent, AnswerRequest(question=question), BRAM))
    (tmp_path / "without").mkdir()
    with house(tmp_path / "without", words="") as system:
        assert all("keyword" not in hit.ranks for hit in system.retriever.retrieve(question, Scope("alder")))
        without = asyncio.run(answering.answer(system.agent, AnswerRequest(question=question), ILKA))
    assert "two years" in answer.text
    assert answer.question == question
    assert answer.confidence > other.confidence > without.confidence  # type: ignore[operator]


def test_without_the_file_a_question_is_searched_as_it_is(tmp_path: Path) -> None:
    found = []
    for name, on in (("on", ["synonyms"]), ("off", [])):
        (tmp_path / name).mkdir()
        with house(tmp_path / name, words="", extensions=on) as system:
            hits = system.retriever.retrieve("What warranty has the crane?", Scope("alder"))
            found.append([(hit.chunk.chunk_id, hit.score) for hit in hits])
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[[words]]\nsame = ['one']", "at least 2 items"),
        ("[[words]]\nsame = ['one', '...']", "a word without letters"),
        ("[[word]]\nsame = ['one', 'two']", "other keys than"),
        ("words = 3", "cannot be read"),
        ("[[words", "cannot be read"),
    ],
)
def test_a_file_of_something_else_stops_the_start_with_a_sentence(content: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=why), house(tmp_path, content):
        pass


def test_what_a_person_accepts_is_written_once_behind_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "synonyms.toml"
    file.write_text("# ours\n" + WORDS)
    for _ in range(2):
        add_group(file, [" depot", "store "], "alder")
    assert file.read_text().startswith("# ours\n")
    assert read_groups(file)[2:] == (Group(same=("depot", "store"), tenants=("alder",)),)
    with pytest.raises(InvalidRequest, match="guarantee=warranty"):
        add_group(file, ["depot"], "")


def test_the_command_proposes_words_of_failed_questions_and_takes_what_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("How long does the guarantee of the crane run?", "When is soup served?")
    with house(tmp_path, words="", more=command_line.MORE) as system:
        system.parts.grounding.settings = system.parts.grounding.settings.model_copy(update={"answered_from": 1.0})
        for question in asked:
            assert asyncio.run(answering.answer(system.agent, AnswerRequest(question=question), ILKA)).band == "closest"
    run = command_line.runner(main, tmp_path, monkeypatch, capsys, extensions=["synonyms"])

    rows = run("synonyms")
    (row,) = [row for row in rows if row["word"] == "guarantee"]
    assert (row["tenant"], row["questions"]) == ("alder", 1)
    assert set(row["near"]) <= {"warranty", "crane", "cranes", "years", "delivery", "harbour", "sold", "fiscal"}
    assert "soup" not in {row["word"] for row in rows}

    run("synonyms", "--accept", "guarantee=warranty", "--tenant", "alder", json_too=False)
    assert read_groups(tmp_path / "synonyms.toml") == (Group(same=("guarantee", "warranty"), tenants=("alder",)),)
    assert "guarantee" not in {row["word"] for row in run("synonyms")}


def test_a_file_that_is_named_lies_beside_its_stack_wherever_that_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    path = Path("sub") / "stack.toml"
    path.write_text('extensions = ["synonyms"]\n[synonyms]\nfile = "house.toml"\n')
    loaded = load(path)
    named = loaded.settings.section(SynonymsSettings)
    assert named.place(context_of(loaded.settings).stack_dir) == Path("sub/house.toml")
    path.write_text('extensions = ["synonyms"]\n')
    assert load(path).settings.section(SynonymsSettings).place(Path("sub")) == Path("sub/synonyms.toml")
