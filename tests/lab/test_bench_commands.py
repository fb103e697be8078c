"""The lab's commands: what is said of each, what they refuse, and the figures that a benchmark writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import serving.cli.main
from foundation.errors import SixplyError
from lab.cli import app, main
from tests.doubles import command_line

EITHER = {("bench_followups", "data"), ("finetune", "data"), ("bench_structured", "data")}
"""Take a file or a folder, and tell them apart themselves."""


@pytest.fixture
def sixply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    return command_line.runner(main, tmp_path, monkeypatch, capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return command_line.write_documents(tmp_path)


def test_every_command_and_every_option_is_explained() -> None:
    for path, command in command_line.commands(get_command(app)):
        assert command.help, f"{' '.join(path)} has no help"
        for parameter in command.params:
            assert parameter.name == "help" or parameter.help, f"{' '.join(path)}: {parameter.name} has no help"


def test_every_path_that_a_command_takes_is_said_to_be_a_file_or_a_folder() -> None:
    """Then a folder in place of a file is refused before anything is read."""
    for _, command in command_line.commands(get_command(app)):
        for name, hint in get_type_hints(command.callback, include_extras=True).items():
            kinds, told = get_args(hint)[:1], get_args(hint)[1:]
            if Path in (*kinds, *(part for kind in kinds for part in get_args(kind))):
                either = (command.callback.__name__, name) in EITHER
                assert told[0].dir_okay + told[0].file_okay == 1 + either, f"{command.callback.__name__}: {name}"


@pytest.mark.parametrize("content", [None, b"\xb4\xff", b"[1,2"])
@pytest.mark.parametrize("command", ["pictures", "bench-structured", "bench-followups"])
def test_a_file_that_is_none_of_its_kind_is_an_error_in_one_text(
    tmp_path: Path, command: str, content: bytes | None
) -> None:
    file = tmp_path / "given"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    done = CliRunner().invoke(app, [command, str(file)])
    assert done.exit_code == 2 or isinstance(done.exception, SixplyError), done.output


def test_a_benchmark_of_retrieval_writes_the_agreed_figures_and_leaves_no_document(
    sixply: Callable[..., Any],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    figures = sixply("bench-retrieval", str(folder / "data"))
    agreed = (
        "ndcg_at_10 recall_at_10 recall_at_100 mrr_at_10 precision_at_3 recall_at_3 docs_per_s query_p50_ms query_p95_ms "
        "peak_rss_mb documents queries"
    )
    assert set(agreed.split()) <= set(figures)
    assert (figures["documents"], figures["queries"], figures["recall_at_10"]) == (2, 2, 1.0)
    product = command_line.runner(serving.cli.main.main, tmp_path, monkeypatch, capsys)
    assert product("documents", "--tenant", "bench")["documents"] == []


def test_a_benchmark_of_answers_writes_the_agreed_figures(sixply: Callable[..., Any], folder: Path) -> None:
    figures = sixply("bench-answers", str(folder / "data"))
    agreed = (
        "answer_contained token_f1 citation_precision citation_recall refused_unanswerable answered_share "
        "words_per_answer s_per_answer usd_per_answer rows"
    )
    assert set(agreed.split()) <= set(figures)
    assert (figures["answer_contained"], len(figures["rows"])) == (1.0, 1)


def test_a_benchmark_of_answers_asks_foreign_questions_and_draws_its_risk(
    sixply: Callable[..., Any], folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "queries.jsonl").write_text(json.dumps({"_id": "1", "text": "Which spices season goulash?"}) + "\n")
    drawn = tmp_path / "plots" / "risk.svg"
    figures = sixply("bench-answers", str(folder / "data"), "--foreign", str(other), "--plot", str(drawn))

    assert (figures["n_foreign"], figures["foreign"]) == (1, "other")
    assert 0 <= figures["rows"][0]["confidence"] <= 1
    assert figures["risk_coverage"]["document"]["points"][-1]["n"] == 1
    assert drawn.read_text().startswith("<svg xmlns=")


def test_bench_parse_writes_a_row_for_every_file_and_names_what_was_refused(
    sixply: Callable[..., Any], folder: Path
) -> None:
    strings = folder / "strings.json"
    strings.write_text(json.dumps(["", "moon'; DROP TABLE documents;--", "\u202e\x00", "*"]))
    figures = sixply("bench-parse", str(folder / "documents"), "--mutate", "5", "--strings", str(strings))

    assert (figures["files"], figures["text"], figures["reasons"]) == (3, 2, {"malformed": 1})
    assert (figures["mutated_files"], figures["strings"], figures["strings_failed"]) == (5, 4, 0)


def test_a_benchmark_of_ingest_writes_the_agreed_figures(sixply: Callable[..., Any], tmp_path: Path) -> None:
    texts = ("A lamp.", " ", "A kettle.", "A clock.")  # one document without a text is nothing to measure
    rows = [json.dumps({"_id": str(n), "title": "", "text": text}) for n, text in enumerate(texts)]
    (tmp_path / "corpus.jsonl").write_text("\n".join(rows), encoding="utf-8")
    figures = sixply("bench-ingest", "--data", str(tmp_path), "--limit", "9", "--chunks", "1000")
    agreed = "encoder_share second_run_share second_run_embedded renamed_embedded changed_embedded memory_growth_mb"
    assert set(agreed.split()) <= set(figures)
    assert (figures["documents"], figures["second_run_embedded"]) == (3, 0)


def test_a_benchmark_of_long_conversations_writes_what_is_kept_and_says_that_its_model_is_a_double(
    sixply: Callable[..., Any],
) -> None:
    figures = sixply("bench-context", "--window", "8192", "--facts", "2", "--turns", "12", "--rounds", "30")
    assert "double" in figures["model"]
    rows = {(row["language"], row["what"]): row for row in figures["rows"]}
    for language in ("English", "Chinese"):
        for summaries in ("forgetful", "faithful"):
            assert rows[language, f"conversation, {summaries} summaries"]["retention"] == 1.0
        assert rows[language, "searches at once"]["left_out"] == 0
        assert rows[language, "an effect, then searches"]["outcome_shown"] == 1.0
        assert rows[language, "searches in rounds"]["cached_of_repeated"] > 0.9
    assert all(row["refused"] == 0 for row in figures["rows"])


def test_a_benchmark_of_the_index_writes_the_agreed_figures(sixply: Callable[..., Any]) -> None:
    figures = sixply("bench-index", "--chunks", "300")
    agreed = "recall_at_10 search_p50_ms exact_p50_ms check_p50_ms fusion_p50_ms index_s"
    assert set(agreed.split()) <= set(figures)
    assert (figures["recall_at_10"], figures["chunks"]) == (1.0, 300)
