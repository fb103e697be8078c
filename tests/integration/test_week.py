"""A small week of a whole system: asked over its own path, judged, looked back at, and made into cases."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foundation import components, names
from foundation.clock import SystemClock
from foundation.errors import PersonErased, StoreUnavailable
from foundation.settings import Part
from foundation.stores.erasures import Erasures
from foundation.types import Principal
from observability.stores import history
from observability.stores.spans import SpanStore
from orchestration.actions import Approval
from orchestration.events import Answer
from orchestration.memory.conversations import SHARED
from orchestration.requests import AnswerRequest
from orchestration.run import answering
from retrieval.documents import Source
from retrieval.ingest.preparation import Item
from serving.access.identity import KeyStore
from serving.cli import main
from serving.cli.govern import erasure
from serving.settings import load
from serving.wiring import System, open_system
from tests.doubles import stacks

ADA = Principal("ada", "north", frozenset({"reader"}))
QUESTION = "Within how many days may a device be returned?"


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """The chat model and the embedder are doubles; everything else is what a user runs."""
    path = stacks.stack(tmp_path)
    with open_system(load(path)) as system:
        assert answer_once(system).status == "answered"
    return path


def answer_once(system: System) -> Answer:
    text = b"A device may be returned within 30 days of the delivery."
    system.retrieval.ingestor.ingest([Item(Source("returns.md", "north", title="Returns"), text, "returns.md")])
    return asyncio.run(answering.answer(system.agent, AnswerRequest(question=QUESTION), ADA))


def run(*arguments: object) -> str:
    done = CliRunner().invoke(main.app, [str(one) for one in arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_what_was_asked_and_taken_in_is_listed_by_name_and_a_start_is_not(stack: Path) -> None:
    with open_system(load(stack)):
        pass
    names_of = [span.name for span in SpanStore(load(stack).settings.foundation.data_dir / "spans.sqlite").recent()]
    assert names_of == ["invoke_agent quoting", "ingest"]
    costs = json.loads(run("costs", "--stack", stack, "--json", "-"))
    with open_system(load(stack)):
        pass
    assert json.loads(run("costs", "--stack", stack, "--json", "-")) == costs, "nor is it paid for"


def test_an_answer_carries_its_scores_on_its_spans(stack: Path) -> None:
    naming = [names.OPERATION, names.CONFIDENCE, names.TOP_SCORE]  # steps are no operation of the conventions
    spans = history.between(SpanStore(stack.parent / "var" / "spans.sqlite"), 0, 2**63 - 1, naming=naming)
    (agent,) = [span for span in spans if span.attribute(names.OPERATION) == names.INVOKE_AGENT]
    assert agent.attribute("sixply.question.signature") is None, "nobody compares the weeks"
    of_trace = [span for span in spans if span.trace_id == agent.trace_id]
    assert any(
        0 <= span.attribute(names.CONFIDENCE) <= 1 for span in of_trace if span.attribute(names.CONFIDENCE) is not None
    )
    assert any(span.attribute(names.TOP_SCORE) is not None for span in of_trace)


SECRET = "my bank is Fenwick and Daughters"


def said_in(folder: Path) -> list[str]:
    """The files of the data folder that hold the words, whatever their format."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes())


def test_everything_that_a_person_said_is_erased_and_nobody_elses(stack: Path, tmp_path: Path) -> None:
    data = tmp_path / "var"
    keys = KeyStore.of(load(stack).settings, SystemClock())
    keys.create(subject="zoe", tenant="north", roles=["reader"])
    zoe = Principal("zoe", "north", frozenset({"reader"}))
    with open_system(load(stack)) as system:
        request = AnswerRequest(question=f"{QUESTION} By the way, {SECRET}.")
        given = asyncio.run(answering.answer(system.agent, request, zoe))
        named = f"Of {SECRET}"
        asyncio.run(system.agent.conversations.change(given.thread_id, zoe, title=named, pinned=True))
        asyncio.run(system.agent.conversations.label(given.thread_id, zoe, {SHARED: "a mark"}))
        asyncio.run(system.orchestration.approvals.request(_approval("zoe")))
        asyncio.run(system.orchestration.approvals.request(_approval("ada")))
    assert said_in(data)
    run("erase", "--stack", stack, "--tenant", "north", "--user", "zoe", "--json", tmp_path / "erased.json")
    report = json.loads((tmp_path / "erased.json").read_text())
    told = {row["store"]: row["count"] for row in report["erased"] if row["count"]}
    assert told == {"keys": 1, "spans": 1, "approvals": 1, "costs": 1, "conversations": 1}
    assert report["unclaimed"] == []
    assert not report["cut_off_before"]
    assert said_in(data) == []
    with open_system(load(stack)) as system:
        assert len(asyncio.run(system.agent.conversations.all(ADA))) == 1
        assert [one.requested_by for one in asyncio.run(system.orchestration.approvals.pending("north"))] == ["ada"]
    again = tmp_path / "again.json"
    run("erase", "--stack", stack, "--tenant", "north", "--user", "zoe", "--json", again)
    assert {one["count"] for one in json.loads(again.read_text())["erased"]} == {0}


