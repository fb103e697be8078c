# ruff: noqa: S608 - statements are put together from constants of this file; every value is bound
"""The document ledger in one SQLite file, with the keyword index (FTS5) in the same transactions.

Durable by SQLite's own promise: write-ahead log, `synchronous=FULL`. One writer at a time; readers never wait for it.
Every chunk and every deletion draws the next number of one sequence, by which a vector index catches up.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from foundation.clock import Clock
from foundation.components import Context
from foundation.errors import InvalidRequest, StoreUnavailable
from foundation.stores.crashpoints import crash_point
from foundation.stores.full_disk import store_error
from foundation.stores.sqlite_file import SqliteStore, connect
from foundation.text.tokens import searchable, telling_words
from foundation.types import EVERY_TENANT, NOBODY, UNCLASSIFIED, Scope
from retrieval.contract import (
    DOCUMENTS_STAY,
    Chunk,
    Document,
    DocumentLedger,
    Entry,
    Fingerprint,
    Hit,
    Refusal,
    Source,
    VectorItem,
    Vectors,
)
from retrieval.filters import Leaf, OneOf, Stored, Where, as_sql, simplify, stored_attributes
from retrieval.index import row_codec

_VERSION = 8
"""Of the schema. In 7 the fingerprint named all parsers, and no document its own. 6 had one document for each tenant and uri,
whoever might read it; 5 is as 6 with another form of the keyword index."""
_OLDER = (5, 6, 7)
_SEARCHABLE = "searchable_7"
"""The name in SQL of `foundation.text.tokens.searchable`, in whose form the keyword index is written. A process of an older
version that still runs does not know it: its writes fail, and do not mix two forms."""
_TRIGGERS = f"""
CREATE TRIGGER chunk_added AFTER INSERT ON chunks BEGIN
  INSERT INTO search (rowid, heading, text) VALUES (new.sequence, {_SEARCHABLE}(new.heading), {_SEARCHABLE}(new.text));
END;
CREATE TRIGGER chunk_removed AFTER DELETE ON chunks BEGIN
  INSERT INTO search (search, rowid, heading, text)
  VALUES ('delete', old.sequence, {_SEARCHABLE}(old.heading), {_SEARCHABLE}(old.text));
END;
"""
_DOCUMENTS = """
CREATE TABLE documents (
  document_id TEXT PRIMARY KEY,  -- of tenant, uri and who may read it: several documents may share a name
  tenant TEXT NOT NULL,
  uri TEXT NOT NULL,
  groups TEXT NOT NULL,  -- JSON array, sorted; empty: everyone in the tenant
  title TEXT NOT NULL,
  media_type TEXT NOT NULL,
  series TEXT,
  effective_from TEXT,
  published TEXT,
  origin TEXT NOT NULL,
  attributes TEXT NOT NULL,  -- JSON object
  content_hash TEXT NOT NULL,
  characters INTEGER NOT NULL,
  chunks INTEGER NOT NULL,
  ingested_at TEXT NOT NULL,
  version_of TEXT,  -- the document_id of the later version
  writer_reads TEXT,  -- JSON object: groups and classes; NULL: everything
  parsers TEXT NOT NULL,  -- JSON array: versions of those that read it
  text TEXT NOT NULL,  -- the long columns stand last, so that the short ones are read without them
  outline TEXT NOT NULL
);
CREATE INDEX documents_by_name ON documents (tenant, uri);
CREATE INDEX versions ON documents (tenant, series, effective_from) WHERE series IS NOT NULL;
CREATE INDEX earlier ON documents (version_of) WHERE version_of IS NOT NULL;
"""
_REFUSALS = """
CREATE TABLE refusals (
  document_id TEXT PRIMARY KEY, tenant TEXT NOT NULL, uri TEXT NOT NULL, groups TEXT NOT NULL, class TEXT NOT NULL,
  reason TEXT NOT NULL, message TEXT NOT NULL, at TEXT NOT NULL
);
CREATE INDEX refusals_by_name ON refusals (tenant, uri);
"""
_SCHEMA = f"""{_DOCUMENTS}{_REFUSALS}
CREATE TABLE filterable (  -- what is known of a document, a row each, to filter by
  document_id TEXT NOT NULL REFERENCES documents, name TEXT NOT NULL, value NOT NULL, PRIMARY KEY (document_id, name)
) WITHOUT ROWID;

