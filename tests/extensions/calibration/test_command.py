"""`sixply calibrate` over a whole system; off, it is not there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serving.cli.main import main
from tests.doubles import command_line
from tests.make_rules import to_arguments


@pytest.fixture
def sixply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    return command_line.runner(main, tmp_path, monkeypatch, capsys, extensions=("calibration", "datasets"))


def test_calibrating_gives_a_threshold_from_questions_of_both_kinds(
    sixply: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, foreign = tmp_path / "own", tmp_path / "foreign"
    own.mkdir()
    foreign.mkdir()
    things = ["red lamp", "blue kettle", "green chair", "white table", "black mirror"]
    corpus = [{"_id": thing, "title": thing, "text": f"The {thing} weighs {n} kg."} for n, thing in enumerate(things)]
    asked = [
        {
            "id": thing,
            "question": f"How much does the {thing} weigh?",
            "doc_ids": [thing],
            "answers": ["kg"],
            "answerable": True,
        }
        for thing in things
    ]
    others = [{"_id": str(n), "text": f"Which spices season goulash number {n}?"} for n in range(5)]
    for path, rows in ((own / "corpus", corpus), (own / "qa", asked), (foreign / "queries", others)):
        path.with_suffix(".jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    figures = sixply("calibrate", "--data", str(own), "--foreign", str(foreign))

    assert (figures["n_answerable"], figures["n_foreign"], figures["n_not_graded"]) == (5, 5, 0)
    assert figures["auc_foreign"] == 1.0
    assert figures["at"][0]["refused_foreign"] == 1.0
    monkeypatch.delattr("retrieval.ingest.pipeline.Ingestor.ingest")  # too few questions are said before the work
    assert "FOREIGN=folder" in sixply("calibrate", "--data", str(own), status=2, json_too=False)


def test_off_its_command_says_how_to_turn_it_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without = command_line.runner(main, tmp_path, monkeypatch, capsys)
    assert "make add NAME=calibration" in without("calibrate", status=2)


def test_make_gives_each_value_to_its_option() -> None:
    given = to_arguments("make calibrate DATA=own FOREIGN=others LIMIT=200")
    assert sorted(given) == ["--data=own", "--foreign=others", "--limit=200", "calibrate"]
