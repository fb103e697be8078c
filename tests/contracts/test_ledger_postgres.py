"""What the ledger in PostgreSQL promises besides what every ledger does: other processes, timeouts, a server that restarts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundation.errors import StorageFull, StoreUnavailable
from foundation.stores.postgres import without_time_limit
from foundation.types import EVERY_TENANT, NOBODY, Scope
from retrieval.contract import Entry, Source
from tests import services
from tests.contracts import bad_line
from tests.contracts.test_ledger import ACME, NOW, entry, opened, words
from tests.doubles.relay import Relay

FORMAT_3 = """
CREATE TABLE documents (
  document_id text COLLATE "C" PRIMARY KEY,
  tenant text COLLATE "C" NOT NULL,
  uri text COLLATE "C" NOT NULL,
  groups text[] COLLATE "C" NOT NULL,
  title text NOT NULL,
  media_type text NOT NULL,
  series text COLLATE "C",
  effective_from date,
  published date,
  origin text NOT NULL,
  attributes text NOT NULL,
  content_hash text NOT NULL,
  characters integer NOT NULL,
  chunks integer NOT NULL,
  ingested_at timestamptz NOT NULL,
  text text NOT NULL,
  outline text NOT NULL
);
CREATE INDEX versions ON documents USING hash (series);
CREATE TABLE filterable (
  document_id text COLLATE "C" NOT NULL REFERENCES documents, name text COLLATE "C" NOT NULL,
  text text COLLATE "C", number float8
);
CREATE INDEX filterable_by_document ON filterable (document_id);
CREATE TABLE chunks (
  sequence bigint PRIMARY KEY,
  chunk_id text COLLATE "C" NOT NULL UNIQUE,
  document_id text COLLATE "C" NOT NULL REFERENCES documents,
  position integer NOT NULL,
  start integer NOT NULL,
  "end" integer NOT NULL,
  page integer,
  heading_path text NOT NULL,
  text text NOT NULL,
  length integer NOT NULL,
  digest text NOT NULL,
  embedding bytea NOT NULL
);
CREATE INDEX chunks_by_document ON chunks (document_id);
CREATE INDEX chunks_by_digest ON chunks USING hash (digest);
CREATE TABLE deletions (sequence bigint PRIMARY KEY, chunk_id text COLLATE "C" NOT NULL UNIQUE);
CREATE TABLE refusals (
  document_id text COLLATE "C" PRIMARY KEY, tenant text COLLATE "C" NOT NULL, uri text COLLATE "C" NOT NULL,
  reason text NOT NULL, message text NOT NULL, at timestamptz NOT NULL
);
CREATE TABLE commits (sequence bigint PRIMARY KEY, stamp text NOT NULL);
CREATE TABLE fingerprint (one boolean PRIMARY KEY, value text NOT NULL);
CREATE TABLE postings (
  term text COLLATE "C", sequence bigint, frequency integer NOT NULL, length integer NOT NULL,
  PRIMARY KEY (term, sequence) INCLUDE (frequency, length)
);
CREATE INDEX postings_by_chunk ON postings (sequence);
CREATE TABLE totals (chunks bigint NOT NULL, words bigint NOT NULL);
INSERT INTO totals VALUES (0, 0);
CREATE TEXT SEARCH DICTIONARY stems (TEMPLATE = pg_catalog.snowball, LANGUAGE = english);
CREATE FUNCTION stem(word text) RETURNS text LANGUAGE sql STABLE AS
  $$ SELECT coalesce((ts_lexize('stems', word))[1], word) COLLATE "C" $$;
CREATE TABLE format (version integer NOT NULL);
INSERT INTO format VALUES (3);
"""
"""As it was written before documents were named by their readers too."""

psycopg = pytest.importorskip("psycopg", reason="make setup WITH=postgres")


@pytest.fixture
def ledger(data_dir: Path) -> Iterator[Any]:
    with closing(opened("postgres", data_dir)) as built:
        yield built


@pytest.fixture
def hurried(ledger: Any, data_dir: Path) -> Iterator[Any]:
    """The same ledger, for somebody who waits a second at most."""
    del ledger
    with closing(opened("postgres", data_dir, timeout_s=1)) as built:
        yield built


@pytest.fixture
def beside(data_dir: Path) -> Iterator[Any]:
    """A connection of somebody else to the ledger's tables."""
    with psycopg.connect(services.postgres(), autocommit=True) as connection:
        connection.execute(f"SET search_path = {services.options('postgres', data_dir)['namespace']}")
        yield connection


