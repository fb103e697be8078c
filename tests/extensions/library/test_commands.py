"""The commands of the library over real stores; off, none of them is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retrieval.ingest import parsing
from serving.cli.main import main
from tests.doubles import command_line
from tests.make_rules import to_arguments


@pytest.fixture
def sixply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    return command_line.runner(main, tmp_path, monkeypatch, capsys, extensions=("library",))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return command_line.write_documents(tmp_path)


def test_the_corpus_is_described_exported_and_taken_in_elsewhere_without_a_model(
    sixply: Callable[..., Any], folder: Path
) -> None:
    (folder / "documents" / "copy.md").write_text((folder / "documents" / "moon.md").read_text())
    sixply("ingest", str(folder / "documents"), status=1)
    found = sixply("corpus", "--days", "0")
    assert (found["statistics"]["documents"], found["statistics"]["refused"]) == (3, 1)
    assert (found["index"]["chunks_in_ledger"], found["index"]["dimensions"]) == (3, 256)
    assert found["index"]["word_search"] == "FTS5 in the ledger; tantivy from 1,000 passages on"
    assert found["index"]["vector_search"] == "exact at every size"
    assert [(one["a"], one["b"]) for one in found["near_duplicates"]] == [("copy.md", "moon.md")]
    assert {one["uri"] for one in found["stale"]} == {"copy.md", "moon.md", "sun.md"}
    assert sum(one["documents"] for one in found["sources"]) == 3
    assert "pairs that say nearly the same" in sixply("corpus", json_too=False)

    exported = sixply("export", str(folder / "ledger.jsonl.gz"))
    stack = folder / "stack.toml"
    stack.write_text(stack.read_text().replace('/var"', '/elsewhere"'))
    assert sixply("documents")["documents"] == []
    assert sixply("import", str(folder / "ledger.jsonl.gz"))["digest"] == exported["digest"]
    assert sixply("ask", "How long does the moon lamp run?")["status"] == "answered"


def test_the_corpus_counts_what_an_older_parser_read(
    sixply: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sixply("ingest", str(folder / "documents"), status=1)
    assert sixply("corpus")["statistics"]["outdated"] == {}
    monkeypatch.setattr("retrieval.parsers.markdown.TEXT_VERSION", 93)
    monkeypatch.setattr(parsing, "_registry", parsing._registry.__wrapped__)  # nothing is kept of before
    [older] = [version for version in parsing.parser_versions() if version.startswith("markdown ")]
    assert sixply("corpus")["statistics"]["outdated"] == {older: 2}
    assert f"2 of 2 documents were read by an older parser: 2 for {older}." in sixply("corpus", json_too=False)


@pytest.mark.parametrize("command", ["corpus", "export", "import"])
def test_off_its_commands_say_how_to_turn_it_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    without = command_line.runner(main, tmp_path, monkeypatch, capsys)
    assert "make add NAME=library" in without(command, "file", status=2)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("make export TO=a.gz", ["export", "--", "a.gz"]),
        ("make import FROM=a.gz", ["import", "--", "a.gz"]),
        ("make corpus DAYS=180 TENANT=north", ["corpus", "--tenant=north", "--days=180"]),
    ],
)
def test_make_gives_each_value_to_its_option(command: str, arguments: list[str]) -> None:
    assert to_arguments(command) == arguments