def test_an_erasure_that_was_killed_is_done_again_and_says_so(
    stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "erased.json"

    async def killed(*_: object) -> int:
        raise StoreUnavailable("killed here")

    with monkeypatch.context() as patched:
        patched.setattr(erasure, "_delete_threads", killed)
        with pytest.raises(AssertionError):
            run("erase", "--stack", stack, "--tenant", "north", "--user", "ada")
    with pytest.raises(PersonErased), Erasures(tmp_path / "var").acting_for(ADA):
        pass
    run("erase", "--stack", stack, "--tenant", "north", "--user", "ada", "--json", told)
    report = json.loads(told.read_text())
    assert report["cut_off_before"]
    assert {row["store"]: row["count"] for row in report["erased"]}["conversations"] == 1
    with Erasures(tmp_path / "var").acting_for(ADA):
        pass


def test_a_name_under_which_nothing_is_kept_and_a_file_that_nobody_knows_are_told(stack: Path, tmp_path: Path) -> None:
    said = run("erase", "--stack", stack, "--tenant", "north", "--user", "Ada")
    assert 'Nothing is kept of "Ada"' in " ".join(said.split())
    assert "letter by letter" in said
    (tmp_path / "var" / "notes.txt").write_text("ada said")
    done = CliRunner().invoke(main.app, ["erase", "--stack", str(stack), "--tenant", "north", "--user", "Ada"])
    assert done.exit_code == 1
    assert "notes.txt" in done.output


def test_every_adapter_that_may_keep_something_says_what() -> None:
    sections = (
        "retrieval.ledger",
        "retrieval.vectors",
        "serving.cache",
        "orchestration.checkpoints",
        "observability.exporters",
    )
    for section in sections:
        for name in components.available(section):
            stores = components.stores_of(section, Part(use=name))
            assert stores, f"{section} {name} has no stores(options)"
            assert all(store.stays or store.erase for store in stores)


def _approval(subject: str) -> Approval:
    now = datetime.now(UTC)
    return Approval(
        approval_id=f"ap-{subject}", thread_id="t", tenant="north", requested_by=subject, tool="send",
        arguments={"text": SECRET if subject == "zoe" else ""}, arguments_hash="h", reason="", requested_at=now,
        expires_at=now + timedelta(hours=1),
    )  # fmt: skip


def test_what_waits_is_listed_without_json_and_says_how_to_decide(tmp_path: Path) -> None:
    path = stacks.stack(tmp_path)
    assert "Nothing waits." in run("approvals", "--tenant", "north", "--stack", path)
    with open_system(load(path)) as system:
        asyncio.run(system.orchestration.approvals.request(_approval("ada")))
    told = run("approvals", "--tenant", "north", "--stack", path)
    assert "text=" in told
    assert "{" not in told
    assert "make approve ID=" in told


def test_retention_takes_what_is_too_old_and_leaves_the_rest(stack: Path, tmp_path: Path) -> None:
    stack.write_text(stack.read_text() + "[foundation.retention]\nspans_days = 1\nconversations_days = 1\n")
    manifests = tmp_path / "var" / "manifests"
    named = {*manifests.iterdir()}
    with open_system(load(stack)) as system:
        old = int((datetime.now(UTC) - timedelta(days=3)).timestamp() * 1e9)
        with closing(sqlite3.connect(tmp_path / "var" / "spans.sqlite")) as database, database:
            database.execute("UPDATE spans SET end_ns = ? WHERE id = (SELECT min(id) FROM spans)", (old,))
        assert len(asyncio.run(system.agent.conversations.all(ADA))) == 1
    (manifests / "0123456789abcdef.json").write_text("{}")
    for file in manifests.iterdir():
        os.utime(file, (0, 0))
    run("retention", "--stack", stack, "--json", tmp_path / "kept.json")
    told = {one["store"]: one["count"] for one in json.loads((tmp_path / "kept.json").read_text())["erased"]}
    unnamed = 2  # that file, and the run above, which was asked nothing
    assert told == {"spans": 1, "manifests": unnamed, "conversations": 0}
    assert {*manifests.iterdir()} == named