def test_a_writer_that_waits_too_long_says_so_and_readers_go_on(ledger: Any, hurried: Any, beside: Any) -> None:
    ledger.put([entry("a.md", "Refund.")])
    with beside.transaction():
        beside.execute("LOCK TABLE commits IN EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailable, match="did not answer within 1 s") as caught:
            hurried.put([entry("b.md", "B.")])
        assert caught.value.__cause__ is not None
        assert words(ledger, "refund") == ["Refund."]
    ledger.put([entry("b.md", "B.")])


def test_a_server_that_dropped_its_connections_costs_nothing(ledger: Any, beside: Any) -> None:
    ledger.put([entry("a.md", "Refund.")])
    beside.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query <> ''"
    )
    assert words(ledger, "refund") == ["Refund."]
    ledger.put([entry("b.md", "B.")])


def test_a_server_that_never_answers_is_given_up(data_dir: Path) -> None:
    with (
        bad_line.to_nobody("postgres", data_dir) as options,
        pytest.raises(StoreUnavailable, match="connection timeout expired") as caught,
    ):
        opened("postgres", data_dir, **options)
    assert caught.value.__cause__ is not None


@pytest.fixture
def line_and_ledger(data_dir: Path) -> Iterator[tuple[Relay, Any]]:
    with (
        bad_line.to_server("postgres", data_dir) as (line, options),
        closing(opened("postgres", data_dir, **options)) as built,
    ):
        yield line, built


def test_a_server_that_falls_silent_is_given_up_and_used_again(line_and_ledger: tuple[Relay, Any]) -> None:
    line, ledger = line_and_ledger
    ledger.put([entry("a.md", "Refund.")])
    line.silence()
    for act in (lambda: words(ledger, "refund"), lambda: ledger.put([entry("lost.md", "Refund.")])):
        with pytest.raises(StoreUnavailable) as caught:
            act()
        assert caught.value.__cause__ is not None
    line.heal()
    bad_line.until(lambda: words(ledger, "refund") == ["Refund."])


def test_a_silence_in_the_middle_of_a_statement_ends_it(line_and_ledger: tuple[Relay, Any]) -> None:
    """The pool asks a connection whether it lives before it lends it; here the server falls silent afterwards."""
    line, ledger = line_and_ledger

    def read() -> None:
        with ledger._database.transaction() as connection:
            line.silence()
            connection.execute("SELECT 1")

    with pytest.raises(StoreUnavailable, match="did not answer within") as caught:
        read()
    assert caught.value.__cause__ is not None
    line.heal()
    bad_line.until(lambda: bool(ledger.sequence() == 0))


def test_what_may_take_long_is_given_its_time(hurried: Any) -> None:
    with hurried._database.transaction() as connection:
        hurried = connection.patience_s
        with without_time_limit(connection):
            connection.execute("SELECT pg_sleep(1.2)")
            assert connection.patience_s is None
        assert connection.patience_s == hurried


def test_writers_in_several_processes_commit_in_the_order_of_their_numbers(data_dir: Path) -> None:
    """Whoever has caught up to a number will never have missed one below it. Each writer has connections of its own."""
    with closing(opened("postgres", data_dir)) as reader:
        stop = threading.Event()

        def write(writer: int) -> None:
            with closing(opened("postgres", data_dir)) as own:
                for turn in range(8):
                    own.put([entry(f"{writer} {turn}.md", f"Refund {writer} {turn}.")])

        def follow() -> set[str]:
            seen, done = set[str](), 0
            while not stop.is_set() or done < reader.sequence():
                target = reader.sequence()
                seen |= {item.chunk_id for item in reader.embeddings(after=done) if item.sequence <= target}
                done = target
            return seen

        with ThreadPoolExecutor(4) as pool:
            following = pool.submit(follow)
            try:
                list(pool.map(write, range(3)))
            finally:
                stop.set()
            assert len(following.result()) == 24
        assert len(reader.documents(ACME)) == 24


def test_a_ledger_of_another_format_is_refused_by_number(data_dir: Path, ledger: Any, beside: Any) -> None:
    beside.execute("UPDATE format SET version = 99")
    with pytest.raises(StoreUnavailable, match="format 99"):
        opened("postgres", data_dir)


def test_a_full_disk_is_named(ledger: Any) -> None:
    """No disk is filled here; what psycopg says then is."""
    with pytest.raises(StorageFull, match="free some space") as caught, ledger._database.translate_errors():
        raise psycopg.errors.DiskFull("could not extend file")
    assert isinstance(caught.value.__cause__, psycopg.errors.DiskFull)


def test_a_password_in_the_address_is_never_told(data_dir: Path) -> None:
    dsn = "postgresql://sixply:swordfish@127.0.0.1:9/x"
    with pytest.raises(StoreUnavailable) as caught:
        opened("postgres", data_dir, dsn=dsn)
    assert "swordfish" not in str(caught.value)


CLASSES = ("unclassified", "confidential")
READERS = [
    Scope(tenant, frozenset(groups), frozenset(classes))
    for tenant in ("acme", "globex")
    for groups in ((), ("board",), ("hr",), ("board", "hr"))
    for classes in ((), CLASSES[:1], CLASSES[1:], CLASSES)
]


