"""From judgements to golden cases: what is proposed, what a review must say, and what is taken in."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from extensions.feedback.store import Outcome
from extensions.proposals.from_feedback import Asked, proposals
from extensions.proposals.review import Proposal, read_reviewed, take_in, write
from foundation.errors import InvalidRequest
from foundation.types import Principal
from observability.evaluation.golden_set import GoldenCase, load_golden
from orchestration.events import Turn
from retrieval.documents import Citation

AT = datetime(2026, 11, 25, tzinfo=UTC)
CITED = Citation(
    marker=1, document_id="d", chunk_id="c", uri="returns.md", title="Returns", start=0, end=7, quote="30 days"
)


def judged(verdict: Any, note: str = "", answer_id: str = "a-1", **more: Any) -> Outcome:
    return Outcome(answer_id, verdict, AT, note=note, **more)


def asked(text: str = "Within 30 days [1].", *, status: Any = "answered", question: str = "How long?") -> Asked:
    cited = (CITED,) if status == "answered" else ()
    turn = Turn(answer_id="a-1", question=question, status=status, text=text, citations=cited, at=AT)
    return Asked(turn, Principal("ada", "north", frozenset({"reader"}), frozenset({"desk"})))


def proposed(outcome: Outcome, one: Asked) -> Proposal:
    (found,) = proposals([outcome], {"a-1": one})
    return found


def test_an_edit_is_the_gold_answer_and_what_it_cites_the_gold_documents() -> None:
    found = proposed(judged("edited", "Within 30 days of delivery."), asked())
    assert GoldenCase(**found.case).model_dump(include={"answers", "gold_documents", "tenant", "groups", "kind"}) == {
        "answers": ("Within 30 days of delivery.",),
        "gold_documents": ("returns.md",),
        "tenant": "north",
        "groups": ("desk",),
        "kind": "answerable",
    }
    assert not found.reviewed


def test_a_rejected_answer_has_no_gold_yet() -> None:
    found = proposed(judged("rejected", "That is the old policy."), asked())
    assert (found.case["answers"], found.case["gold_documents"], found.note) == ([], [], "That is the old policy.")


def test_an_accepted_answer_is_kept_without_its_markers() -> None:
    assert proposed(judged("accepted"), asked()).case["answers"] == ["Within 30 days."]


def test_an_accepted_refusal_is_an_unanswerable_case() -> None:
    found = proposed(judged("accepted"), asked("I could not find this.", status="abstained"))
    assert (found.case["kind"], found.case["answerable"], found.case["answers"]) == ("unanswerable", False, [])


def test_personal_data_stay_out() -> None:
    found = proposed(
        judged("accepted"), asked("Write to zoe@meridian.example.", question="I am zoe@meridian.example, how long?")
    )
    assert "zoe@" not in found.model_dump_json()


def test_what_is_a_case_already_or_no_longer_kept_is_left_out() -> None:
    known = GoldenCase(id="g", question="How long?", kind="answerable", tenant="north", answers=("x",), answerable=True)
    for question in ("How long?", " how LONG? "):
        assert proposals([judged("accepted")], {"a-1": asked(question=question)}, [known]) == []
    assert proposals([judged("accepted", answer_id="a-2")], {"a-1": asked()}) == []


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cases.jsonl"
    write(
        path,
        [proposed(judged("edited", "30 days"), asked()), proposed(judged("rejected"), asked(question="And then?"))],
    )
    return path


def change(path: Path, line: int, **changes: Any) -> None:
    lines = path.read_text().splitlines()
    row = json.loads(lines[line])
    lines[line] = json.dumps(row | {"reviewed": True, "case": row["case"] | changes})
    path.write_text("\n".join(lines))


def test_only_what_a_person_has_reviewed_is_taken(file: Path, tmp_path: Path) -> None:
    assert read_reviewed(file) == ([], 2)
    change(file, 0, answers=["30 days"], id="f-new")
    cases, waiting = read_reviewed(file)
    assert ([case.id for case in cases], waiting) == (["f-new"], 1)
    golden = tmp_path / "golden.jsonl"
    golden.write_text(
        '{"id": "g", "question": "q", "kind": "answerable", "tenant": "t", "answerable": true, "answers": ["b"]}'
    )
    take_in(cases, golden)
    assert [case.id for case in load_golden(golden)] == ["g", "f-new"]
    before = golden.read_text()
    again = cases[0].model_copy(update={"id": "f-2", "question": " HOW long? "})
    for taken, says in ((cases, 'the id "f-new" stands twice'), ([again], 'the case "f-new" asks the same')):
        with pytest.raises(InvalidRequest, match=f"golden.jsonl: {says}.* nothing was taken in"):
            take_in(taken, golden)
        assert golden.read_text() == before


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "says no answer"),
        ({"answers": ["x"], "colour": "red"}, "colour"),
        ({"kind": "nonsense", "answers": ["x"]}, "kind"),
    ],
)
def test_a_review_that_cannot_be_scored_is_told_by_its_line(file: Path, changes: Any, says: str) -> None:
    change(file, 1, **changes)
    with pytest.raises(InvalidRequest, match=rf"cases\.jsonl line 2(.|\n)*{says}"):
        read_reviewed(file)


def test_a_file_that_is_there_is_not_written_over(file: Path) -> None:
    before = file.read_text()
    with pytest.raises(InvalidRequest, match="perhaps with a review"):
        write(file, [])
    assert file.read_text() == before
