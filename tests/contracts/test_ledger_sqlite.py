"""SQLite's own faults, translated."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import StorageFull, StoreUnavailable
from retrieval.contract import DocumentLedger
from retrieval.index.words import WordIndex
from retrieval.ledgers import sqlite
from tests.contracts.test_ledger import PROMISES, entry, opened, words


@pytest.fixture
def sqlite_ledger(data_dir: Path) -> Iterator[Any]:
    built = opened("sqlite", data_dir, busy_timeout_s=0.05)
    yield built
    built.close()


def test_a_full_disk_is_named_and_what_is_stored_can_still_be_read(sqlite_ledger: Any) -> None:
    sqlite_ledger.put([entry("a.md", "Refund.")])
    pages = sqlite_ledger._database._writer.execute("PRAGMA page_count").fetchone()[0]
    sqlite_ledger._database._writer.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageFull, match="free some space") as caught:
        sqlite_ledger.put([entry("b.md", *(f"{n} " * 500 for n in range(100)))])
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    assert words(sqlite_ledger, "refund") == ["Refund."]
    sqlite_ledger._database._writer.execute("PRAGMA max_page_count = 1000000")
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
        raw.execute("PRAGMA user_version = 7")
    raw.close()
    with pytest.raises(StoreUnavailable, match=r"format 7.*make ingest"):
        opened("sqlite", data_dir)


def test_a_process_that_writes_words_in_another_form_cannot_write(sqlite_ledger: Any, data_dir: Path) -> None:
    sqlite_ledger.put([entry("a.md", "Die Straße.")])
    with closing(sqlite3.connect(data_dir / "ledger.sqlite")) as older:
        older.create_function("searchable_6", 1, str)
        with pytest.raises(sqlite3.OperationalError, match="no such function: searchable_7"):
            older.execute("DELETE FROM chunks")
    assert words(sqlite_ledger, "Strasse") == ["Die Straße."]


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

        [connection] = sqlite_ledger._database._idle
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


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_it_keeps_with_an_index_of_words(
    promise: Callable[[DocumentLedger], None], data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Filled at once, by whichever thread writes, so that it answers and not the ledger's own words."""
    monkeypatch.setattr(sqlite, "INDEXED_FROM", 1)
    monkeypatch.setattr(WordIndex, "follow", WordIndex.catch_up)
    with closing(opened("sqlite", data_dir)) as ledger:
        promise(ledger)