def _old_key(uri: str, tenant: str) -> str:
    return Source(uri, tenant).document_id  # for everybody: the only id there was


def _write_format_3(beside: Any, today: str, given: list[Entry]) -> None:
    """The rows that `today`'s ledger has of the same documents, under the ids of old."""
    beside.execute(f"CREATE SCHEMA {beside.execute('SHOW search_path').fetchone()[0]}".encode())
    beside.execute(FORMAT_3.encode())
    keys = {document.source.document_id: _old_key(document.source.uri, document.source.tenant) for document in given}
    beside.execute("CREATE TEMPORARY TABLE keys (new text, old text)")
    with beside.cursor() as cursor:
        cursor.executemany("INSERT INTO keys VALUES (%s, %s)", list(keys.items()))
    documents = (
        "tenant, uri, groups, title, media_type, series, effective_from, published, origin, attributes, content_hash"
    )
    chunks = 'position, start, "end", page, heading_path, text, length, digest, embedding'
    renamed = "JOIN keys ON new = document_id"
    for rows in (
        f"documents SELECT old, {documents}, characters, chunks, ingested_at, text, outline FROM {today}.documents {renamed}",
        f"filterable SELECT old, name, text, number FROM {today}.filterable {renamed}",
        f"chunks SELECT sequence, 'old ' || chunk_id, old, {chunks} FROM {today}.chunks {renamed}",
        f"postings SELECT * FROM {today}.postings",
        f"commits SELECT * FROM {today}.commits",
        f"fingerprint SELECT * FROM {today}.fingerprint",
    ):
        beside.execute(f"INSERT INTO {rows}".encode())
    beside.execute(f"UPDATE totals SET (chunks, words) = (SELECT chunks, words FROM {today}.totals)".encode())
    refused = ("never.md", _old_key("never.md", "acme"))
    beside.execute("INSERT INTO refusals VALUES (%s, 'acme', %s, 'empty', 'It is empty.', now())", refused[::-1])


def test_a_ledger_that_named_documents_by_uri_alone_is_read_by_the_same_people_under_new_names(
    data_dir: Path, beside: Any
) -> None:
    """Each combination of tenant, groups and class, an earlier version, a document for every tenant and a refusal."""
    given = [
        entry(f"{'-'.join(groups)}-{data_class}.md", f"Refund {groups} {data_class}.", "More of it.", tenant=tenant,
              groups=frozenset(groups), attributes={"data_class": data_class})
        for tenant in ("acme", "globex", EVERY_TENANT)
        for groups in ((), ("board",), ("hr",), ("board", "hr"))
        for data_class in CLASSES
    ]  # fmt: skip
    about = {"groups": frozenset({"board"}), "series": "fee.md"}
    given.append(entry("fee.md", "Refund now.", effective_from=date(2025, 2, 1), **about))
    was = {"effective_from": date(2025, 1, 1), "content_hash": "version h"}
    given.append(entry("fee.md@2025-01-01", "Refund then.", **was, **about))
    with closing(opened("postgres", data_dir / "today")) as today:
        today.put(given)
        at = today.sequence()
    _write_format_3(beside, services.options("postgres", data_dir / "today")["namespace"], given)

    with closing(opened("postgres", data_dir)) as after:
        assert after.document_count() == len(given)
        for scope in READERS:
            readable = {one.source.document_id: one for one in given if one.source.is_readable(scope)}
            listed = after.documents(scope)
            assert {one.document_id for one in listed} == set(readable)
            assert all(replace(one.source, version_of=None) == readable[one.document_id].source for one in listed)
            for one in given:
                key = one.source.document_id
                assert after.text(key, scope) == (one.parsed.text if key in readable else None)
            found = {document_id for _, _, document_id in after.keyword_search("refund", scope, limit=99, as_of=None)}
            assert found == set(readable)
        restricted = [one for one in given if one.source.document_id != _old_key(one.source.uri, one.source.tenant)]
        assert all(after.find(_old_key(one.source.uri, one.source.tenant)) is None for one in restricted)
        fee, then = (after.find(one.source.document_id) for one in given[-2:])
        assert (fee.source.version_of, then.source.version_of) == (None, fee.document_id)
        assert {one.ingested_at for one in (fee, then)} == {NOW}
        passages = sum(len(one.chunks) for one in restricted)
        assert len(list(after.deletions(after=at))) == len(list(after.embeddings(after=at))) == passages, (
            "the index is told"
        )
        back = {one.source.document_id: one.vectors for one in after.entries()}
        assert all(np.array_equal(back[one.source.document_id], one.vectors) for one in given)
        assert after.refusals(ACME) == []
        assert [one.uri for one in after.refusals(Scope("acme", frozenset({NOBODY})))] == ["never.md"]
    opened("postgres", data_dir).close()
