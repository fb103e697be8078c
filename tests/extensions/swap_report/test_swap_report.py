"""`sixply swap-report`: two whole systems, each in its own process, asked the same in turns."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from extensions.swap_report import command as swap_report
from extensions.swap_report.questions import read_material
from foundation.errors import InvalidRequest, InvalidSetting
from observability.evaluation.trials import ranking_of
from serving.cli import main
from tests.doubles import stacks
from tests.doubles.provider import FaultyProvider, ok

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = {
    "returns": "A device may be returned within 30 days of the delivery.",
    "battery": "The battery of the scanner lasts 14 hours and is charged in a cradle.",
    "ribbon": "Ribbons are sold in packs of six and must be kept dry.",
    "noise": "Our offices are closed on the first Monday of every month.",
}
QUESTIONS = [
    ("Within how many days may a device be returned?", "returns", "30 days"),
    ("How many hours does the battery of the scanner last?", "battery", "14 hours"),
    ("In packs of how many are ribbons sold?", "ribbon", "six"),
]


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    return stacks.stack(tmp_path, "[orchestration.policy.roles]\nreader = []\n")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Each question three times, so that there are enough pairs."""
    return folder_of_questions(tmp_path / "data")


def folder_of_questions(folder: Path, *, turns: int = 3) -> Path:
    folder.mkdir()
    corpus = [{"_id": key, "title": key, "text": text} for key, text in DOCUMENTS.items()]
    asked = [
        {"id": f"q{number}-{turn}", "question": text, "doc_ids": [document], "answers": [gold], "answerable": True}
        for turn in range(turns)
        for number, (text, document, gold) in enumerate(QUESTIONS)
    ]
    for name, rows in (("corpus", corpus), ("qa", asked)):
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return folder


def sixply(*arguments: object) -> subprocess.CompletedProcess[str]:
    a, *others = map(str, arguments)
    command = [sys.executable, "-m", "serving.cli", "swap-report", "--a", a, *others]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)


def test_a_line_that_spoils_every_answer_is_worse_and_the_reports_show_why(
    stack: Path, data: Path, tmp_path: Path
) -> None:
    swap = tmp_path / "b.toml"
    swap.write_text("[retrieval.grounding]\nmin_evidence = 1.0\n")
    out, page = tmp_path / "out.json", tmp_path / "out.html"
    ran = sixply(stack, swap, "--data", data, "--repeats", 1, "--json", out, "--html", page)
    assert ran.returncode == 1, ran.stderr
    found = json.loads(out.read_text())
    one = found["metrics"]["answer_contained"]
    assert (found["verdict"], one["n"], one["b"], found["pairs"]) == ("worse", 9, 0.0, 9)
    assert one["a"] > 0.5
    assert one["low"] <= one["diff"] <= one["high"] < 0
    assert found["metrics"]["recall_at_10"]["diff"] == 0.0, "the same parts search"
    assert {each["b"]["status"] for each in found["changed"]} == {"abstained"}
    assert found["runs"]["a"]["figures"]["peak_rss_mb"] > 50
    assert "worse" in ran.stdout
    assert "<svg" in page.read_text()
    assert list((tmp_path / "var").iterdir()) == [], "what the two wrote is gone"


LENIENT = "[observability.compare]\nanswer_p50_ms = 99\nsearch_p50_ms = 99\nusd_per_answer = 99\npeak_rss_mb = 99\n"
"""Both answer in milliseconds, and this is about words."""
WRITES_BADLY = """
[models.chat]
replies = ["Of course, you have got roughly one calendar month before we say no [1]."]
[orchestration.agent]
writes = true
"""


def test_a_model_whose_drafts_all_end_in_the_same_quotes_is_not_called_equal(data: Path, tmp_path: Path) -> None:
    stack = stacks.stack(
        tmp_path,
        f'{LENIENT}[orchestration.agent]\nuse = "graph"\nwrites = false\n',
        extensions=["planned_agent", "structured"],
    )
    swap, out, page = (tmp_path / name for name in ("b.toml", "out.json", "out.html"))
    swap.write_text(WRITES_BADLY)
    ran = sixply(stack, swap, "--data", data, "--repeats", 1, "--json", out, "--html", page)
    found = json.loads(out.read_text())
    assert ran.returncode == 0, (ran.stderr, found["reason"])
    assert found["drafts"]["a"] == {"n": 0, "shown": 0, "marked": 0, "discarded": 0, "refused": 0}
    assert found["drafts"]["b"] == {"n": 9, "shown": 0, "marked": 0, "discarded": 9, "refused": 0}
    answers = [[each["answer"] for each in found["runs"][side]["rows"]] for side in ("a", "b")]
    assert answers[0] == answers[1], "the same quotes"
    assert found["metrics"]["answer_contained"]["verdict"] == "unseen"
    assert "not all that was written" in found["reason"]
    assert "9 of the 9 texts that the chat model of b.toml wrote were not shown" in " ".join(found["notes"])
    assert "<td>discarded, quotes shown instead</td><td>0</td><td>9</td>" in page.read_text()
    assert found["runs"]["b"]["stack"]["orchestration.agent.writes"] == "True"


KEPT_OPEN = """
[models.chat]
use = "langchain_openai:ChatOpenAI"
model = "a double"
base_url = "{url}/v1"
api_key = "a key of this test"
max_retries = 0
stream_usage = true
[models.resilience]
attempts = 1
[models.chat.profile]
tool_calling = true
"""


