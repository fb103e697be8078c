"""While a server holds the documents, commands ask it over its API: the same output, as the same person, with a key that is gone after."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from foundation.clock import SystemClock
from serving.access.identity import KeyStore
from serving.cli.address import FILE, Address, announce_address, find_address
from serving.cli.main import main
from serving.server import running
from serving.settings import load
from serving.wiring import open_system
from tests.doubles import command_line

Run = Callable[..., Any]


@pytest.fixture
def sixply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("SIXPLY__RETRIEVAL__VECTORS__USE", "exact")
    monkeypatch.setattr("retrieval.index.lock.PATIENCE_S", 0.0)
    return command_line.runner(main, tmp_path, monkeypatch, capsys, extensions=["served"])


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = command_line.write_documents(tmp_path) / "documents"
    (folder / "broken.pdf").unlink()
    return folder


@contextmanager
def served(folder: Path) -> Iterator[KeyStore]:
    """`sixply serve` in a thread of this process, with one key of somebody else's."""
    loaded = load(folder / "stack.toml")
    keys = KeyStore.of(loaded.settings, SystemClock())
    keys.create(subject="ada", tenant="north", roles=["reader"])
    with open_system(loaded) as system, running(system) as url:
        address = Address(int(url.rpartition(":")[2]), str(loaded.path.resolve()), loaded.answers_by())
        with announce_address(system.context.data_dir, address):
            yield keys
        assert find_address(system.context.data_dir) is None


