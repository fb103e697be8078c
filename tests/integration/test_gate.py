"""`sixply gate`: the committed baseline, held against the bundled models as they answer here and now."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from foundation.errors import InvalidRequest, InvalidSetting
from observability import compare, trials
from observability.compare import Side
from serving import cli, gate, swapping

BASELINE = Path("examples/support_desk/baseline.json")
STACK = Path("stack.toml")


def test_the_bundled_models_are_no_worse_than_the_committed_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All 191 cases on the real models: this is the gate that CI runs."""
    monkeypatch.setenv("SIXPLY__FOUNDATION__DATA_DIR", str(tmp_path / "var"))
    out = tmp_path / "gate.json"
    done = CliRunner().invoke(cli.app, ["gate", "--json", str(out)])
    told = json.loads(out.read_text())
    fallen = {name: told["comparison"]["metrics"][name] for name in told["blocked_by"]}
    assert done.exit_code == 0, fallen
    assert told["passed"]
    assert told["cases"] == len(trials.material(BASELINE.parent).trials)
    assert told["comparison"]["metrics"]["leaked"]["b"] == 0


@pytest.fixture
def committed() -> Side:
    return compare.baseline_of(json.loads(BASELINE.read_text()), BASELINE.name)


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Callable[[Side], None]:
    """No model here: the rows of the baseline stand in for what the system would have answered."""

    def put(side: Side) -> None:
        def run(*_: object, **__: object) -> list[Side]:
            return [side]

        monkeypatch.setattr(swapping, "run", run)

    return put


def run(baseline: Path = BASELINE, *, renew: bool = False, json: Path | None = None) -> bool:
    return gate.gate(STACK, baseline=baseline, renew=renew, json=json)


def _with(side: Side, spoil: Callable[[int, dict[str, Any]], dict[str, Any]]) -> Side:
    return replace(side, rows=[spoil(number, dict(row)) for number, row in enumerate(side.rows)])


def test_the_same_answers_pass(
    committed: Side, answered: Callable[[Side], None], capsys: pytest.CaptureFixture[str]
) -> None:
    answered(committed)
    assert run()
    assert "passed: on 191 cases" in capsys.readouterr().out


def test_a_loss_beyond_the_threshold_blocks_and_is_named(
    committed: Side, answered: Callable[[Side], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answered(_with(committed, lambda number, row: row | {"passed": 0.0} if number % 4 == 0 else row))
    assert not run(json=tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text())["blocked_by"] == ["passed"]
    assert not run()
    assert "blocked: passed fell further below" in capsys.readouterr().out


def test_one_leak_blocks(committed: Side, answered: Callable[[Side], None], tmp_path: Path) -> None:
    answered(_with(committed, lambda number, row: row | {"leaked": 1.0} if number == 0 else row))
    assert not run(json=tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text())["blocked_by"] == ["leaked"]


@pytest.mark.parametrize("changed", ["corpus", "trials"])
def test_other_data_are_refused_before_anything_is_asked(
    changed: str, tmp_path: Path, answered: Callable[[Side], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> list[Side]:
        raise AssertionError("it asked")

    monkeypatch.setattr(swapping, "run", never)
    other = tmp_path / "baseline.json"
    other.write_text(json.dumps(json.loads(BASELINE.read_text()) | {changed: "0" * 64}))
    with pytest.raises(InvalidRequest, match="make gate RENEW=1"):
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
