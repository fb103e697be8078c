"""The frontier asks each model, and works out the cascade."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from serving.cli.main import main
from tests.extensions.cascade.test_cascade import CHEAP, QUESTION, ROOT, TENANT, _opened


def test_the_frontier_asks_each_model_and_works_out_the_cascade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [
        {"id": f"g{number}", "question": f"{QUESTION} ({number})", "kind": "answerable", "tenant": TENANT, "gold_documents": ["parcels.md"],
         "answers": ["30 kilograms"], "answerable": True}
        for number in range(4)
    ]  # fmt: skip
    golden, out = tmp_path / "golden.jsonl", tmp_path / "out.json"
    golden.write_text("\n".join(map(json.dumps, cases)), encoding="utf-8")
    shutil.copy(ROOT / "outcomes.toml", tmp_path)
    with _opened(tmp_path):
        pass
    asked = ["model-frontier", "--stack", str(tmp_path / "stack.toml"), "--golden", str(golden), "--json", str(out)]
    text = (tmp_path / "stack.toml").read_text("utf-8")
    head, rest = text.split("[models.chat]")[0], text.split("[models.embedder]")[1]
    chat = f'[models.chat]\nuse = "tests.doubles.golden_clerk:build"\ngolden = "{golden}"\n'
    (tmp_path / "stack.toml").write_text(f"{head}{chat}[models.embedder]{rest}", encoding="utf-8")
    monkeypatch.setattr("serving.cli.main._quiet", lambda: None)  # it is for a whole process
    monkeypatch.setattr("sys.argv", ["sixply", *asked])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    told = json.loads(out.read_text("utf-8"))
    alone = {point["name"]: point["passed"]["mean"] for point in told["points"] if point["up_below"] is None}
    assert alone == {CHEAP: 1.0, "scripted double that knows the golden answers": 1.0}
    assert {point["name"] for point in told["points"]} > alone.keys()