def test_a_class_whose_connections_belong_to_a_loop_answers_every_question(data: Path, tmp_path: Path) -> None:
    stack = stacks.stack(tmp_path, "[orchestration.policy.roles]\nreader = []\n")
    swap, out = tmp_path / "b.toml", tmp_path / "out.json"
    with FaultyProvider(ok("Within 30 days."), keeps_connections=True) as provider:
        swap.write_text(KEPT_OPEN.format(url=provider.url))
        sixply(stack, swap, "--data", data, "--repeats", 1, "--json", out)
    rows = json.loads(out.read_text())["runs"]["b"]["rows"]
    assert len(rows) == len(provider.requests) == 9
    assert not {row["status"] for row in rows} & {"failed", "error"}


def test_a_mistake_in_the_second_stack_is_told_before_the_first_one_works(
    stack: Path, data: Path, tmp_path: Path
) -> None:
    swap = tmp_path / "b.toml"
    swap.write_text("[retrieval.rankin]\ntop_k = 3\n")
    ran = CliRunner().invoke(main.app, ["swap-report", "--a", str(stack), str(swap), "--data", str(data)])
    assert ran.exit_code == 3, "1 is a verdict"
    assert 'Did you mean "ranking"' in " ".join(ran.output.split())


def test_a_system_that_cannot_be_built_is_named(stack: Path, data: Path, tmp_path: Path) -> None:
    swap = tmp_path / "b.toml"
    swap.write_text('[retrieval.vectors]\nuse = "chorma"\n')
    with pytest.raises(InvalidSetting, match=r'b\.toml: No adapter "chorma"'):
        swap_report.report(stack, swap, data=data, limit=1, repeats=1, json=None, html=None)


def test_a_file_of_a_few_lines_is_laid_over_the_stack_and_a_whole_one_stands_for_itself(tmp_path: Path) -> None:
    a, line, whole = tmp_path / "a.toml", tmp_path / "line.toml", tmp_path / "whole.toml"
    a.write_text('[models.chat]\nuse = "scripted"\n[retrieval.vectors]\nuse = "chroma"\n[profiles.test]\n')
    line.write_text('[retrieval.vectors]\nuse = "memory"\n')
    whole.write_text('[models.chat]\nuse = "scripted"\n[retrieval.vectors]\nuse = "memory"\n')
    assert swap_report.merge_onto(a, line) == swap_report.Order(
        "line.toml", a, {"retrieval": {"vectors": {"use": "memory"}}}
    )
    assert swap_report.merge_onto(a, whole) == swap_report.Order("whole.toml", whole, {})


def test_another_version_of_the_code_is_compared_with_ours(stack: Path, data: Path, tmp_path: Path) -> None:
    old, out = tmp_path / "old", tmp_path / "out.json"
    for layer in ("foundation", "models", "retrieval", "orchestration", "serving", "observability", "extensions"):
        shutil.copytree(ROOT / layer, old / layer, ignore=shutil.ignore_patterns("__pycache__"))
    trial = old / "serving/judge/trial.py"
    broken = "raise UpstreamDown('of the old code')"
    lines = ["", "from foundation.errors import UpstreamDown", "async def ask_case(*_):", f"    {broken}", ""]
    trial.write_text(trial.read_text() + "\n".join(lines))
    ran = sixply(stack, stack, "--checkout", old, "--data", data, "--limit", 2, "--repeats", 1, "--json", out)
    runs = json.loads(out.read_text())["runs"]
    assert ran.returncode in (0, 2), ran.stderr
    assert all("of the old code" in row["error"] for row in runs["a"]["rows"])
    assert not any(row["error"] for row in runs["b"]["rows"])
    trial.write_text("import nowhere_at_all\n")
    ran = sixply(stack, stack, "--checkout", old, "--data", data, "--limit", 2, "--repeats", 1)
    said = " ".join(ran.stderr.split())
    assert (ran.returncode, "Its code ended with ModuleNotFoundError" in said, "Traceback" in said) == (3, True, False)
    ran = sixply(stack, stack, "--checkout", tmp_path, "--data", data)
    assert (ran.returncode, "no checkout of this code" in " ".join(ran.stderr.split())) == (3, True)


def test_the_digests_tell_another_corpus_and_other_cases(data: Path) -> None:
    before = read_material(data)
    assert read_material(data).corpus_digest == before.corpus_digest
    assert read_material(data, 3).trials_digest != before.trials_digest
    (data / "corpus.jsonl").write_text(json.dumps({"_id": "returns", "text": "Nothing is taken back."}))
    changed = read_material(data)
    assert changed.corpus_digest != before.corpus_digest
    assert changed.trials_digest == before.trials_digest


def test_queries_with_judgements_are_searched_for_and_not_answered(data: Path) -> None:
    (data / "qa.jsonl").unlink()
    (data / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "battery"}))
    (data / "qrels").mkdir()
    (data / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\tbattery\t2\n")
    (trial,) = read_material(data).trials
    assert (trial.ask, trial.grades) == (False, {"battery": 2})


def test_a_folder_with_nothing_to_ask_says_so(data: Path) -> None:
    (data / "qa.jsonl").unlink()
    with pytest.raises(InvalidRequest, match="nothing to ask"):
        read_material(data)


def test_rankings_are_scored_by_grade() -> None:
    assert ranking_of({"a": 1}, ["b", "a"]) == pytest.approx(
        {"recall_at_10": 1.0, "mrr_at_10": 0.5, "ndcg_at_10": 0.6309}, abs=1e-4
    )
    assert set(ranking_of({"a": 1}, []).values()) == {0.0}