def without_run(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what differs between two runs of one question."""
    return {key: answer[key] for key in ("status", "text", "citations", "path", "nearest", "question")}


def test_a_question_gets_the_same_answer_as_here_and_the_key_is_gone_after(
    sixply: Run, documents: Path, tmp_path: Path
) -> None:
    sixply("ingest", str(documents))
    question = "How long does the moon lamp run?"
    here = sixply("ask", question)
    with served(tmp_path) as keys:
        there = sixply("ask", question)
        assert [key.subject for key in keys.list()] == ["ada"]
        shown = sixply("ask", question, "--plan", json_too=False)
    assert without_run(there) == without_run(here)
    assert "Asking the server that runs at http://127.0.0.1:" in shown
    assert "retrieve done" in shown
    assert "moon.md, characters" in shown


def test_documents_go_in_beside_a_server_and_only_for_whom_they_are(
    sixply: Run, documents: Path, tmp_path: Path
) -> None:
    with served(tmp_path):
        assert sixply("ingest", str(documents), "--group", "board")["added"] == 2
        assert sixply("ingest", str(documents), "--group", "board")["unchanged"] == 2
        (documents / "sun.md").write_text("# The sun lamp\n\nThe sun lamp weighs three kilograms.\n")
        (documents / "broken.pdf").write_bytes(b"no PDF")
        report = sixply("ingest", str(documents), "--group", "board", status=1)
        assert (report["replaced"], report["unchanged"], [it["uri"] for it in report["refused"]]) == (
            1, 1, ["broken.pdf"],
        )  # fmt: skip
        assert [it["uri"] for it in sixply("documents", "--group", "board")["documents"]] == ["moon.md", "sun.md"]
        assert "three kilograms" in sixply("ask", "What does the sun lamp weigh?", "--group", "board")["text"]
        assert sixply("ask", "What does the sun lamp weigh?")["status"] == "abstained"
        assert sixply("ask", "What does the sun lamp weigh?", "--tenant", "north")["status"] == "abstained"
        report = sixply("ingest", str(documents / "sun.md"), "--group", "board")
        assert (report["unchanged"], "embedding_usd" in report) == (1, False), "one file, too"
        assert "does not know folders. Stop it to use PRUNE" in sixply("ingest", str(documents), "--prune", status=2)
        assert "has no way to it. Stop the server" in sixply("ingest", "--retry", status=2)


def test_a_document_that_is_too_large_for_the_server_is_named_and_the_others_go_in(
    sixply: Run, documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIXPLY__SERVING__HTTP__MAX_BODY_BYTES", "100000")
    (documents / "all-lamps.md").write_text("# All lamps\n\n" + "A lamp shines.\n\n" * 10_000)
    with served(tmp_path):
        report = sixply("ingest", str(documents), status=1)
    (refused,) = report["refused"]
    assert (report["added"], refused["uri"], refused["reason"]) == (2, "all-lamps.md", "too_large")
    assert '"all-lamps.md" is too large. The body is larger than this server takes' in refused["message"]


def test_a_golden_set_is_scored_beside_a_server(sixply: Run, documents: Path, tmp_path: Path) -> None:
    golden = tmp_path / "golden.jsonl"
    case = {
        "id": "g1", "question": "How long does the moon lamp run?", "kind": "answerable", "tenant": "local",
        "gold_documents": ["moon.md"], "answers": ["nine hours"], "answerable": True,
    }  # fmt: skip
    golden.write_text(json.dumps(case))
    with served(tmp_path):
        sixply("ingest", str(documents))
        report = sixply("evaluate", "--golden", str(golden))
    assert report["overall"]["passed"]["mean"] == report["overall"]["retrieval_recall"]["mean"] == 1.0


def test_an_error_of_the_server_is_told_as_here(sixply: Run, tmp_path: Path) -> None:
    with served(tmp_path):
        assert "There is no conversation t-none" in sixply("ask", "How long?", "--thread", "t-none", status=2)
        assert "There is no approval ap-none" in sixply("approve", "ap-none", status=2, json_too=False)


def test_a_server_of_another_stack_or_environment_does_not_answer_for_this_one(
    sixply: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other.toml").write_text(
        (tmp_path / "stack.toml").read_text() + "\n[orchestration.budget]\nusd = 0.25\n"
    )
    (tmp_path / "copy.toml").write_text((tmp_path / "stack.toml").read_text())
    with served(tmp_path):
        said = sixply("ask", "How long?", "--stack", str(tmp_path / "other.toml"), status=2)
        assert 'orchestration.budget.usd is "0.5" there, "0.25" here' in said
        assert f"STACK={tmp_path / 'stack.toml'}" in said, "and how to ask it all the same"
        assert sixply("ask", "How long?", "--stack", str(tmp_path / "copy.toml"))["status"] == "abstained"
        monkeypatch.setenv("SIXPLY__ORCHESTRATION__BUDGET__TOKENS", "5000")
        assert "orchestration.budget.tokens" in sixply("ask", "How long?", status=2)
        assert "take the change back" in sixply("ingest", str(tmp_path / "copy.toml"), status=2)
        monkeypatch.delenv("SIXPLY__ORCHESTRATION__BUDGET__TOKENS")
        monkeypatch.setenv("SIXPLY__EXTENSIONS", '["served", "facts"]')
        assert 'extensions is "served" there, "served, facts" here' in sixply("ask", "How long?", status=2)


def test_without_a_server_there_is_no_address(tmp_path: Path) -> None:
    assert find_address(tmp_path) is None
    with announce_address(tmp_path, Address(8600)):
        assert find_address(tmp_path) == Address(8600)
        assert (tmp_path / FILE).stat().st_mode & 0o077 == 0
    assert find_address(tmp_path) is None


def test_a_full_disk_hides_the_server_from_commands_and_does_not_stop_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def write(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("serving.cli.address.os.write", write)
    with announce_address(tmp_path, Address(8600)):
        assert find_address(tmp_path) is None
    assert "No space left" in caplog.text


def test_off_a_command_beside_a_server_says_that_it_has_to_be_stopped(
    sixply: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIXPLY__EXTENSIONS", "[]")
    with served(tmp_path):
        assert "Stop the server, run the command and start it again" in sixply("ask", "How long?", status=2)
