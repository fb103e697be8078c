"""`make why`: a fact is lost on purpose at each stage of a whole system, and the command says where."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from foundation.errors import InvalidRequest
from foundation.types import Principal
from observability.evaluation.golden_set import load_golden
from orchestration.requests import AnswerRequest
from orchestration.run import answering
from retrieval.documents import Source
from retrieval.ingest.preparation import Item
from serving.cli import main
from serving.settings import load
from serving.wiring import open_system
from tests.doubles import stacks

ADA = Principal("ada", "north", frozenset({"reader"}))
QUESTION = "Within how many days may a device be returned?"
TEXT = "A device may be returned within 30 days of the delivery."
CASE = {
    "id": "g1", "question": QUESTION, "kind": "answerable", "tenant": "north", "gold_documents": ["returns.md"],
    "answers": ["30 days"], "answerable": True,
}  # fmt: skip
Why = Callable[..., dict[str, Any]]


@pytest.fixture
def why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Why:
    """Take in the documents, put the case beside them, and return what the command says of it."""
    monkeypatch.setenv("SIXPLY_STACK", str(tmp_path / "stack.toml"))  # its extensions bring the commands

    def run(documents: dict[str, str], *, more: str = "", groups: str = "", **changes: Any) -> dict[str, Any]:
        path = stacks.stack(tmp_path, more, extensions=["feedback", "proposals", "redaction", "structured"])
        golden = tmp_path / "golden.jsonl"
        golden.write_text(json.dumps(CASE | changes) + "\n")
        with open_system(load(path)) as system:
            system.retrieval.ingestor.ingest(
                [
                    Item(Source(uri, "north", title=uri, groups=frozenset(groups.split())), text.encode(), uri)
                    for uri, text in documents.items()
                ]
            )
        return told(tmp_path, "g1", "--golden", str(golden), "--stack", str(path))

    return run


def told(folder: Path, *arguments: str) -> dict[str, Any]:
    out = folder / "out.json"
    done = CliRunner().invoke(main.app, ["why", *arguments, "--json", str(out)])
    if done.exception:
        raise done.exception
    return dict(json.loads(out.read_text()))


def test_what_came_through_every_stage_is_right_today(why: Why) -> None:
    found = why({"returns.md": TEXT})
    assert [stage["name"] for stage in found["stages"]] == ["taken in", "read", "cut", "found", "shown", "said"]
    assert found["lost"] is None


@pytest.mark.parametrize(
    ("documents", "given", "stage", "told"),
    [
        ({"other.md": TEXT}, {}, "taken in", "is not among the documents of north"),
        ({"returns.md": TEXT}, {"groups": "managers"}, "readable", "is for the groups managers; whoever asks has no group"),
        ({"returns.md": "A device may be returned."}, {}, "read", "does not say “30 days”"),
    ],
)  # fmt: skip
def test_it_says_at_which_stage_the_fact_was_lost(
    why: Why, documents: dict[str, str], given: dict[str, Any], stage: str, told: str
) -> None:
    found = why(documents, **given)
    assert found["lost"]["name"] == stage
    assert told in found["lost"]["told"]
    assert [one["kept"] for one in found["stages"]] == [True] * (len(found["stages"]) - 1) + [False]


def test_a_fact_that_the_chunker_cut_in_two_is_in_no_passage(why: Why) -> None:
    small = '[retrieval.chunker]\nuse = "fixed"\nwindow_words = 20\noverlap_words = 0\n'
    text = f"{'word ' * 19}30 days is what you have, and no more."
    found = why({"returns.md": text}, more=small)
    assert found["lost"]["name"] == "cut", found


def test_a_document_behind_the_first_few_is_not_shown(why: Why) -> None:
    better = {f"{at}.md": f"{QUESTION} A device may be returned, number {at}." for at in range(3)}
    few = "[orchestration.answers]\nevidence_documents = 1\npassages_per_document = 1\n"
    found = why({"returns.md": TEXT, **better}, more=few)
    assert found["lost"]["name"] == "shown"
    assert "the first 1 are shown" in found["lost"]["told"]


def test_evidence_that_is_too_weak_is_refused(why: Why, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIXPLY__RETRIEVAL__GROUNDING__MIN_EVIDENCE", "0.99")
    found = why({"returns.md": TEXT})
    assert (found["lost"]["name"], found["lost"]["layer"]) == ("said", "retrieval")
    assert "min_evidence of [retrieval.grounding] is 0.99" in found["lost"]["told"]


def test_a_question_that_no_document_answers_must_be_refused(why: Why) -> None:
    unanswerable = {"kind": "unanswerable", "answerable": False, "answers": [], "gold_documents": []}
    found = why({"returns.md": TEXT}, **unanswerable)
    assert (found["lost"]["name"], found["status"]) == ("refused", "answered")


def test_an_answer_that_was_given_becomes_a_case(why: Why, tmp_path: Path) -> None:
    why({"returns.md": TEXT})
    stack, golden = tmp_path / "stack.toml", tmp_path / "golden.jsonl"
    golden.write_text("")
    with open_system(load(stack)) as system:
        given = asyncio.run(answering.answer(system.agent, AnswerRequest(question=QUESTION), ADA))
    place = ["--golden", str(golden), "--stack", str(stack)]
    right = ["--doc", "returns.md", "--answer", "90 days"]
    found = told(tmp_path, given.answer_id, *right, *place)
    assert found["lost"]["name"] == "read"
    assert (found["added_to"], load_golden_or_none(golden)) == (None, [])

    told(tmp_path, given.answer_id, *right, "--case", *place)
    (case,) = load_golden(golden)
    assert (case.question, case.tenant, case.gold_documents, case.answers) == (
        QUESTION, "north", ("returns.md",), ("90 days",),
    )  # fmt: skip
    assert case.reviewed_by not in ("", "nobody")

    latest = told(tmp_path, "last", *right, *place)
    assert (latest["case"]["question"], latest["lost"]["name"]) == (QUESTION, "read")
    assert "it is taken as a question that no document answers" in shown("last", *place)
    assert "no document answers" not in shown("last", *right, *place)

    with pytest.raises(InvalidRequest, match=r"Give both, or neither"):
        told(tmp_path, given.answer_id[:-1] + given.answer_id[-1], "--doc", "returns.md", "--golden", str(tmp_path / "x.jsonl"), "--stack", str(stack))  # fmt: skip
    with pytest.raises(InvalidRequest, match='"nothing" is neither a golden case nor an answer'):
        told(tmp_path, "nothing", *place)


def shown(*arguments: str) -> str:
    done = CliRunner().invoke(main.app, ["why", *arguments])
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def load_golden_or_none(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]
