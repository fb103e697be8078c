"""A judged answer of a whole system becomes a golden question."""

from __future__ import annotations

import json
from pathlib import Path

from tests.extensions.feedback.judged import stack  # noqa: F401 - a fixture
from tests.integration.test_week import (
    QUESTION,
    run,
)


def test_a_judged_answer_becomes_a_case_after_a_review(stack: Path, tmp_path: Path) -> None:  # noqa: F811 - the fixture
    golden, file = tmp_path / "golden.jsonl", tmp_path / "cases.jsonl"
    for where, into in (([], tmp_path / "var/reports/cases.jsonl"), (["--to", file], file)):
        said = run("cases-from-feedback", "--stack", stack, "--golden", golden, *where)
        assert "1 proposals of 1 judged answers" in said.replace("\n", " ")
        assert into.is_file()
    (line,) = [json.loads(one) for one in file.read_text().splitlines()]
    assert line["case"]["question"] == QUESTION
    assert line["case"]["answers"] == ["30 days after delivery"]
    assert line["case"]["gold_documents"] == ["returns.md"]
    file.write_text(json.dumps(line | {"reviewed": True}))
    assert "1 cases were added" in run("cases-from-feedback", "--stack", stack, "--take", file, "--golden", golden)
    said = run("cases-from-feedback", "--stack", stack, "--to", tmp_path / "again.jsonl", "--golden", golden)
    assert "No new case" in said
