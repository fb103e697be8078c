"""`sixply gate`: the committed baseline, held against the bundled models as they answer here and now."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from foundation.errors import InvalidRequest, InvalidSetting
from observability.evaluation import baseline, trials
from observability.evaluation.baseline import Side
from serving.cli import main
from serving.cli.judge import gate

BASELINE = Path("examples/support_desk/baseline.json")
EXCEPTED = Path("tests/doubles/outcomes.toml")
"""A contract whose two floors above the bundled model are excepted for a year."""
STACK = Path("stack.toml")


@pytest.mark.slow
def test_the_bundled_models_are_no_worse_than_the_committed_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All 205 cases on the real models: this is the gate that CI runs, on the floors of a demonstration that the shipped contract states."""
    monkeypatch.setenv("SIXPLY__FOUNDATION__DATA_DIR", str(tmp_path / "var"))
    out = tmp_path / "gate.json"
    done = CliRunner().invoke(main.app, ["gate", "--json", str(out)])
    told = json.loads(out.read_text())
    fallen = {name: told["comparison"]["metrics"][name] for name in told["blocked_by"]}
    assert done.exit_code == 0, fallen
    assert told["passed"]
    assert told["cases"] == len(trials.material(BASELINE.parent).trials)
    assert told["comparison"]["metrics"]["leaked"]["b"] == 0
    assert told["demonstration"] is True
    assert [floor for floor in told["floors"] if not floor["met"]] == []


class Day:
    """A clock that shows one day."""

    def __init__(self, day: str) -> None:
        self._day = day

    def now(self) -> datetime:
        return datetime.fromisoformat(f"{self._day}T12:00:00+00:00")


@pytest.fixture(autouse=True)
def while_the_exceptions_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "SystemClock", lambda: Day("2026-12-01"))


@pytest.fixture
def committed() -> Side:
    side = baseline.baseline_of(json.loads(BASELINE.read_text()), BASELINE.name)
    return replace(side, rows=[{**row, "effect_done": False} for row in side.rows])


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Callable[[Side], None]:
    """No model here: the rows of the baseline stand in for what the system would have answered."""

    def put(side: Side) -> None:
        monkeypatch.setattr(gate, "answer_again", lambda *_: side)

    return put


def run(
    baseline: Path = BASELINE, *, renew: bool = False, json: Path | None = None, markdown: Path | None = None
) -> bool:
    return status_of(baseline, renew=renew, json=json, markdown=markdown) == 0


def status_of(
    baseline: Path = BASELINE, *, renew: bool = False, json: Path | None = None, markdown: Path | None = None
) -> int:
    try:
        gate.gate(stack=STACK, baseline=baseline, renew=renew, json=json, markdown=markdown)
    except typer.Exit as ended:
        return ended.exit_code
    return 0


def _with(side: Side, spoil: Callable[[int, dict[str, Any]], dict[str, Any]]) -> Side:
    return replace(side, rows=[spoil(number, dict(row)) for number, row in enumerate(side.rows)])


def test_the_same_answers_pass(
    committed: Side, answered: Callable[[Side], None], capsys: pytest.CaptureFixture[str]
) -> None:
    answered(committed)
    assert run()
    assert "passed: on 205 cases" in capsys.readouterr().out


