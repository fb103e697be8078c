"""What `make bench-encoder` says, of doubles whose outcome is known and of the real encoders once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from extensions.development.hashing_embedder import HashingEmbedder
from foundation.errors import InvalidRequest
from lab import cli
from lab.bench import encoder
from lab.bench.encoder import OURS, SIDES, TORCH
from models.embedding import embed

TEXTS = {"d1": "red apple", "d2": "a green pear", "d3": "blue plums in winter", "d4": "a yellow quince"}
QUERIES = {"q1": "red apple", "q2": "green pear", "q3": "blue plum"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder in BEIR layout with more queries than are timed, of which three are judged."""
    folder = tmp_path / "fruit"
    (folder / "qrels").mkdir(parents=True)
    queries = QUERIES | {f"more{n}": f"a fruit of kind {n}" for n in range(8)}
    rows = ["query-id\tcorpus-id\tscore", *(f"q{n}\td{n}\t1" for n in (1, 2, 3))]
    (folder / "corpus.jsonl").write_text(
        "\n".join(json.dumps({"_id": key, "title": "", "text": text}) for key, text in TEXTS.items())
    )
    (folder / "queries.jsonl").write_text(
        "\n".join(json.dumps({"_id": key, "text": text}) for key, text in queries.items())
    )
    (folder / "qrels" / "test.tsv").write_text("\n".join(rows))
    return folder


def test_plain_search_ranks_by_the_product_of_vectors() -> None:
    embedder = HashingEmbedder(64)
    plain = encoder.Plain(embedder, list(TEXTS), embed(embedder, list(TEXTS.values())))
    assert [plain.rank(text)[0] for text in QUERIES.values()] == ["d1", "d2", "d3"]


def test_every_round_times_every_side_and_the_ratio_is_to_torch() -> None:
    calls: list[str] = []
    asked = {name: (lambda query, name=name: calls.append(name)) for name in (TORCH, OURS)}
    told = encoder.latency(asked, ["a", "b"], rounds=3)
    assert (calls.count(TORCH), calls.count(OURS)) == (20, 20), (
        "once at first, then not counted, alone and together in each round"
    )
    assert set(told["query_p50_ms"]) == set(told["queries_per_s_4_threads"]) == {TORCH, OURS}
    speed = encoder.throughput({TORCH: HashingEmbedder(8), OURS: HashingEmbedder(8)}, ["x"] * 9, rounds=2)
    assert speed["docs_per_s_to_torch"][TORCH] == 1.0
    spread = speed["docs_per_s"][OURS]
    assert 0 < spread["low"] <= spread["median"] <= spread["high"]


@pytest.mark.real_model
def test_the_real_encoders_find_the_same_and_every_figure_is_there(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    ran = CliRunner().invoke(cli.app, ["bench-encoder", str(data), "--limit", "8", "--rounds", "1", "--json", str(out)])
    assert ran.exit_code == 0, ran.output
    told = json.loads(out.read_text())
    assert told["ndcg_at_10"] == {"fruit": dict.fromkeys(SIDES, 1.0)}
    assert told["mean_ndcg_loss"] == dict.fromkeys(SIDES, 0.0)
    assert set(told["cold_start_s"]) == {TORCH, OURS}
    ratios = ("query_p50_to_torch", "queries_per_s_4_threads_to_torch", "cold_start_to_torch")
    assert all(told[name] > 0 for name in ratios)


def test_a_cold_start_ends_with_the_first_line_and_a_process_that_fails_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = tmp_path / "read"
    waits = f"import os, time; print('hit', flush=True)\nwhile not os.path.exists({str(read)!r}): time.sleep(0.01)"

    readings = iter((10.0, 12.5))

    def perf_counter() -> float:
        reading = next(readings)
        if reading == 12.5:
            read.touch()  # only now may the process end
        return reading

    with monkeypatch.context() as patch:
        patch.setattr(encoder, "time", SimpleNamespace(perf_counter=perf_counter))
        assert encoder._until_told([sys.executable, "-c", waits]) == 2.5
    for program in ("raise SystemExit(3)", "pass", "print('hit', flush=True); raise SystemExit(3)"):
        with pytest.raises(subprocess.CalledProcessError):
            encoder._until_told([sys.executable, "-c", program])


def test_a_folder_without_judgements_says_so(data: Path) -> None:
    (data / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n")
    with pytest.raises(InvalidRequest, match="no query with a judgement"):
        encoder._quality(data, {TORCH: HashingEmbedder(8)})
