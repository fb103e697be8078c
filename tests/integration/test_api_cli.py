"""The command line over a whole system: real wiring and stores, doubles in place of the two models."""

import errno
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from retrieval.index.lock import Ownership
from retrieval.ingest import parsing
from serving.cli.main import main
from tests.doubles import command_line


@pytest.fixture
def sixply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    return command_line.runner(main, tmp_path, monkeypatch, capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return command_line.write_documents(tmp_path)


def test_documents_go_in_are_listed_and_asked_and_the_answer_can_be_traced(
    sixply: Callable[..., Any], folder: Path
) -> None:
    report = sixply("ingest", str(folder / "documents"), status=1)
    assert (report["added"], [one["uri"] for one in report["refused"]]) == (2, ["broken.pdf"])
    listed = sixply("documents")
    assert [one["uri"] for one in listed["documents"]] == ["moon.md", "sun.md"]
    assert [one["uri"] for one in listed["refusals"]] == ["broken.pdf"]
    assert sixply("documents", "--tenant", "other")["documents"] == []

    answer = sixply("ask", "How long does the moon lamp run?")
    assert (answer["status"], answer["path"]) == ("answered", "extractive")
    assert "nine hours" in answer["text"]
    shown = sixply("ask", "How long does the moon lamp run?", "--plan", json_too=False)
    assert "moon.md, characters" in shown
    assert "retrieve done" in shown
    assert "rerun with THREAD=" in shown

    traced = sixply("trace", answer["trace_id"][:12])
    assert traced["bill"]["total"]["adds_up"] is True
    told = sixply("trace", "last", json_too=False)
    assert "invoke_agent" in told
    assert {total["key"] for total in sixply("costs", "--by", "tenant")} == {"local"}


def test_an_earlier_version_answers_only_who_asks_for_its_day(sixply: Callable[..., Any], folder: Path) -> None:
    known = [
        {"path": f"lamp-{year}.md", "series": "lamp", "effective_from": f"{year}-01-01"} for year in ("2024", "2025")
    ]
    (folder / "sources.jsonl").write_text("\n".join(json.dumps(one) for one in known))
    for year, hours in (("2024", "six"), ("2025", "nine")):
        (folder / "documents" / f"lamp-{year}.md").write_text(f"# Star lamp\n\nThe star lamp runs for {hours} hours.\n")
    sixply("ingest", str(folder / "documents"), status=1)
    question = "How long does the star lamp run?"
    assert "nine hours" in sixply("ask", question)["text"]
    earlier = sixply("ask", question, "--as-of", "2024-06-30")
    assert "six hours" in earlier["text"]
    assert earlier["as_of"] == "2024-06-30"
    assert "in force on 2024-06-30" in sixply("ask", question, "--as-of", "2024-06-30", json_too=False)
    assert "is not a date" in sixply("ask", question, "--as-of", "last year", status=2)


def test_a_folder_that_is_read_again_tells_what_changed_was_renamed_and_is_gone(
    sixply: Callable[..., Any], folder: Path
) -> None:
    documents = folder / "documents"
    (documents / "broken.pdf").unlink()
    (documents / "star.md").write_text("# Star\n\nThe star lamp is blue.\n")
    assert sixply("ingest", str(documents))["added"] == 3
    (documents / "moon.md").rename(documents / "luna.md")
    (documents / "sun.md").write_text("# The sun lamp\n\nThe sun lamp weighs three kilograms.\n")
    (documents / "star.md").unlink()
    report = sixply("ingest", str(documents))
    assert (report["changed"], report["renamed"], report["removed"]) == (
        ["sun.md"],
        [["moon.md", "luna.md"]],
        ["star.md"],
    )
    assert [one["uri"] for one in sixply("documents")["documents"]] == ["luna.md", "moon.md", "star.md", "sun.md"]
    assert "PRUNE=1" in sixply("ingest", str(documents), json_too=False)
    sixply("ingest", str(documents), "--prune")
    assert [one["uri"] for one in sixply("documents")["documents"]] == ["luna.md", "sun.md"]
    again = sixply("ingest", str(documents))
    assert (again["unchanged"], again["changed"], again["renamed"], again["removed"]) == (2, [], [], [])
    assert "is none" in sixply("ingest", str(documents / "sun.md"), "--prune", status=2)


def test_an_ingest_that_is_interrupted_says_what_is_stored_and_goes_on_when_it_is_run_again(
    sixply: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def interrupted() -> Iterator[Callable[[str, int, int], None]]:
        def advance(_: str, done: int, total: int) -> None:
            if done == total:
                raise KeyboardInterrupt

        yield advance

    documents = str(folder / "documents")
    with monkeypatch.context() as patch:
        patch.setattr("serving.cli.terminal.progress", interrupted)
        patch.setattr("retrieval.ingest.pipeline.SENT_ITEMS", 1)
        patch.setattr("retrieval.ingest.pipeline.UNDER_WAY", 1)  # so the first is stored when the second is sent
        said = sixply("ingest", documents, status=130, json_too=False)
    stored = len(sixply("documents")["documents"])
    assert stored in (1, 2)
    assert f"Stopped. {stored} of 3 documents are stored" in said
    again = sixply("ingest", documents, status=1)
    assert (again["unchanged"], again["added"]) == (stored, 2 - stored)


def test_while_another_process_holds_the_documents_a_question_is_told_how_to_go_on(
    sixply: Callable[..., Any], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIXPLY__RETRIEVAL__VECTORS__USE", "exact")
    monkeypatch.setattr("retrieval.index.lock.PATIENCE_S", 0.0)
    sixply("ingest", str(folder / "documents"), status=1)
    (lock,) = tmp_path.rglob("owner.lock")
    server = Ownership(lock, what="The vector index")
    refused = " ".join(sixply("ask", "How long?", status=2).split())
    assert "If that is `make serve`, ask over its API, or stop it; else wait until it has ended." in refused
    server.release()
    assert sixply("ask", "How long does the moon lamp run?")["status"] == "answered"


def test_what_must_not_or_cannot_be_read_is_listed_stops_none_of_the_others_and_is_not_taken_for_gone(
    sixply: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = folder / "documents"
    (documents / "broken.pdf").unlink()
    (documents / "below").mkdir()
    (documents / "below" / "star.md").write_text("# Star\n\nThe star lamp is blue.\n")
    assert sixply("ingest", str(documents))["added"] == 3

    (folder / "secret.md").write_text("The key lies under the mat.")
    (documents / "key.md").symlink_to(folder / "secret.md")
    (documents / os.fsdecode(b"\xff.md")).symlink_to(documents / "nowhere")
    (documents / "new.md").write_text("# The new lamp\n\nIt is green.\n")
    real = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path) == documents / "below":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    report = sixply("ingest", str(documents), "--prune", status=1)

    assert (report["added"], report["unchanged"], report["removed"]) == (1, 2, [])
    found = [(one["uri"], one["reason"]) for one in report["refused"]]
    assert found == [("below/", "unreadable"), ("key.md", "outside"), ("\\xff.md", "unreadable")]
    listed = sixply("documents")
    assert [one["uri"] for one in listed["documents"]] == ["below/star.md", "moon.md", "new.md", "sun.md"]
    assert [(one["uri"], one["reason"]) for one in listed["refusals"]] == [
        ("\\xff.md", "unreadable"),
        ("key.md", "outside"),
    ]

    (documents / "key.md").unlink()
    (documents / "key.md").write_text("# Keys\n\nNow a file.\n")
    assert sixply("ingest", str(documents), status=1)["added"] == 1
    assert [one["uri"] for one in sixply("documents")["refusals"]] == ["\\xff.md"]


def test_a_name_that_cannot_be_looked_at_is_an_error_that_says_so(sixply: Callable[..., Any]) -> None:
    assert "cannot be looked at: File name too long" in sixply("ingest", "a" * 300, status=2)
    assert "reads documents from" in sixply("ingest", f"https://example.com/{'a' * 300}", status=2)


def test_one_file_is_taken_under_its_own_name_and_restricted_to_a_group(
    sixply: Callable[..., Any], folder: Path
) -> None:
    assert sixply("ingest", str(folder / "documents" / "moon.md"), "--group", "board")["added"] == 1
    listed = sixply("documents")
    assert (listed["documents"], listed["of_other_groups"]) == ([], 1)
    told = sixply("documents", json_too=False)
    assert "1 more can be read only by groups" in told
    assert "moon" not in told
    assert "board" not in told
    assert sixply("documents", "--tenant", "other")["of_other_groups"] == 0
    listed = sixply("documents", "--group", "board")
    assert ([one["uri"] for one in listed["documents"]], listed["of_other_groups"]) == (["moon.md"], 0)


def test_what_was_refused_is_tried_again_without_being_sent_again(sixply: Callable[..., Any], folder: Path) -> None:
    (folder / "documents" / "long.md").write_text("The long lamp. " * 1000)
    stack = folder / "stack.toml"
    stack.write_text(stack.read_text() + "[retrieval.parsing]\nmax_pages = 1\n")
    sixply("ingest", str(folder / "documents"), status=1)
    assert [one["uri"] for one in sixply("documents")["refusals"]] == ["broken.pdf", "long.md"]
    stack.write_text(stack.read_text().replace("max_pages = 1", "max_pages = 2"))
    report = sixply("ingest", "--retry", status=1)
    assert (report["added"], [one["reason"] for one in report["refused"]]) == (1, ["malformed"])
    assert [one["uri"] for one in sixply("documents")["refusals"]] == ["broken.pdf"]


def test_an_address_is_not_fetched_without_an_extension(sixply: Callable[..., Any]) -> None:
    told = sixply("ingest", "https://example.com/a.html", status=2)
    assert 'No extension that is on reads documents from "https://example.com/a.html"' in told
    assert "make extensions" in told
    assert '"no-such-folder" does not exist' in sixply("ingest", "no-such-folder", status=2)
    assert "Name what to ingest" in sixply("ingest", "", status=2)


def test_documents_that_a_newer_parser_would_read_are_counted_and_searched_as_they_are(
    sixply: Callable[..., Any], folder: Path
) -> None:
    (folder / "documents" / "star.txt").write_text("The star lamp is blue.\n")
    sixply("ingest", str(folder / "documents"), status=1)
    assert sixply("documents")["outdated"] == {}
    assert "older parser" not in sixply("documents", json_too=False)
    [newer] = [version for version in parsing.parser_versions() if version.startswith("markdown ")]
    with closing(sqlite3.connect(next(folder.rglob("ledger.sqlite")))) as ledger, ledger:
        ledger.execute("UPDATE documents SET parsers = ? WHERE uri LIKE '%.md'", (json.dumps(["markdown 1"]),))
    assert sixply("documents")["outdated"] == {newer: 2}
    told = sixply("documents", json_too=False)
    assert f"2 of 3 documents were read by an older parser: 2 for {newer}." in told
    assert "make ingest of the same source reads them anew" in told
    assert sixply("ask", "How long does the moon lamp run?")["status"] == "answered"
    report = sixply("ingest", str(folder / "documents"), status=1)
    assert (report["added"], report["replaced"], report["unchanged"], report["changed"]) == (0, 2, 1, [])


def test_another_embedder_is_refused_until_a_reindex(sixply: Callable[..., Any], folder: Path) -> None:
    sixply("ingest", str(folder / "documents"), status=1)
    stack = folder / "stack.toml"
    stack.write_text(stack.read_text().replace('use = "hashing"', 'use = "hashing"\ndimensions = 64'))
    assert "reindex" in sixply("ask", "moon lamp", status=2)
    assert "2 documents" in sixply("reindex", json_too=False)
    assert sixply("ask", "How long does the moon lamp run?")["status"] == "answered"


def test_a_report_can_go_to_a_file_and_still_be_shown(sixply: Callable[..., Any], tmp_path: Path) -> None:
    target = tmp_path / "deep" / "config.json"
    shown = sixply("config", "--json", str(target), json_too=False)
    assert "models.chat.use" in shown
    assert json.loads(target.read_text())["models.chat.use"]["value"] == "scripted"
    assert "Cannot write" in sixply("config", "--json", str(target / "more.json"), status=2, json_too=False)
    assert "is a directory" in sixply("config", "--json", str(tmp_path), status=2, json_too=False)


def test_a_question_to_an_empty_ledger_says_that_there_is_no_document_yet(sixply: Callable[..., Any]) -> None:
    assert "There are no documents yet. Add yours: make ingest SRC=folder" in sixply(
        "ask", "How long does the moon lamp run?", json_too=False
    )