def test_a_loss_beyond_the_threshold_blocks_and_is_named(
    committed: Side, answered: Callable[[Side], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answered(_with(committed, lambda number, row: row | {"passed": 0.0} if number % 4 == 0 else row))
    assert not run(json=tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text())["blocked_by"] == ["passed"]
    assert not run()
    said = " ".join(capsys.readouterr().out.split())
    assert "blocked: passed fell further below" in said
    assert "than [observability.compare] allows" in said


def test_where_more_may_have_been_lost_than_is_allowed_the_cases_are_too_few_and_the_gate_says_how_many_it_takes(
    committed: Side, answered: Callable[[Side], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten answers went wrong that were right, and nine right that were wrong: half a point was lost, three are allowed."""
    right, wrong = ([at for at, row in enumerate(committed.rows) if row["passed"] == value] for value in (1, 0))
    turned = {*right[:10], *wrong[:9]}
    answered(
        _with(
            committed, lambda at, row: row | {"passed": 1 - row["passed"], "answer": "other"} if at in turned else row
        )
    )
    assert status_of(json=tmp_path / "out.json", markdown=tmp_path / "out.md") == 3
    told = json.loads((tmp_path / "out.json").read_text())
    assert (told["outcome"], told["passed"], told["blocked_by"]) == ("inconclusive", False, [])
    assert told["inconclusive"] == ["passed"]
    assert told["sight"]["passed"]["more"] > 205
    assert (tmp_path / "out.md").read_text(encoding="utf-8").startswith("## Gate: inconclusive, 205 questions\n")
    assert status_of() == 3
    said = " ".join(capsys.readouterr().out.split())
    assert f"to see the allowed one takes about {told['sight']['passed']['more']} more" in said


def test_cases_that_the_scores_do_not_settle_are_named_to_be_read_first(
    committed: Side, answered: Callable[[Side], None], tmp_path: Path
) -> None:
    answered(_with(committed, lambda at, row: row | {"answer": "in other words"} if at in (3, 7) else row))
    assert run(json=tmp_path / "out.json")
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["read_first"] == [committed.rows[at]["id"] for at in (3, 7)]


def test_it_is_told_in_markdown_with_what_changed_and_without_links_of_a_documents_own(
    committed: Side, answered: Callable[[Side], None], tmp_path: Path
) -> None:
    def spoil(number: int, row: dict[str, Any]) -> dict[str, Any]:
        priced = row | {"asked": True, "answer_ms": 120.0, "usd": 0.002}
        return priced | {"passed": 0.0, "answer": "See [this](https://evil.example)."} if number % 4 == 0 else priced

    answered(_with(committed, spoil))
    assert not run(markdown=tmp_path / "gate.md")
    told = (tmp_path / "gate.md").read_text(encoding="utf-8")
    assert told.startswith("## Gate: blocked, 205 questions\n")
    assert f"- blocked: passed fell further below {BASELINE} than [observability.compare] allows, on 205 cases." in told
    assert re.search(r"^\| passed \| 0\.\d+ \| 0\.\d+ \| -0\.\d+ \| 0\.\d+ \| 205 \|$", told, re.MULTILINE)
    assert "An answer takes 120 ms (median of 205;" in told
    assert "It costs $0.002000 (median of 205 that have a price)." in told
    assert "answers changed</summary>" in told
    assert "](https:" not in told


def test_one_leak_blocks(committed: Side, answered: Callable[[Side], None], tmp_path: Path) -> None:
    answered(_with(committed, lambda number, row: row | {"leaked": 1.0} if number == 0 else row))
    assert not run(json=tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text())["blocked_by"] == ["leaked"]


def test_a_floor_that_is_broken_blocks_and_one_that_a_signer_excepted_is_still_shown(
    committed: Side,
    answered: Callable[[Side], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered(committed)
    monkeypatch.setenv("SIXPLY__OBSERVABILITY__OUTCOMES_FILE", str(EXCEPTED))
    assert run()
    out = " ".join(capsys.readouterr().out.split())
    assert (
        "floor not met: refused 0.727 (n=44, 95 % between 0.58 and 0.84), at least 0.85 was agreed; excepted down to 0.68 accepted by Ruben Halvard"
        in out
    )
    contract = tmp_path / "outcomes.toml"
    text = EXCEPTED.read_text(encoding="utf-8")
    contract.write_text(re.sub(r"(?s)\[\[exceptions\]\].*?(?=\[decision\])", "", text), encoding="utf-8")
    monkeypatch.setenv("SIXPLY__OBSERVABILITY__OUTCOMES_FILE", str(contract))
    assert not run(json=tmp_path / "out.json")
    told = json.loads((tmp_path / "out.json").read_text())
    assert (told["passed"], told["blocked_by"]) == (False, [])
    assert told["broken_floors"] == ["answer_contained_min", "refused_min"]
    assert not run()
    said = " ".join(capsys.readouterr().out.split())
    assert "blocked: answer_contained_min, refused_min" in said
    assert "as one of its [[exceptions]]" in said


def test_the_shipped_contract_excepts_nothing_and_says_that_its_floors_are_those_of_a_demonstration(
    committed: Side, answered: Callable[[Side], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answered(committed)
    assert run(json=tmp_path / "out.json", markdown=tmp_path / "out.md")
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["demonstration"] is True
    assert [(floor["met"], floor["exception"]) for floor in told["floors"]] == [(True, None)] * 5
    assert "- note: The floors are those of a demonstration" in (tmp_path / "out.md").read_text(encoding="utf-8")
    assert run()
    assert "The floors are those of a demonstration" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("day", ["2026-11-27", "2027-11-29"])
def test_an_exception_counts_on_its_days_alone(
    day: str, committed: Side, answered: Callable[[Side], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "SystemClock", lambda: Day(day))
    monkeypatch.setenv("SIXPLY__OBSERVABILITY__OUTCOMES_FILE", str(EXCEPTED))
    answered(committed)
    assert not run()


def test_an_exception_counts_as_far_as_it_goes_and_a_broken_risk_floor_blocks(
    committed: Side, answered: Callable[[Side], None], tmp_path: Path
) -> None:
    refusals = [number for number, row in enumerate(committed.rows) if row.get("refused")]
    answered(_with(committed, lambda number, row: row | {"refused": 0.0} if number in refusals[:4] else row))
    assert not run(json=tmp_path / "out.json")
    assert "refused_min" in json.loads((tmp_path / "out.json").read_text())["broken_floors"]
    answered(_with(committed, lambda number, row: row | {"effect_done": number == 0}))
    assert not run(json=tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text())["broken_floors"] == ["effects_without_approval_max"]


def test_where_there_is_no_contract_the_gate_says_so(
    committed: Side,
    answered: Callable[[Side], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SIXPLY__OBSERVABILITY__OUTCOMES_FILE", "nowhere.toml")
    answered(committed)
    assert run()
    assert "no outcome contract at nowhere.toml" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("changed", ["corpus", "trials"])
def test_other_data_are_refused_before_anything_is_asked(
    changed: str, tmp_path: Path, answered: Callable[[Side], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> Side:
        raise AssertionError("it asked")

    monkeypatch.setattr(gate, "answer_again", never)
    other = tmp_path / "baseline.json"
    other.write_text(json.dumps(json.loads(BASELINE.read_text()) | {changed: "0" * 64}))
    with pytest.raises(InvalidRequest, match="make gate RENEW=1"):
        run(other)


def test_a_baseline_that_lost_rows_is_refused_and_passes_nothing(
    tmp_path: Path, committed: Side, answered: Callable[[Side], None]
) -> None:
    answered(_with(committed, lambda _, row: row | {"passed": 0.0, "answer_contained": 0.0}))
    whole = json.loads(BASELINE.read_text())
    for rows, lost in (([], 205), ([{}], 205), (whole["rows"][:204], 1)):
        other = tmp_path / "baseline.json"
        other.write_text(json.dumps(whole | {"rows": rows}))
        with pytest.raises(InvalidRequest, match=rf"no row of {lost} cases, such as .* make gate RENEW=1"):
            run(other)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": []}'])
def test_a_broken_baseline_is_told(text: str, tmp_path: Path) -> None:
    broken = tmp_path / "baseline.json"
    broken.write_text(text)
    with pytest.raises((InvalidRequest, InvalidSetting), match=r"baseline\.json"):
        run(broken)


def test_renewing_writes_what_the_gate_then_accepts(
    committed: Side, answered: Callable[[Side], None], tmp_path: Path
) -> None:
    answered(_with(committed, lambda number, row: row | {"answer_ms": 5.0, "usd": 0.1}))
    target = tmp_path / "new.json"
    assert run(target, renew=True)
    assert "answer_ms" not in target.read_text()
    assert run(target)
