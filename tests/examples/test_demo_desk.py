"""The demonstration's golden set is asked of a desk on which the demonstration has done nothing."""

from pathlib import Path

import pytest

from examples.support_desk.demo import from_its_seed
from extensions.value.roi import outcomes_of
from observability.evaluation.golden_set import score
from tests.doubles.answers import NOW, answer, case, waiting


def stopped_while_asking(desk: Path) -> None:
    with from_its_seed(desk):
        assert not desk.exists()
        desk.write_text("made anew by the first question that needs it")
        raise KeyboardInterrupt


def test_the_desk_is_put_aside_and_back_again_whatever_happens(tmp_path: Path) -> None:
    desk = tmp_path / "desk.sqlite"
    desk.write_text("refunded")
    with pytest.raises(KeyboardInterrupt):
        stopped_while_asking(desk)
    assert desk.read_text() == "refunded"
    assert [file.name for file in tmp_path.iterdir()] == ["desk.sqlite"]


def test_where_other_tools_have_no_desk_there_is_none_to_put_aside(tmp_path: Path) -> None:
    with from_its_seed(tmp_path / "desk.sqlite"):
        pass
    assert not list(tmp_path.iterdir())


def test_outcomes_of_an_evaluation_credit_only_what_was_right() -> None:
    rows = [
        score(case(), answer("30 days", answer_id="right")),
        score(case(), answer("9 years", answer_id="wrong")),
        score(case(), answer("", status="abstained", answer_id="silent")),
        score(
            case(kind="tool", tool={"name": "refund", "arguments": {}}),
            waiting("refund", {}).model_copy(update={"answer_id": "prepared"}),
        ),
    ]
    found = outcomes_of([row.as_dict() for row in rows], at=NOW)
    assert {one.answer_id: one.verdict for one in found} == {
        "right": "accepted", "wrong": "rejected", "silent": "escalated", "prepared": "edited",
    }  # fmt: skip
    assert {one.origin for one in found} == {"evaluation"}