CREATE TABLE chunks (
  sequence INTEGER PRIMARY KEY,
  chunk_id TEXT NOT NULL UNIQUE,
  document_id TEXT NOT NULL REFERENCES documents,
  position INTEGER NOT NULL,
  start INTEGER NOT NULL,
  "end" INTEGER NOT NULL,
  page INTEGER,
  heading_path TEXT NOT NULL,  -- JSON array
  heading TEXT NOT NULL,  -- the same as words to search
  text TEXT NOT NULL,
  digest TEXT NOT NULL,  -- of what was embedded
  embedding BLOB NOT NULL  -- float32, little-endian
);
CREATE INDEX chunks_by_document ON chunks (document_id);
CREATE INDEX chunk_owners ON chunks (chunk_id, document_id);  -- answers without reading the rows, with their vectors
CREATE INDEX chunks_by_digest ON chunks (digest);
CREATE TABLE deletions (sequence INTEGER PRIMARY KEY, chunk_id TEXT NOT NULL UNIQUE);
CREATE TABLE commits (sequence INTEGER PRIMARY KEY, stamp TEXT NOT NULL);  -- where each transaction ended
CREATE TABLE state (name TEXT PRIMARY KEY, value TEXT NOT NULL);

CREATE VIRTUAL TABLE search USING fts5 (  -- without a copy of the text; marks count as letters, as in Thai and Hindi
  heading, text, content='', tokenize="porter unicode61 remove_diacritics 2 categories 'L* N* Co Mc Mn'"
);
{_TRIGGERS}PRAGMA user_version = {_VERSION};
"""

# Conditions on a document `d`. They stand inside every query that answers somebody, so that no row out of scope is
# ever ranked, counted or cut off by a limit.
_IN_SCOPE = f"""
  d.tenant IN (:tenant, '{EVERY_TENANT}')
  AND (d.groups = '[]' OR EXISTS (
    SELECT 1 FROM json_each(d.groups) AS theirs JOIN json_each(:groups) AS mine ON mine.value = theirs.value))
  AND (:classes IS NULL OR coalesce(json_extract(d.attributes, '$."{row_codec.DATA_CLASS_KEY}"'), '{UNCLASSIFIED}') IN (
    SELECT value FROM json_each(:classes)))
"""
_CLASS = f"""coalesce(json_extract(%s.attributes, '$."{row_codec.DATA_CLASS_KEY}"'), '{UNCLASSIFIED}')"""
_READABLE = f"""
  (:everything OR (
    (%s.groups = '[]' OR EXISTS (
      SELECT 1 FROM json_each(%s.groups) AS theirs JOIN json_each(:groups) AS mine ON mine.value = theirs.value))
    AND (:classes IS NULL OR {_CLASS} IN (SELECT value FROM json_each(:classes)))))
"""
# Two questions about a newer document of the series: does the reader see it, and could its writer read what it supersedes?
_SUPERSEDES = f"""
  {_READABLE.replace("%s", "newer")}
  AND (newer.writer_reads IS NULL OR d.version_of IN (newer.document_id, newer.version_of)
    OR newer.version_of = d.document_id OR (
    (d.groups = '[]' OR EXISTS (
      SELECT 1 FROM json_each(d.groups) AS theirs
      JOIN json_each(newer.writer_reads, '$.groups') AS mine ON mine.value = theirs.value))
    AND (json_extract(newer.writer_reads, '$.classes') IS NULL OR {_CLASS.replace("%s", "d")} IN (
      SELECT value FROM json_each(newer.writer_reads, '$.classes')))))
"""
_IN_FORCE = f"""
  (:as_of IS NULL OR (
    coalesce(d.effective_from, '') <= :as_of
    AND (d.series IS NULL OR NOT EXISTS (
      SELECT 1 FROM documents AS newer
      WHERE newer.tenant = d.tenant AND newer.series = d.series
        AND newer.effective_from > coalesce(d.effective_from, '') AND newer.effective_from <= :as_of
        AND {_SUPERSEDES}))))
