"""`make judge-agreement`, and what `make evaluate` then does with the judge; chat model and judge are doubles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from observability.evaluation.judge import FEWEST
from retrieval.documents import Source
from retrieval.ingest.preparation import Item
from serving.cli import main
from serving.settings import load
from serving.wiring import open_system
from tests.doubles import stacks

GOOD, BAD = "within 30 days", "whenever you like"
CASE = {
    "id": "g1", "question": "Within how many days may a device be returned?", "kind": "answerable", "tenant": "north",
    "gold_documents": ["returns.md"], "answers": ["30 days"], "answerable": True,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files: dict[str, list[dict[str, Any]]] = {
        "corpus.jsonl": [{"_id": "d1", "title": "", "text": "A device may be returned within 30 days of the delivery."}],
        "qa.jsonl": [{"id": f"q{one}", "question": CASE["question"], "doc_ids": ["d1"]} for one in range(FEWEST)],
        "human_judgements.jsonl": [
            {"task_id": f"q{number}", "response": said, "human": {"faithfulness": mark, "completeness": mark}}
            for number in range(FEWEST) for said, mark in [((GOOD, 4), (BAD, 1))[number % 2]]
        ],
        "golden.jsonl": [CASE],
    }  # fmt: skip
    for name, rows in files.items():
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def stack(folder: Path, *, likes: str) -> list[str]:
    (folder / "fingerprint").write_text("fp_1")
    judge = f'use = "tests.doubles.judges:build"\nlikes = "{likes}"\nfingerprint = "{folder / "fingerprint"}"\n'
    path = stacks.stack(folder, f"[observability.judge.chat]\n{judge}")
    with open_system(load(path)) as system:
        text = b"A device may be returned within 30 days of the delivery."
        system.ingestor.ingest([Item(Source("returns.md", "north", title="Returns"), text, "returns.md")])
    return ["--stack", str(path)]


def run(folder: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    out = folder / "out.json"
    out.unlink(missing_ok=True)
    done = CliRunner().invoke(main.app, [*arguments, "--json", str(out)], env={"COLUMNS": "240"})
    return done.exit_code, json.loads(out.read_text()), done.output


def test_a_judge_that_agrees_with_people_marks_the_answers_of_an_evaluation(folder: Path) -> None:
    use = stack(folder, likes="30 days")
    golden = ["evaluate", "--golden", str(folder / "golden.jsonl"), *use]

    _, before, said = run(folder, *golden)
    assert "judge_faithfulness" not in before["overall"]
    assert before["judge"]["trusted"] == []
    assert "is not trusted: nobody has measured" in said

    code, told, said = run(folder, "judge-agreement", str(folder), *use)
    assert (code, told["marks"]["faithfulness"]["kappa"], told["n"]) == (0, 1.0, FEWEST)
    assert "is trusted for faithfulness and completeness" in said
    assert told["answered_as"] == ["scripted (test double) fp_1"]

    _, after, said = run(folder, *golden)
    assert after["overall"]["judge_faithfulness"] == {"mean": 4.0, "low": 4.0, "high": 4.0, "n": 1}
    assert "judge: supported by the evidence" in said
    assert json.loads((folder / "var" / "reports" / "evaluation.json").read_text())["judge"] == after["judge"]

    (folder / "fingerprint").write_text("fp_2")
    code, moved, said = run(folder, *golden)
    assert (code, moved["judge"]["trusted"]) == (0, [])
    assert "judge_faithfulness" not in moved["overall"]
    assert "its replies name scripted (test double) fp_2" in " ".join(said.split())


def test_one_that_does_not_is_measured_told_and_left_out(folder: Path) -> None:
    use = stack(folder, likes="whenever you like")

    code, told, said = run(folder, "judge-agreement", str(folder), *use)
    assert (code, told["marks"]["faithfulness"]["kappa"], told["trusted"]) == (1, -1.0, [])
    assert "is not trusted" in said

    code, after, said = run(folder, "evaluate", "--golden", str(folder / "golden.jsonl"), *use)
    assert (code, after["overall"]["passed"]["mean"]) == (0, 1.0)
    assert "judge_faithfulness" not in after["overall"]
    assert "is not trusted. Weighted kappa with people on 50 answers" in said
