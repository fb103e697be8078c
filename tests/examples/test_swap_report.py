"""The golden questions of the example can be asked."""

from __future__ import annotations

from pathlib import Path

from observability.evaluation import trials


def test_a_golden_set_is_asked_with_its_corpus() -> None:
    desk = trials.material(Path("examples/support_desk"))
    assert len(desk.trials) > 150
    assert all(trial.grades for trial in desk.trials if trial.case.gold_documents)