"""
_SOURCE = (
    "d.uri, d.tenant, d.groups, d.title, d.media_type, d.series, d.effective_from, d.published, d.origin, d.attributes, "
    "d.version_of, d.writer_reads"
)
_SUMMARY = (
    f"{_SOURCE}, d.document_id, d.content_hash, d.characters, d.chunks, d.ingested_at, NOT {_IN_FORCE}, d.parsers"
)
_CHUNK = 'c.chunk_id, c.document_id, c.position, c.text, c.start, c."end", c.heading_path, c.page'

_REMEMBERED = 100_000
"""Numbers of the sequence for which deletions and stamps are kept. An index that is further behind is filled anew, which
costs no more than following so many changes."""
_MOST_WORDS = 128
"""A longer query is searched by its first words; the vector leg reads no further either."""


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str = "ledger.sqlite"
    """Below the data folder."""
    busy_timeout_s: float = Field(default=5.0, ge=0)
    """How long to wait for another process that is writing."""
    heading_weight: float = Field(default=1.0, ge=0)
    """What a word in a heading counts for in keyword search, against 1 in the text."""


class SqliteLedger:
    """A `DocumentLedger`. Safe to share between threads; several processes may read while one writes."""

    def __init__(self, path: Path, options: Options, clock: Clock) -> None:
        self._path = path
        self._options = options
        self._clock = clock
        self._writing_lock = threading.Lock()
        self._idle: deque[sqlite3.Connection] = deque()
        self._closed = False
        with self._translate_errors():
            self._writer = self._connect()
            try:
                self._prepare(self._writer)
            except BaseException:
                self._writer.close()
                raise

    # Writing

    def put(self, entries: Sequence[Entry], *, gone: Collection[str] = ()) -> list[Document]:
        now = self._clock.now()
        keys = [entry.source.document_id for entry in entries]
        with self._transaction() as connection:
            numbers = _Numbers(connection)
            for key in gone:
                _delete(connection, key, numbers)
            for entry in entries:
                _store(connection, entry, numbers, now)
            numbers.save()
            where = "d.document_id IN (SELECT value FROM json_each(:keys))"
            stored = {
                document.document_id: document for document in self._summaries(connection, where, keys=json.dumps(keys))
            }
        return [stored[key] for key in keys]

    def refuse(self, refusal: Refusal) -> None:
        with self._transaction() as connection:
            key = refusal.source.document_id
            connection.execute(
                "INSERT OR REPLACE INTO refusals VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    key, refusal.tenant, refusal.uri, json.dumps(sorted(refusal.groups)), refusal.data_class,
                    refusal.reason, refusal.message, refusal.at.isoformat(),
                ),
            )  # fmt: skip
            connection.execute("UPDATE documents SET content_hash = '' WHERE document_id = ?", (key,))

    def delete(self, document_id: str) -> bool:
        with self._transaction() as connection:
            numbers = _Numbers(connection)
            removed = _delete(connection, document_id, numbers)
            numbers.save()
        return removed

    def set_fingerprint(self, fingerprint: Fingerprint) -> None:
        with self._transaction() as connection:
            _set_fingerprint(connection, fingerprint)

    def beside(self, *, fresh: bool = False) -> SqliteLedger:
        if fresh:
            self._remove_beside()
        return SqliteLedger(self._beside_path, self._options, self._clock)

    def adopt(self, beside: DocumentLedger, *, at: int) -> bool:
        now, fingerprint = self._clock.now(), beside.fingerprint()
        with self._transaction() as connection:
            numbers = _Numbers(connection)
            if _sequence(connection) != at:
                return False
            refusals = connection.execute("SELECT * FROM refusals").fetchall()
            for table in ("chunks", "filterable", "documents", "deletions", "commits"):
                connection.execute(f"DELETE FROM {table}")
            for entry in beside.entries():
                _store(connection, entry, numbers, now)
            next(numbers)
            numbers.save()
            connection.executemany("INSERT OR REPLACE INTO refusals VALUES (?, ?, ?, ?, ?, ?, ?, ?)", refusals)
            if fingerprint:
                _set_fingerprint(connection, fingerprint)
        beside.close()
        self._remove_beside()
        return True

    @property
    def _beside_path(self) -> Path:
        return self._path.with_name(f"{self._path.stem}-reindex{self._path.suffix}")

    def _remove_beside(self) -> None:
        with self._translate_errors():
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self._beside_path}{suffix}").unlink(missing_ok=True)

    # Reading

    def find(self, document_id: str) -> Document | None:
        with self._reading() as connection:
            documents = self._summaries(connection, "d.document_id = :key", key=document_id)
        return documents[0] if documents else None

    def documents(self, scope: Scope) -> list[Document]:
        if scope.sees_nothing:
            return []
        with self._reading() as connection:
            return self._summaries(connection, f"{_IN_SCOPE} ORDER BY d.uri, d.tenant", **_scope(scope))

    def documents_where(
        self, tenant: str, *, uri: str | None = None, origin: str | None = None, version_of: str | None = None
    ) -> list[Document]:
        wanted = {"uri": uri, "origin": origin, "version_of": version_of}
        where = " AND ".join(
            ["d.tenant = :tenant", *(f"d.{name} = :{name}" for name, value in wanted.items() if value)]
        )
        with self._reading() as connection:
            return self._summaries(connection, f"{where} ORDER BY d.uri", tenant=tenant, **wanted)

    def refusals(self, scope: Scope) -> list[Refusal]:
        if scope.sees_nothing:
            return []
        rows = self._refusals("tenant IN (?, ?)", scope.tenant, EVERY_TENANT)
        return [refusal for refusal in rows if refusal.source.is_readable(scope)]

    def refusals_of(self, tenant: str, *, uri: str) -> list[Refusal]:
        return self._refusals("tenant = ? AND uri = ?", tenant, uri)

    def _refusals(self, where: str, *values: str) -> list[Refusal]:
        columns = "uri, tenant, reason, message, at, groups, class"
        with self._reading() as connection:
            rows = connection.execute(f"SELECT {columns} FROM refusals WHERE {where} ORDER BY uri, tenant", values)
            return [
                Refusal(
                    uri, tenant, reason, message, datetime.fromisoformat(at), frozenset(json.loads(groups)), data_class
                )
                for uri, tenant, reason, message, at, groups, data_class in rows
            ]

    def text(self, document_id: str, scope: Scope) -> str | None:
        if scope.sees_nothing:
            return None
        query = f"SELECT d.text FROM documents AS d WHERE d.document_id = :key AND {_IN_SCOPE}"
        with self._reading() as connection:
            row = connection.execute(query, {"key": document_id, **_scope(scope)}).fetchone()
        return row[0] if row else None

    def documents_of(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, str]:
        if scope.sees_nothing or not chunk_ids:
            return {}
        query = f"""
          SELECT c.chunk_id, c.document_id
          FROM json_each(:ids) AS wanted
          CROSS JOIN chunks AS c INDEXED BY chunk_owners ON c.chunk_id = wanted.value
          CROSS JOIN documents AS d ON d.document_id = c.document_id
          WHERE {_IN_SCOPE} AND {_IN_FORCE}"""
        values = {"ids": json.dumps(list(chunk_ids)), "as_of": _day(as_of), **_scope(scope)}
        with self._reading() as connection:
            return dict(connection.execute(query, values).fetchall())

    def hits(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, Hit]:
        if scope.sees_nothing or not chunk_ids:
            return {}
        query = f"""
          SELECT {_CHUNK}, {_SOURCE}
          FROM json_each(:ids) AS wanted
          JOIN chunks AS c ON c.chunk_id = wanted.value
          JOIN documents AS d ON d.document_id = c.document_id
          WHERE {_IN_SCOPE} AND {_IN_FORCE} ORDER BY wanted.key"""
        values = {"ids": json.dumps(list(chunk_ids)), "as_of": _day(as_of), **_scope(scope)}
        with self._reading() as connection:
            return {row[0]: Hit(_chunk(row[:8]), _source(row[8:]), 0.0) for row in connection.execute(query, values)}

    def keyword_search(
        self, query: str, scope: Scope, *, limit: int, as_of: date | None, where: Where | None = None
    ) -> list[tuple[str, float, str]]:
        """All matches are ranked, and the best walked through until enough of them may be shown; asking of every match
        whether it may takes twice as long. `LIMIT -1` keeps SQLite from merging the two steps."""
        expression = match_expression(query)
        wanted = simplify(where)
        if scope.sees_nothing or not expression or limit < 1 or wanted is False:
            return []
        condition, bound = ("", {}) if wanted is True else _condition(wanted)
        sql = f"""
          SELECT c.chunk_id, ranked.score, c.document_id
          FROM (
            SELECT rowid AS sequence, -bm25(search, :weight, 1.0) AS score FROM search
            WHERE search MATCH :expression ORDER BY score DESC, rowid LIMIT -1
          ) AS ranked
          CROSS JOIN chunks AS c ON c.sequence = ranked.sequence
          CROSS JOIN documents AS d ON d.document_id = c.document_id
          WHERE {_IN_SCOPE} AND {_IN_FORCE} {condition} LIMIT :limit"""
        values = {
            "weight": self._options.heading_weight,
            "expression": expression,
            "limit": limit,
            "as_of": _day(as_of),
            **_scope(scope),
            **bound,
        }
        with self._reading() as connection:
            rows = connection.execute(sql, values).fetchall()
        return sorted(rows, key=lambda row: (-row[1], row[0]))

    # For the vector index, and for reindexing

    def entry(self, document_id: str) -> Entry | None:
        entries = list(self._entries("WHERE d.document_id = ?", (document_id,)))
        return entries[0] if entries else None

    def entries(self) -> Iterator[Entry]:
        yield from self._entries("ORDER BY d.document_id", ())

    def _entries(self, which: str, values: Sequence[str]) -> Iterator[Entry]:
        with self._reading() as connection:
            yield from _entries(connection, which, values)

    def embeddings(self, *, after: int = 0) -> Iterator[VectorItem]:
        query = f"""
          SELECT c.sequence, c.chunk_id, c.embedding, {_SOURCE}
          FROM chunks AS c JOIN documents AS d ON d.document_id = c.document_id
          WHERE c.sequence > ? ORDER BY c.sequence"""
        with self._reading() as connection:
            for sequence, chunk_id, embedding, *row in connection.execute(query, (after,)):
                vector, source = np.frombuffer(embedding, dtype="<f4"), _source(row)
                yield VectorItem(sequence, chunk_id, source.tenant, source.groups, vector, source.filterable)

    def deletions(self, *, after: int = 0) -> Iterator[str]:
        query = "SELECT chunk_id FROM deletions WHERE sequence > ? ORDER BY sequence"
        with self._reading() as connection:
            for (chunk_id,) in connection.execute(query, (after,)):
                yield chunk_id

    def known_vectors(self, texts: Collection[str], tenant: str, *, scope: Scope | None = None) -> dict[str, Vectors]:
        query = f"""
          SELECT c.digest, c.embedding FROM json_each(:digests) AS wanted
          CROSS JOIN chunks AS c ON c.digest = wanted.value
          CROSS JOIN documents AS d ON d.document_id = c.document_id
          WHERE d.tenant = :tenant AND {_READABLE.replace("%s", "d")}"""
        by_digest = {row_codec.digest(text): text for text in texts}
        values = _scope(scope) | {"digests": json.dumps(list(by_digest)), "tenant": tenant}
        with self._reading() as connection:
            rows = connection.execute(query, values).fetchall()
        return {by_digest[digest]: np.frombuffer(embedding, dtype="<f4") for digest, embedding in rows}

    def sequence(self) -> int:
        with self._reading() as connection:
            return _sequence(connection)

    def stamp(self, sequence: int) -> str | None:
        with self._reading() as connection:
            row = connection.execute("SELECT stamp FROM commits WHERE sequence = ?", (sequence,)).fetchone()
        return row[0] if row else None

    def document_count(self) -> int:
        with self._reading() as connection:
            return int(connection.execute("SELECT count(*) FROM documents").fetchone()[0])

    def chunk_count(self) -> int:
        with self._reading() as connection:
            return int(connection.execute("SELECT count(*) FROM chunks").fetchone()[0])

    def fingerprint(self) -> Fingerprint | None:
        with self._reading() as connection:
            row = connection.execute("SELECT value FROM state WHERE name = 'fingerprint'").fetchone()
        return row_codec.fingerprint(row[0]) if row else None

    def close(self) -> None:
        self._closed = True
        with self._writing_lock:
            self._writer.close()
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    # Connections

    def _connect(self) -> sqlite3.Connection:
        store = store_in(self._options)
        connection = connect(self._path, store, timeout_s=self._options.busy_timeout_s, isolation_level=None)
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.create_function(_SEARCHABLE, 1, searchable, deterministic=True)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            "PRAGMA foreign_keys = OFF"
        )  # a table that others point to may be written anew; not in a transaction
        connection.execute("BEGIN IMMEDIATE")  # two processes may meet here
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            for statement in _statements(_SCHEMA):
                connection.execute(statement)
        elif version in _OLDER:
            _convert(connection, version)
        connection.execute("COMMIT")
        connection.execute("PRAGMA foreign_keys = ON")
        if version not in (0, *_OLDER, _VERSION):
            raise StoreUnavailable(
                f"{self._path} has the format {version}; this version of Sixply reads format {_VERSION}. "
                f"Use the version that wrote it, or move the file away and ingest again."
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._translate_errors(), self._writing_lock:
            self._check_open()
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                crash_point("before_commit")
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A connection of one's own for as long as it is needed: they read side by side, and beside the writer."""
        with self._translate_errors():
            self._check_open()
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._connect()
            try:
                yield connection
            finally:
                connection.close() if self._closed else self._idle.append(connection)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"{self._path} was closed by this process. Open the system again.")

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError):
            raise  # a fault of ours, not of the store
        except (sqlite3.DatabaseError, OSError) as error:
            raise store_error(self._path, error) from error
        except UnicodeEncodeError as error:
            raise InvalidRequest(
                f"A text holds a character that cannot be stored: {error.reason}. Remove it."
            ) from error

    def _summaries(self, connection: sqlite3.Connection, where: str, **values: Any) -> list[Document]:
        rows = connection.execute(
            f"SELECT {_SUMMARY} FROM documents AS d WHERE {where}", {"as_of": self._today(), **_scope(None), **values}
        )
        return [_document(row) for row in rows]

    def _today(self) -> str:
        return self._clock.now().date().isoformat()


