"""SQLite's own faults, translated."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import StorageFull, StoreUnavailable
from foundation.types import NOBODY, Scope
from tests.contracts.test_ledger import ACME, BOARD, NOW, TODAY, entry, key, opened, words


@pytest.fixture
def sqlite_ledger(data_dir: Path) -> Iterator[Any]:
    built = opened("sqlite", data_dir, busy_timeout_s=0.05)
    yield built
    built.close()


def test_a_full_disk_is_named_and_what_is_stored_can_still_be_read(sqlite_ledger: Any) -> None:
    sqlite_ledger.put([entry("a.md", "Refund.")])
    pages = sqlite_ledger._database.writer.execute("PRAGMA page_count").fetchone()[0]
    sqlite_ledger._database.writer.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageFull, match="free some space") as caught:
        sqlite_ledger.put([entry("b.md", *(f"{n} " * 500 for n in range(100)))])
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    assert words(sqlite_ledger, "refund") == ["Refund."]
    sqlite_ledger._database.writer.execute("PRAGMA max_page_count = 1000000")
    sqlite_ledger.put([entry("b.md", "Refund b.")])
    assert len(words(sqlite_ledger, "refund")) == 2


def test_a_writer_that_finds_the_file_locked_says_so_and_readers_go_on(sqlite_ledger: Any, data_dir: Path) -> None:
    sqlite_ledger.put([entry("a.md", "Refund.")])
    other = sqlite3.connect(data_dir / "ledger.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="Another process"):
        sqlite_ledger.put([entry("b.md", "B.")])
    assert words(sqlite_ledger, "refund") == ["Refund."]
    other.execute("ROLLBACK")
    other.close()
    sqlite_ledger.put([entry("b.md", "B.")])


def test_a_file_that_is_no_database_is_named_and_left_alone(data_dir: Path) -> None:
    file = data_dir / "ledger.sqlite"
    file.write_text("Dear diary, " * 500, encoding="utf-8")
    with pytest.raises(StoreUnavailable, match=r"ledger\.sqlite is damaged"):
        opened("sqlite", data_dir)
    assert file.read_text(encoding="utf-8").startswith("Dear diary")


def test_a_ledger_of_another_format_is_refused_by_number(data_dir: Path) -> None:
    opened("sqlite", data_dir).close()
    with sqlite3.connect(data_dir / "ledger.sqlite") as raw:
        raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(StoreUnavailable, match="format 99"):
        opened("sqlite", data_dir)


def test_the_keyword_index_of_a_ledger_before_latin_letters_were_spelt_as_people_type_them_is_rewritten(
    data_dir: Path,
) -> None:
    before = opened("sqlite", data_dir)
    before.put([entry("a.md", "Die Straße."), entry("b.md", "Refund.")])
    before.close()
    with sqlite3.connect(data_dir / "ledger.sqlite") as older:  # a process that goes on running
        older.create_function("searchable", 1, str)
        for name, sql in older.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall():
            older.execute(f"DROP TRIGGER {name}")
            older.execute(sql.replace("searchable_7(", "searchable("))
        older.execute("INSERT INTO search (search) VALUES ('delete-all')")
        older.execute("INSERT INTO search (rowid, heading, text) SELECT sequence, heading, text FROM chunks")
        older.execute("PRAGMA user_version = 5")
        assert older.execute("SELECT count(*) FROM search WHERE search MATCH 'strasse'").fetchone() == (0,)

    after = opened("sqlite", data_dir)
    assert words(after, "Strasse") == words(after, "Straße") == ["Die Straße."]
    assert words(after, "refund") == ["Refund."]
    with pytest.raises(sqlite3.OperationalError, match="no such function: searchable_7"):
        older.execute("DELETE FROM chunks")
    older.close()
    after.delete(key("a.md"))
    assert after._database.writer.execute("SELECT count(*) FROM search WHERE search MATCH 'strasse'").fetchone() == (0,)
    after.close()
    opened("sqlite", data_dir).close()


def test_a_data_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreUnavailable, match="file"):
        opened("sqlite", tmp_path / "file")


def test_asking_for_known_vectors_reads_no_more_of_a_full_ledger_than_of_an_empty_one(sqlite_ledger: Any) -> None:
    """SQLite would rather walk through all documents of the tenant, and an ingest asks for every passage."""

    def steps() -> int:
        done = 0

        def step() -> int:
            nonlocal done
            done += 1
            return 0

        [connection] = sqlite_ledger._database.idle
        connection.set_progress_handler(step, 1)
        assert sqlite_ledger.known_vectors(["Said nowhere."], "acme") == {}
        connection.set_progress_handler(None, 0)
        return done

    sqlite_ledger.put([entry("0.md", "Refund.")])
    assert words(sqlite_ledger, "refund") == ["Refund."]
    first = steps()
    assert first > 0
    sqlite_ledger.put([entry(f"{number}.md", f"Refund {number}.") for number in range(1, 50)])
    assert steps() <= first


def test_documents_of_a_ledger_that_named_them_by_uri_alone_are_named_by_their_readers_too(data_dir: Path) -> None:
    """With what an earlier version is a version of, and with refusals for nobody but the owner."""
    board, about = frozenset({"board"}), {"series": "a.md", "effective_from": date(2025, 1, 1)}
    given = [
        entry("a.md", "Refund now.", groups=board, series="a.md", effective_from=date(2025, 2, 1)),
        entry("a.md@2025-01-01", "Refund then.", groups=board, content_hash="version h", **about),
        entry("open.md", "Refund open."),
    ]
    before = opened("sqlite", data_dir)
    before.put(given)
    at = before.sequence()
    before.close()
    with closing(sqlite3.connect(data_dir / "ledger.sqlite", isolation_level=None)) as raw:
        raw.create_function("searchable_7", 1, str)
        columns = (
            "document_id, tenant, uri, groups, title, media_type, series, effective_from, published, origin, attributes"
        )
        sizes = "content_hash, characters, chunks, ingested_at, text, outline"
        raw.executescript(f"""
            CREATE TABLE old AS SELECT {columns}, {sizes} FROM documents;
            DROP TABLE documents;
            ALTER TABLE old RENAME TO documents;
            CREATE UNIQUE INDEX names ON documents (tenant, uri);
            CREATE INDEX versions ON documents (tenant, series, effective_from) WHERE series IS NOT NULL;
            DROP TABLE refusals;
            CREATE TABLE refusals (tenant TEXT, uri TEXT, reason TEXT, message TEXT, at TEXT);
            INSERT INTO refusals VALUES ('acme', 'never.md', 'empty', 'It is empty.', '2026-01-01T00:00:00+00:00');
        """)
        for uri in ("a.md", "a.md@2025-01-01"):
            ids = (key(uri), key(uri, groups=board))
            for table in ("documents", "filterable", "chunks"):
                raw.execute(f"UPDATE {table} SET document_id = ? WHERE document_id = ?", ids)
        raw.execute("UPDATE chunks SET chunk_id = 'old ' || chunk_id WHERE document_id <> ?", (key("open.md"),))
        for name, sql in raw.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall():
            raw.execute(f"DROP TRIGGER {name}")
            raw.execute(sql.replace("searchable_7(", "searchable_6("))
        raw.execute("PRAGMA user_version = 6")

    after = opened("sqlite", data_dir)
    [now, then] = after.documents(replace(BOARD, classes=frozenset({"unclassified"})))[:2]
    assert (now.document_id, then.source.version_of) == (key("a.md", groups=board), now.document_id)
    assert now.ingested_at == NOW
    assert words(after, "refund", BOARD, as_of=TODAY) == ["Refund now.", "Refund open."]
    assert len(list(after.deletions(after=at))) == len(list(after.embeddings(after=at))) == 2, "the index is told"
    assert after.refusals(ACME) == []
    assert [one.uri for one in after.refusals(Scope("acme", frozenset({NOBODY})))] == ["never.md"]
    after.put([entry("a.md", "Refund now.")])
    assert words(after, "refund", BOARD, as_of=TODAY) == ["Refund now.", "Refund now.", "Refund open."]
    assert after._database.writer.execute("PRAGMA foreign_key_check").fetchall() == []
    after.close()
    opened("sqlite", data_dir).close()
