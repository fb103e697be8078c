"""Ingest on a local Ray cluster, with PostgreSQL and pgvector behind it, and a node that is killed on the way."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lab.scale import sizes, trial
from serving.settings import load
from tests import services

ROOT = Path(__file__).resolve().parents[2]
STACK = """
extensions = ["postgres"]
[models.embedder]
use = "hashing"
[retrieval.ledger]
use = "postgres"
dsn = "{dsn}"
[retrieval.vectors]
use = "pgvector"
dsn = "{dsn}"
"""
DOCUMENTS = 300


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_cluster_that_loses_a_node_stores_exactly_what_one_process_stores(tmp_path: Path) -> None:
    """In a process of its own: Ray starts threads and servers that no test should share."""
    stack, out = tmp_path / "stack.toml", tmp_path / "report.json"
    stack.write_text(STACK.format(dsn=services.postgres()), encoding="utf-8")
    command = [
        sys.executable, "-m", "lab.cli", "scale", "--documents", str(DOCUMENTS), "--stack", stack, "--json", out,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=840, check=False)
    told = out.read_text(encoding="utf-8") if out.exists() else ""
    assert done.returncode == 0, f"{told}\n{done.stderr[-4000:]}"
    report = json.loads(out.read_text(encoding="utf-8"))
    assert report["documents"] == DOCUMENTS
    assert {name: each["differences"] for name, each in report["ingest"].items()} == {
        "one process": [], "2 nodes": [], "2 nodes, one killed": [], "1 node": [],
    }  # fmt: skip
    assert DOCUMENTS / 3 <= report["ingest"]["2 nodes, one killed"]["killed_at"] < DOCUMENTS
    for each in report["ingest"].values():
        assert each["added"] > 250
        assert each["replaced"] > 0
        assert each["unchanged"] > 0
        assert each["refused"] > 0


def test_the_trial_names_what_is_not_as_one_process_left_it() -> None:
    report = trial.IngestReport(9, 0, 0, (), 20, 20, 1.0)
    alone = trial.Stored(report, 2.0, {"documents": "a", "order": "b"}, {"documents": 9, "vectors": 20})
    other = replace(
        alone, report=replace(report, added=8), digests={"documents": "a", "order": "c"}, counts={"documents": 9, "vectors": 19}
    )  # fmt: skip
    assert trial.figures(alone, alone, 9)["differences"] == []
    assert trial.figures(other, alone, 9)["differences"] == ["added", "order", "vectors"]


def test_nothing_imports_ray_unless_it_is_configured() -> None:
    program = "import sys, serving.wiring, retrieval.build, lab.scale.trial; assert 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=120)


def test_what_a_passage_takes_is_measured_also_by_a_coarse_clock_and_the_rest_is_arithmetic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticking = time.process_time
    monkeypatch.setattr("lab.scale.trial.time.process_time", lambda: ticking() // 0.1 * 0.1)
    stack, out, plot = tmp_path / "stack.toml", tmp_path / "model.json", tmp_path / "plots" / "model.svg"
    stack.write_text('[models.embedder]\nuse = "hashing"\n[retrieval.vectors]\nuse = "memory"\n', encoding="utf-8")
    loaded = trial.Loaded(load(stack, overrides={"foundation": {"data_dir": str(tmp_path / "var")}}).settings, {})
    trial.run_model(loaded, count=60, json=out, plot=plot)
    report = json.loads(out.read_text(encoding="utf-8"))
    measured = report["measured"]
    assert measured["passages"] > 50
    assert measured["dimensions"] == 256
    assert all(measured[name] > 0 for name in ("embedded_per_core_s", "committed_per_s", "indexed_per_s"))
    assert 1000 < measured["ledger_bytes"] <= measured["disk_bytes"] < 100_000
    assert plot.read_text(encoding="utf-8").startswith("<svg")


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.real_model
def test_the_sizes_are_measured_beside_the_plain_search_and_find_what_exact_search_finds(tmp_path: Path) -> None:
    report = tmp_path / "sizes.json"
    sizes.run(ROOT / "stack.toml", [1_000], report)
    (row,) = json.loads(report.read_text(encoding="utf-8"))["sizes"]
    assert row["passages"] == 1_000
    assert row["recall at 150, big tenant"] == 1
    for compared in (
        "question to plain torch, p50",
        "ingest to the embedder alone",
        "tantivy alone p50 ms",
        "delete cpu ms",
    ):
        assert row[compared] > 0