class _Numbers:
    """Draws the next numbers of the ledger's sequence within a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._first = self._last = _sequence(connection)

    def __next__(self) -> int:
        self._last += 1
        return self._last

    def save(self) -> None:
        """Stamp the transaction, and forget what only an index far behind would ask for."""
        if self._last > self._first:
            self._connection.execute("INSERT INTO commits VALUES (?, ?)", (self._last, uuid4().hex))
            for table in ("commits", "deletions"):
                self._connection.execute(f"DELETE FROM {table} WHERE sequence <= ?", (self._last - _REMEMBERED,))


def _convert(connection: sqlite3.Connection, version: int) -> None:
    """From an older format; nothing is embedded again."""
    if version < 7:
        _rewrite_keyword_index(connection)
    _note_parsers(connection, kept="version_of, writer_reads" if version == 7 else "NULL, NULL")
    if version < 7:
        _name_by_readers(connection)
    crash_point("mid_conversion")
    connection.execute(f"PRAGMA user_version = {_VERSION}")


def _note_parsers(connection: sqlite3.Connection, *, kept: str) -> None:
    """Beside each document what read it, in place of all parsers in the fingerprint."""
    table, *indexes = _statements(_DOCUMENTS)
    connection.execute(table.replace("TABLE documents", "TABLE documents_new"))
    columns = (
        "document_id, tenant, uri, groups, title, media_type, series, effective_from, published, origin, attributes"
    )
    sizes = "content_hash, characters, chunks, ingested_at"
    connection.execute(
        f"INSERT INTO documents_new SELECT {columns}, {sizes}, {kept}, '[]', text, outline FROM documents"
    )
    connection.execute("DROP TABLE documents")
    connection.execute("ALTER TABLE documents_new RENAME TO documents")
    for statement in indexes:
        connection.execute(statement)
    versions: list[str] = []
    for (text,) in connection.execute("SELECT value FROM state WHERE name = 'fingerprint'").fetchall():
        fingerprint, versions = row_codec.split_fingerprint(row_codec.fingerprint(text))
        _set_fingerprint(connection, fingerprint)
    for key, uri, content_hash in connection.execute("SELECT document_id, uri, content_hash FROM documents").fetchall():
        offered, parsers = row_codec.note_parsers(uri, content_hash, versions)
        values = (offered, json.dumps(parsers), key)
        connection.execute("UPDATE documents SET content_hash = ?, parsers = ? WHERE document_id = ?", values)


def _rewrite_keyword_index(connection: sqlite3.Connection) -> None:
    """In the present form of `searchable`. As a whole, because a passage is taken out of it by the terms it is known by."""
    for trigger in ("chunk_added", "chunk_removed"):
        connection.execute(f"DROP TRIGGER {trigger}")
    for statement in _statements(_TRIGGERS):
        connection.execute(statement)
    connection.execute("INSERT INTO search (search) VALUES ('delete-all')")
    connection.execute(
        f"INSERT INTO search (rowid, heading, text) SELECT sequence, {_SEARCHABLE}(heading), {_SEARCHABLE}(text) FROM chunks"
    )


def _name_by_readers(connection: sqlite3.Connection) -> None:
    """From format 6: ids of restricted documents are made of who may read them, too, and so are those of their passages,
    which the vector index is told as changes. What is an earlier version says of which. Who stored a document is not known
    any more: it supersedes what it did. A refusal whose readers are not known is for the owner of the machine."""
    old = connection.execute("SELECT tenant, uri, reason, message, at FROM refusals").fetchall()
    connection.execute("DROP TABLE refusals")
    for statement in _statements(_REFUSALS):
        connection.execute(statement)
    for tenant, uri, *why in old:
        key = Source(uri, tenant, frozenset({NOBODY})).document_id
        values = (key, tenant, uri, json.dumps([NOBODY]), UNCLASSIFIED, *why)
        connection.execute("INSERT INTO refusals VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
    rows = connection.execute(f"SELECT d.document_id, d.content_hash, d.ingested_at, {_SOURCE} FROM documents AS d")
    renamed = {key: (row_codec.with_version_of(content_hash, _source(row)), at) for key, content_hash, at, *row in rows}
    numbers = _Numbers(connection)
    for key, (source, at) in renamed.items():
        if source.document_id == key and source.version_of is None:
            continue
        [entry] = _entries(connection, "WHERE d.document_id = ?", (key,))
        _remove(connection, key, numbers)
        _store(connection, entry.under(source), numbers, datetime.fromisoformat(at))
    numbers.save()


def _set_fingerprint(connection: sqlite3.Connection, fingerprint: Fingerprint) -> None:
    text = row_codec.fingerprint_text(fingerprint)
    connection.execute("INSERT OR REPLACE INTO state VALUES ('fingerprint', ?)", (text,))


def _sequence(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(sequence), 0) FROM commits").fetchone()[0])


def _store(connection: sqlite3.Connection, entry: Entry, numbers: _Numbers, now: datetime) -> None:
    if len(entry.chunks) != len(entry.vectors):
        raise ValueError(f"{entry.source.uri}: {len(entry.chunks)} chunks and {len(entry.vectors)} vectors")
    source, text = entry.source, entry.parsed.text
    _remove(connection, source.document_id, numbers)
    connection.execute(
        f"INSERT INTO documents VALUES ({', '.join('?' * 20)})",
        (
            source.document_id, source.tenant, source.uri, json.dumps(sorted(source.groups)), source.title,
            source.media_type, source.series, _day(source.effective_from), _day(source.published), source.origin,
            row_codec.attributes_text(source.attributes), entry.content_hash, len(text), len(entry.chunks),
            (entry.ingested_at or now).isoformat(),
            source.version_of, source.writer_reads, json.dumps(entry.parsed.parsers), text, row_codec.outline(entry.parsed),
        ),
    )  # fmt: skip
    attribute_rows = [(source.document_id, name, value) for name, value in stored_attributes(source.filterable).items()]
    connection.executemany("INSERT INTO filterable VALUES (?, ?, ?)", attribute_rows)
    vectors = np.ascontiguousarray(entry.vectors, dtype="<f4")
    rows = [
        (
            next(numbers), chunk.chunk_id, source.document_id, chunk.position, chunk.start, chunk.end, chunk.page,
            json.dumps(chunk.heading_path), "\n".join(chunk.heading_path), chunk.text,
            row_codec.digest(chunk.indexed_text), vector.tobytes(),
        )
        for chunk, vector in zip(entry.chunks, vectors, strict=True)
    ]  # fmt: skip
    connection.executemany(f"INSERT INTO chunks VALUES ({', '.join('?' * 12)})", rows)
    connection.executemany("DELETE FROM deletions WHERE chunk_id = ?", [(chunk.chunk_id,) for chunk in entry.chunks])
    connection.execute("DELETE FROM refusals WHERE document_id = ?", (source.document_id,))
    next(numbers)  # a document without a passage is a change, too


def _entries(connection: sqlite3.Connection, which: str, values: Sequence[str]) -> Iterator[Entry]:
    stored = "d.content_hash, d.text, d.outline, d.parsers, d.document_id"
    documents = f"SELECT {_SOURCE}, {stored} FROM documents AS d {which}"
    passages = f"SELECT {_CHUNK}, c.embedding FROM chunks AS c WHERE c.document_id = ? ORDER BY c.position"
    for *source, content_hash, text, outline, parsers, key in connection.execute(documents, values):
        rows = connection.execute(passages, (key,)).fetchall()
        vectors = np.array([np.frombuffer(row[-1], dtype="<f4") for row in rows], dtype=np.float32)
        chunks = tuple(_chunk(row[:-1]) for row in rows)
        parsed = row_codec.read_parsed(text, outline, json.loads(parsers))
        yield Entry(_source(source), content_hash, parsed, chunks, vectors)


def _delete(connection: sqlite3.Connection, key: str, numbers: _Numbers) -> bool:
    removed = _remove(connection, key, numbers)
    return connection.execute("DELETE FROM refusals WHERE document_id = ?", (key,)).rowcount > 0 or removed


def _remove(connection: sqlite3.Connection, key: str, numbers: _Numbers) -> bool:
    gone = connection.execute("SELECT chunk_id FROM chunks WHERE document_id = ?", (key,)).fetchall()
    connection.execute("DELETE FROM chunks WHERE document_id = ?", (key,))
    connection.execute("DELETE FROM filterable WHERE document_id = ?", (key,))
    connection.executemany("INSERT INTO deletions VALUES (?, ?)", [(next(numbers), chunk_id) for (chunk_id,) in gone])
    return connection.execute("DELETE FROM documents WHERE document_id = ?", (key,)).rowcount > 0


def match_expression(query: str) -> str:
    """A person's words as an FTS5 expression: any of them, each quoted, so that none is taken for syntax. A word that
    stands there twice counts twice.

    >>> match_expression('What is the "warranty" of QP-5?')
    '"warranty" OR "QP" OR "5"'
    """
    return " OR ".join(f'"{word}"' for word in telling_words(query)[:_MOST_WORDS])


def _condition(where: Where) -> tuple[str, dict[str, Stored]]:
    """A condition on a document `d`, and what is bound in it."""
    bound: dict[str, Stored] = {}

    def bind(value: Stored) -> str:
        bound[name := f"where_{len(bound)}"] = value
        return f":{name}"

    def single(leaf: Leaf) -> str:
        named = (
            f"EXISTS (SELECT 1 FROM filterable AS f WHERE f.document_id = d.document_id AND f.name = {bind(leaf.name)}"
        )
        if isinstance(leaf, OneOf):
            return f"{named} AND f.value IN ({', '.join(map(bind, leaf.stored_values))}))"
        low, high = map(bind, leaf.ends)
        return f"{named} AND f.value BETWEEN {low} AND {high})"

    return f"AND {as_sql(where, single)}", bound


def _scope(scope: Scope | None) -> dict[str, str | bool | None]:
    """What is bound in the conditions; without a scope, for those who write, everything is readable."""
    if scope is None:
        return {"everything": True, "groups": "[]", "classes": None}
    classes = None if scope.classes is None else json.dumps(scope.listed_classes)
    return {"everything": False, "tenant": scope.tenant, "groups": json.dumps(sorted(scope.groups)), "classes": classes}


def _day(day: date | None) -> str | None:
    return day.isoformat() if day else None


def _source(row: Sequence[Any]) -> Source:
    uri, tenant, groups, title, media_type, series, effective_from, published, origin, attributes, *ledger_fields = row
    version_of, writer_reads = ledger_fields
    return Source(
        uri=uri,
        tenant=tenant,
        groups=frozenset(json.loads(groups)),
        title=title,
        media_type=media_type,
        series=series,
        effective_from=date.fromisoformat(effective_from) if effective_from else None,
        published=date.fromisoformat(published) if published else None,
        origin=origin,
        attributes=row_codec.attributes(attributes),
        version_of=version_of,
        writer_reads=writer_reads,
    )


def _document(row: Sequence[Any]) -> Document:
    *source, key, content_hash, characters, chunks, ingested_at, superseded, parsers = row
    when, read_by = datetime.fromisoformat(ingested_at), tuple(json.loads(parsers))
    return Document(key, _source(source), content_hash, characters, chunks, when, bool(superseded), read_by)


def _chunk(row: Sequence[Any]) -> Chunk:
    chunk_id, key, position, text, start, end, heading_path, page = row
    return Chunk(chunk_id, key, position, text, start, end, tuple(json.loads(heading_path)), page)


def _statements(script: str) -> Iterator[str]:
    """The statements of a script one by one: `executescript` would commit before it begins."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def build(options: Options, context: Context) -> SqliteLedger:
    return SqliteLedger(context.data_dir / options.file, options, context.clock)


def stores(options: Options) -> tuple[SqliteStore, ...]:
    return (store_in(options),)


def store_in(options: Options) -> SqliteStore:
    """The ledger, and the one that is written anew beside it."""
    beside = Path(options.file).with_name(f"{Path(options.file).stem}-reindex{Path(options.file).suffix}")
    return SqliteStore(name="documents", file=options.file, files=(f"{beside}*",), stays=DOCUMENTS_STAY)
