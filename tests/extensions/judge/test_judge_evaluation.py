"""`make judge-agreement`, and the marks of `make judge-evaluation` behind it; chat model and judge are doubles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from extensions.judge.marking import FEWEST
from foundation.errors import InvalidRequest
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
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIXPLY_STACK", str(tmp_path / "stack.toml"))  # its extensions bring the commands
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
    path = stacks.stack(
        folder, f"[judge]\neach_answer = false\n[judge.chat]\n{judge}", extensions=["datasets", "judge", "structured"]
    )
    with open_system(load(path)) as system:
        text = b"A device may be returned within 30 days of the delivery."
        system.retrieval.ingestor.ingest([Item(Source("returns.md", "north", title="Returns"), text, "returns.md")])
    return ["--stack", str(path)]


def run(folder: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    out = folder / "out.json"
    out.unlink(missing_ok=True)
    done = CliRunner().invoke(main.app, [*arguments, "--json", str(out)], env={"COLUMNS": "240"})
    return done.exit_code, json.loads(out.read_text()), done.output


def marks(folder: Path, use: list[str]) -> tuple[int, dict[str, Any], str]:
    return run(folder, "judge-evaluation", "--golden", str(folder / "golden.jsonl"), *use)


def test_a_judge_that_agrees_with_people_marks_the_answers_of_the_latest_evaluation(folder: Path) -> None:
    use = stack(folder, likes="30 days")
    code, evaluated, _ = run(folder, "evaluate", "--golden", str(folder / "golden.jsonl"), *use)
    assert (code, evaluated["overall"]["passed"]["mean"]) == (0, 1.0)

    _, before, said = marks(folder, use)
    assert (before["trusted"], before["marks"], before["rows"]) == ([], {}, [])
    assert "is not trusted: nobody has measured" in said

    code, told, said = run(folder, "judge-agreement", str(folder), *use)
    assert (code, told["marks"]["faithfulness"]["kappa"], told["n"]) == (0, 1.0, FEWEST)
    assert "is trusted for faithfulness and completeness" in said
    assert told["answered_as"] == ["scripted (test double) fp_1"]

    _, after, said = marks(folder, use)
    assert after["marks"]["faithfulness"] == {"mean": 4.0, "low": 4.0, "high": 4.0, "n": 1}
    assert after["rows"] == [{"id": "g1", "faithfulness": 4, "completeness": 4}]
    passing = after["passing"]["faithfulness"]
    assert (passing["judged"], passing["corrected"], passing["n"]) == (1.0, 1.0, 1)
    assert passing["low"] < 0.5  # one answer says little

    (folder / "fingerprint").write_text("fp_2")
    code, moved, said = marks(folder, use)
    assert (code, moved["trusted"], moved["rows"]) == (0, [], [])
    assert "its replies name scripted (test double) fp_2" in " ".join(said.split())


def test_one_that_does_not_is_measured_told_and_left_out(folder: Path) -> None:
    use = stack(folder, likes="whenever you like")
    run(folder, "evaluate", "--golden", str(folder / "golden.jsonl"), *use)

    code, told, said = run(folder, "judge-agreement", str(folder), *use)
    assert (code, told["marks"]["faithfulness"]["kappa"], told["trusted"]) == (1, -1.0, [])
    assert "is not trusted" in said

    code, after, said = marks(folder, use)
    assert (code, after["marks"], after["rows"]) == (0, {}, [])
    assert "is not trusted. Weighted kappa with people on 50 answers" in said


def test_without_an_evaluation_or_a_judge_it_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    use = stack(folder, likes="30 days")
    done = CliRunner().invoke(main.app, ["judge-evaluation", *use])
    assert isinstance(done.exception, InvalidRequest)
    assert "make evaluate" in str(done.exception)
    other = stacks.stack(tmp_path, extensions=["datasets", "judge", "structured"])
    done = CliRunner().invoke(main.app, ["judge-evaluation", "--stack", str(other)])
    assert "[judge] chat" in str(done.exception)
