"""The audit's chain: whatever is done to the file is found, as far as a head of it was kept."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from extensions.audit.log import (
    BEGINNING,
    TRIGGERS,
    Head,
    SqliteAudit,
    head_file,
    record_hash,
    verify,
)
from foundation.errors import InvalidRequest, StoreUnavailable
from foundation.stores import sqlite_file
from orchestration.actions import Decision
from orchestration.effects.records import Record, RecordedAgent, Recorders
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer, resume
from tests.doubles.orchestration import LEAD, NORTH, ManualClock, World

RECORDS = 6
SEND = AnswerRequest(question="Please send parcel P-123")
SCHEMA_OF_BEFORE = """
CREATE TABLE IF NOT EXISTS chain (
    number   INTEGER PRIMARY KEY,
    tenant   TEXT NOT NULL,
    body     TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash     TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS chain_by_tenant ON chain (tenant, number);
CREATE TRIGGER IF NOT EXISTS chain_is_not_edited BEFORE UPDATE ON chain
    BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER IF NOT EXISTS chain_is_not_deleted BEFORE DELETE ON chain
    BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
"""


def entry(number: int) -> Record:
    running = {"model": "llama_cpp/small", "manifest_id": "m-1"}
    return Record(tenant="north", subject="ada", run_id=f"r{number}", tool="t", outcome="done", **running)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "audit.sqlite"
    log = SqliteAudit(path, ManualClock())
    for number in range(RECORDS):
        asyncio.run(log.record(entry(number)))
    log.close()
    return path


def tamper(path: Path, *statements: str) -> None:
    """As an intruder who leaves everything else as it was."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for trigger in TRIGGERS:
            database.execute(f"DROP TRIGGER {trigger}")
        for statement in (*statements, *TRIGGERS.values()):
            database.execute(statement)


def kinds(path: Path, known: Head | None = None) -> set[str]:
    return {problem.kind for problem in verify(path, known=known).problems}


def test_an_untouched_audit_is_whole_and_says_who_when_and_with_what(path: Path) -> None:
    found = verify(path)
    assert (found.ok, found.records, found.head.count, found.after_the_kept_head) == (True, RECORDS, RECORDS, 0)
    with closing(sqlite3.connect(path)) as database:
        body = database.execute("SELECT body FROM chain WHERE number = 1").fetchone()[0]
    for part in ('"at":"2026-', '"model":"llama_cpp/small"', '"manifest_id":"m-1"', '"subject":"ada"', '"tool":"t"'):
        assert part in body


@pytest.mark.parametrize("number", range(1, RECORDS + 1))
def test_every_edited_record_is_found(path: Path, number: int) -> None:
    tamper(path, f"UPDATE chain SET body = replace(body, 'ada', 'eve') WHERE number = {number}")
    assert [(one.number, one.kind) for one in verify(path).problems] == [(number, "edited")]


@pytest.mark.parametrize("number", range(1, RECORDS + 1))
def test_every_column_of_a_record_counts(path: Path, number: int) -> None:
    for column, value in {
        "tenant": "'hidden'",
        "body": "'{}'",
        "previous": "'0'",
        "hash": "'0'",
        "number": "99",
    }.items():
        copy = path.with_name(f"{column}.sqlite")
        shutil.copy(path, copy)
        shutil.copy(head_file(path), head_file(copy))
        tamper(copy, f"UPDATE chain SET {column} = {value} WHERE number = {number}")
        assert not verify(copy).ok, column


async def test_a_record_that_was_put_below_another_tenant_is_still_listed_for_its_own(path: Path) -> None:
    tamper(path, "UPDATE chain SET tenant = 'hidden'")
    log = SqliteAudit(path, ManualClock())
    assert (len(await log.entries("north")), await log.entries("hidden")) == (RECORDS, [])
    log.close()
    assert kinds(path) == {"edited"}


def test_a_trigger_that_was_taken_away_or_made_to_do_nothing_is_found(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("DROP TRIGGER chain_is_not_edited")
        database.execute("DROP TRIGGER chain_is_not_deleted")
        database.execute("CREATE TRIGGER chain_is_not_deleted BEFORE DELETE ON chain BEGIN SELECT 1; END")
    assert [(one.kind, one.number) for one in verify(path).problems] == [("unguarded", 0)] * 2
    SqliteAudit(path, ManualClock()).close()
    assert "without chain_is_not_edited, chain_is_not_deleted" in caplog.text


def test_a_chain_of_before_is_whole_and_goes_on(tmp_path: Path) -> None:
    """Until version 0.1.0 of 28 November 2026 the tenant was found by its column; the body had it all along."""
    path = tmp_path / "audit.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(SCHEMA_OF_BEFORE)
        body = '{"at":"2026-11-01","tenant":"north","subject":"ada","run_id":"r","tool":"t","outcome":"done"}'
        digest = record_hash(1, BEGINNING, body)
        database.execute("INSERT INTO chain VALUES (1, 'north', ?, ?, ?)", (body, BEGINNING, digest))
    head_file(path).write_text(f"1:{digest}")
    assert verify(path).ok
    log = SqliteAudit(path, ManualClock())
    asyncio.run(log.record(entry(2)))
    assert len(asyncio.run(log.entries("north"))) == 2
    log.close()
    assert (verify(path).ok, verify(path).records) == (True, 2)


@pytest.mark.parametrize("number", range(1, RECORDS + 1))
def test_an_edited_record_whose_own_hash_was_made_to_fit_is_found(path: Path, number: int) -> None:
    with closing(sqlite3.connect(path)) as database:
        body, previous = database.execute("SELECT body, previous FROM chain WHERE number = ?", (number,)).fetchone()
    body = body.replace("ada", "eve")
    fitting = record_hash(number, previous, body)
    tamper(path, f"UPDATE chain SET body = '{body}', hash = '{fitting}' WHERE number = {number}")
    assert kinds(path) == ({"forged"} if number == RECORDS else {"reordered"})


@pytest.mark.parametrize("number", range(1, RECORDS))
def test_every_dropped_record_is_found(path: Path, number: int) -> None:
    tamper(path, f"DELETE FROM chain WHERE number = {number}")
    assert [(one.number, one.kind) for one in verify(path).problems] == [(number, "dropped")]


def test_a_dropped_record_is_found_though_the_others_were_renumbered(path: Path) -> None:
    tamper(path, "DELETE FROM chain WHERE number = 2", "UPDATE chain SET number = number - 1 WHERE number > 2")
    assert {"reordered", "edited", "truncated"} == kinds(path)


@pytest.mark.parametrize("number", range(1, RECORDS))
def test_two_records_in_each_others_place_are_found(path: Path, number: int) -> None:
    swap = f"UPDATE chain SET number = CASE number WHEN {number} THEN -{number + 1} ELSE -{number} END WHERE number IN"
    tamper(path, f"{swap} ({number}, {number + 1})", "UPDATE chain SET number = -number WHERE number < 0")
    assert "reordered" in kinds(path)


@pytest.mark.parametrize("left", [0, 1, RECORDS - 1])
def test_a_missing_end_is_found_by_the_kept_head(path: Path, left: int) -> None:
    tamper(path, f"DELETE FROM chain WHERE number > {left}")
    (problem,) = verify(path).problems
    assert (problem.number, problem.kind) == (left + 1, "truncated")


def test_an_end_that_was_rewritten_with_the_kept_head_is_found_by_a_head_from_elsewhere(path: Path) -> None:
    known = verify(path).head
    tamper(path, f"DELETE FROM chain WHERE number = {RECORDS}")
    head_file(path).write_text(str(verify(path).head))
    assert verify(path).ok  # what cannot be found from one machine alone
    assert kinds(path, known) == {"truncated"}
    assert kinds(path, Head(1, BEGINNING)) == {"forged"}


@pytest.mark.parametrize("left", [0, 2])
def test_a_chain_that_was_cut_with_its_head_is_found_by_a_span_that_carries_a_later_one(path: Path, left: int) -> None:
    witness = verify(path).head
    tamper(path, f"DELETE FROM chain WHERE number > {left}")
    head_file(path).unlink()
    if left:
        head_file(path).write_text(str(verify(path).head))
    assert verify(path).ok
    (problem,) = verify(path, witnesses=[witness]).problems
    assert (problem.number, problem.kind) == (left + 1, "truncated")


def test_a_missing_or_spoilt_head_is_told(path: Path) -> None:
    head_file(path).unlink()
    assert kinds(path) == {"truncated"}
    head_file(path).write_text("6")
    with pytest.raises(StoreUnavailable, match="not what was written"):
        verify(path)
    with pytest.raises(InvalidRequest):
        Head.parse("six")


def test_a_lost_or_foreign_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="no audit at"):
        verify(tmp_path / "none.sqlite")
    (tmp_path / "text.sqlite").write_text("no database, and long enough to be looked at " * 9)
    with pytest.raises(StoreUnavailable, match="no audit that can be read"):
        verify(tmp_path / "text.sqlite")


def test_a_crash_between_record_and_head_is_not_taken_for_an_intruder(path: Path) -> None:
    before = head_file(path).read_text()
    log = SqliteAudit(path, ManualClock())
    asyncio.run(log.record(entry(7)))
    log.close()
    head_file(path).write_text(before)
    assert (verify(path).ok, verify(path).after_the_kept_head) == (True, 1)


def test_the_log_itself_changes_nothing(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        for statement in ("UPDATE chain SET body = ''", "DELETE FROM chain"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                database.execute(statement)


async def test_writers_side_by_side_make_one_chain(path: Path) -> None:
    """Each has its own connection, as two processes would."""
    logs = [SqliteAudit(path, ManualClock()) for _ in range(3)]
    await asyncio.gather(*(log.record(entry(number)) for number in range(5) for log in logs))
    for log in logs:
        log.close()
    found = verify(path)
    assert (found.ok, found.records, found.after_the_kept_head) == (True, RECORDS + 15, 0)


async def test_an_answer_is_in_the_audit_before_the_caller_has_it(data_dir: Path) -> None:
    world = World(data_dir)
    log = SqliteAudit(data_dir / "audit.sqlite", world.clock)
    agent = RecordedAgent(world.agent(), Recorders([log.record]))
    given = await answer(agent, AnswerRequest(question="How many kilograms may a parcel weigh at most?"), NORTH)
    ((_, record),) = await log.entries("north")
    assert (record.act, record.outcome, record.run_id) == ("answer", "answered", given.answer_id)
    assert record.documents == tuple({citation.document_id for citation in given.citations})

    log.close()
    with pytest.raises(StoreUnavailable):
        await answer(agent, AnswerRequest(question="When does the counter open?"), NORTH)
    world.close()


async def test_a_locked_audit_stops_the_effect_and_the_same_approval_works_afterwards(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT_S", 0.2)
    world = World(data_dir)
    log = SqliteAudit(data_dir / "audit.sqlite", world.clock)
    world.recorders = Recorders([log.record])
    waiting = await answer(world.agent(), SEND, NORTH)
    assert waiting.approval
    decision = Decision(approval_id=waiting.approval.approval_id, approve=True)
    with closing(sqlite3.connect(log_file := data_dir / "audit.sqlite", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            await resume(world.agent(), decision, LEAD)
    assert (await resume(world.agent(), decision, LEAD)).status == "answered"
    assert len(world.depot.sent) == 1
    log.close()
    assert verify(log_file).ok
    world.close()


async def test_a_server_tells_the_head_once_and_whatever_opens_the_audit_besides_does_not(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with closing(SqliteAudit(path, ManualClock())) as audit:
        assert "reaches" not in caplog.text
        async with audit.tell_head(None):
            assert caplog.messages == [f"The audit reaches {verify(path).head}."]
