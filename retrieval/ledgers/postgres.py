# ruff: noqa: S608 - statements are put together from constants of this file; every value is bound
"""The document ledger in PostgreSQL, with the keyword index in the same transactions: for several processes or machines.

One transaction writes at a time, in all processes together, so that the numbers of the sequence are committed in their
order; readers never wait. The keyword index is a table of postings, ranked by BM25 in the query, because `ts_rank` knows
neither how rare a word is nor how long the passages are. Words are stemmed by the
server's own Snowball dictionary and prepared by `foundation.text.tokens`, so that both ledgers find the same.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from foundation.clock import Clock
from foundation.components import Context
from foundation.errors import StoreUnavailable
from foundation.stores.crashpoints import crash_point
from foundation.stores.postgres import Postgres, PostgresOptions, without_time_limit
from foundation.stores.registry import Store
from foundation.text.tokens import telling_words, words
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
from retrieval.filters import Leaf, OneOf, Where, as_sql, simplify, stored_attributes
from retrieval.index import row_codec

if TYPE_CHECKING:
    from foundation.stores.postgres import Connection

_VERSION = 5
"""Of the schema and of `foundation.text.tokens`, in whose form the postings are written. In 4 the fingerprint named all parsers,
and no document its own. 3 had one document for each tenant and uri, whoever might read it."""
_REFUSALS = """
CREATE TABLE refusals (
  document_id text COLLATE "C" PRIMARY KEY, tenant text COLLATE "C" NOT NULL, uri text COLLATE "C" NOT NULL,
  groups text[] COLLATE "C" NOT NULL, class text NOT NULL, reason text NOT NULL, message text NOT NULL, at timestamptz NOT NULL
);
CREATE INDEX refusals_by_name ON refusals USING hash (uri);
"""
_INDEXES = """
CREATE INDEX documents_by_name ON documents USING hash (uri);
CREATE INDEX earlier ON documents USING hash (version_of);
"""
_SCHEMA = f"""
CREATE TABLE documents (
  document_id text COLLATE "C" PRIMARY KEY,  -- of tenant, uri and who may read it: several documents may share a name
  tenant text COLLATE "C" NOT NULL,
  uri text COLLATE "C" NOT NULL,
  groups text[] COLLATE "C" NOT NULL,  -- empty: everyone in the tenant
  title text NOT NULL,
  media_type text NOT NULL,
  series text COLLATE "C",
  effective_from date,
  published date,
  origin text NOT NULL,
  attributes text NOT NULL,  -- JSON object
  content_hash text NOT NULL,
  characters integer NOT NULL,
  chunks integer NOT NULL,
  ingested_at timestamptz NOT NULL,
  text text NOT NULL,
  outline text NOT NULL,
  version_of text COLLATE "C",  -- the document_id of the later version
  writer_reads text,  -- JSON object: groups and classes; NULL: everything
  parsers text[] NOT NULL  -- versions of those that read it
);
CREATE INDEX versions ON documents USING hash (series);
{_INDEXES}
CREATE TABLE filterable (  -- what is known of a document, a row each, to filter by; one of the two columns is filled
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
  heading_path text NOT NULL,  -- JSON array
  text text NOT NULL,
  length integer NOT NULL,  -- in words
  digest text NOT NULL,  -- of what was embedded
  embedding bytea NOT NULL  -- float32, little-endian
);
CREATE INDEX chunks_by_document ON chunks (document_id);
CREATE INDEX chunks_by_digest ON chunks USING hash (digest);
CREATE TABLE deletions (sequence bigint PRIMARY KEY, chunk_id text COLLATE "C" NOT NULL UNIQUE);
{_REFUSALS}
CREATE TABLE commits (sequence bigint PRIMARY KEY, stamp text NOT NULL);  -- where each transaction ended
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
"""

# Conditions on a document `d`. They stand inside every query that answers somebody, so that no row out of scope is
# ever counted or cut off by a limit.
_IN_SCOPE = f"""
  d.tenant IN (%(tenant)s, '{EVERY_TENANT}') AND (d.groups = '{{}}' OR d.groups && %(groups)s::text[])
  AND (%(classes)s::text[] IS NULL
    OR coalesce(d.attributes::json ->> '{row_codec.DATA_CLASS_KEY}', '{UNCLASSIFIED}') = ANY(%(classes)s::text[]))
"""
_CLASS = f"coalesce(DOC.attributes::json ->> '{row_codec.DATA_CLASS_KEY}', '{UNCLASSIFIED}')"
_READABLE = f"""
  (%(everything)s OR (
    (DOC.groups = '{{}}' OR DOC.groups && %(groups)s::text[])
    AND (%(classes)s::text[] IS NULL OR {_CLASS} = ANY(%(classes)s::text[]))))
"""
# Two questions about a newer document of the series: does the reader see it, and could its writer read what it supersedes?
_SUPERSEDES = f"""
  {_READABLE.replace("DOC", "newer")}
  AND (newer.writer_reads IS NULL OR d.version_of IN (newer.document_id, newer.version_of)
    OR newer.version_of = d.document_id OR (
    (d.groups = '{{}}' OR jsonb_exists_any(newer.writer_reads::jsonb -> 'groups', d.groups))
    AND (newer.writer_reads::jsonb -> 'classes' = 'null'
      OR jsonb_exists(newer.writer_reads::jsonb -> 'classes', {_CLASS.replace("DOC", "d")}))))
"""
_IN_FORCE = f"""
  (%(as_of)s::date IS NULL OR (
    coalesce(d.effective_from, '-infinity') <= %(as_of)s::date
    AND (d.series IS NULL OR NOT EXISTS (
      SELECT 1 FROM documents AS newer
      WHERE newer.tenant = d.tenant AND newer.series = d.series
        AND newer.effective_from > coalesce(d.effective_from, '-infinity')
        AND newer.effective_from <= %(as_of)s::date
        AND {_SUPERSEDES}))))
"""
_SOURCE = (
    "d.uri, d.tenant, d.groups, d.title, d.media_type, d.series, d.effective_from, d.published, d.origin, d.attributes, "
    "d.version_of, d.writer_reads"
)
_OF_SOURCE = 12
_SUMMARY = (
    f"{_SOURCE}, d.document_id, d.content_hash, d.characters, d.chunks, d.ingested_at, NOT {_IN_FORCE}, d.parsers"
)
_CHUNK = 'c.chunk_id, c.document_id, c.position, c.text, c.start, c."end", c.heading_path, c.page'

_SEARCH = f"""
  WITH asked AS (
    SELECT stem(word) AS term, count(*) AS times FROM unnest(%(words)s::text[]) AS word GROUP BY 1
  ), matches AS (
    SELECT p.sequence, p.frequency, p.length, a.times, count(*) OVER (PARTITION BY p.term) AS holders
    FROM asked AS a JOIN postings AS p ON p.term = a.term
  ), ranked AS MATERIALIZED (
    SELECT m.sequence, sum(
      m.times * ln(1 + (t.chunks - m.holders + 0.5) / (m.holders + 0.5)::float8)
      * m.frequency * (%(k1)s + 1) / (m.frequency + %(k1)s * (1 - %(b)s + %(b)s * m.length * t.chunks / t.words::float8))
    ) AS score
    FROM matches AS m CROSS JOIN totals AS t GROUP BY m.sequence
  )
  SELECT c.chunk_id, r.score, c.document_id
  FROM ranked AS r
  JOIN chunks AS c ON c.sequence = r.sequence
  JOIN documents AS d ON d.document_id = c.document_id
  WHERE {_IN_SCOPE} AND {_IN_FORCE} /* where */ ORDER BY r.score DESC, c.chunk_id LIMIT %(limit)s"""
_K1, _B = 1.2, 0.75
"""Of BM25, as SQLite's FTS5 has them."""

_REMEMBERED = 100_000
"""Numbers of the sequence for which deletions and stamps are kept. An index that is further behind is filled anew."""
_MOST_WORDS = 128
"""A longer query is searched by its first words; the vector leg reads no further either."""
_LONGEST = 64
"""Characters of a word that count: what is longer is no word, and an index cannot hold it."""
_PAGE = 500
"""Rows fetched at a time from a stream."""


STORE = Store(name="documents", stays=DOCUMENTS_STAY)


class Options(PostgresOptions):
    pass


class PostgresLedger:
    """A `DocumentLedger`. Safe to share between threads, processes and machines."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self._options, self._clock = options, clock
        self._database = Postgres(options, _prepare, STORE)

    # Writing

    def put(self, entries: Sequence[Entry], *, gone: Collection[str] = ()) -> list[Document]:
        now = self._clock.now()
        keys = [entry.source.document_id for entry in entries]
        with self._writing() as connection:
            numbers = _Numbers(connection)
            for key in gone:
                _delete(connection, key, numbers)
            for entry in entries:
                _store(connection, entry, numbers, now)
            numbers.save()
            summaries = self._summaries(connection, "d.document_id = ANY(%(keys)s)", keys=keys)
        stored = {document.document_id: document for document in summaries}
        return [stored[key] for key in keys]

    def refuse(self, refusal: Refusal) -> None:
        key = refusal.source.document_id
        with self._writing() as connection:
            connection.execute("DELETE FROM refusals WHERE document_id = %s", (key,))
            connection.execute(
                "INSERT INTO refusals VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    key, refusal.tenant, refusal.uri, sorted(refusal.groups), refusal.data_class, refusal.reason,
                    refusal.message, refusal.at,
                ),
            )  # fmt: skip
            connection.execute("UPDATE documents SET content_hash = '' WHERE document_id = %s", (key,))

    def delete(self, document_id: str) -> bool:
        with self._writing() as connection:
            numbers = _Numbers(connection)
            removed = _delete(connection, document_id, numbers)
            numbers.save()
        return removed

    def set_fingerprint(self, fingerprint: Fingerprint) -> None:
        with self._writing() as connection:
            _set_fingerprint(connection, fingerprint)

    def beside(self, *, fresh: bool = False) -> PostgresLedger:
        if fresh:
            self._drop_beside()
        return PostgresLedger(self._options.model_copy(update={"namespace": self._beside_namespace}), self._clock)

    def adopt(self, beside: DocumentLedger, *, at: int) -> bool:
        now, fingerprint = self._clock.now(), beside.fingerprint()
        with self._writing() as connection, without_time_limit(connection):
            numbers = _Numbers(connection)
            if _sequence(connection) != at:
                return False
            connection.execute("CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT * FROM refusals")
            for table in ("postings", "chunks", "filterable", "documents", "deletions", "commits"):
                connection.execute(f"DELETE FROM {table}".encode())  # TRUNCATE would not let readers pass
            connection.execute("UPDATE totals SET chunks = 0, words = 0")
            for entry in beside.entries():
                _store(connection, entry, numbers, now)
            next(numbers)
            numbers.save()
            connection.execute("INSERT INTO refusals SELECT * FROM kept ON CONFLICT DO NOTHING")
            if fingerprint:
                _set_fingerprint(connection, fingerprint)
        beside.close()
        self._drop_beside()
        return True

    @property
    def _beside_namespace(self) -> str:
        return f"{self._options.namespace[:55]}_reindex"

    def _drop_beside(self) -> None:
        with self._database.transaction() as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {self._beside_namespace} CASCADE".encode())

    # Reading

    def find(self, document_id: str) -> Document | None:
        with self._database.transaction() as connection:
            documents = self._summaries(connection, "d.document_id = %(key)s", key=document_id)
        return documents[0] if documents else None

    def documents(self, scope: Scope) -> list[Document]:
        if scope.sees_nothing:
            return []
        with self._database.transaction() as connection:
            return self._summaries(connection, f"{_IN_SCOPE} ORDER BY d.uri, d.tenant", **_scope(scope))

    def documents_where(
        self, tenant: str, *, uri: str | None = None, origin: str | None = None, version_of: str | None = None
    ) -> list[Document]:
        wanted = {"uri": uri, "origin": origin, "version_of": version_of}
        where = " AND ".join(
            ["d.tenant = %(tenant)s", *(f"d.{name} = %({name})s" for name, value in wanted.items() if value)]
        )
        with self._database.transaction() as connection:
            return self._summaries(connection, f"{where} ORDER BY d.uri", tenant=tenant, **wanted)

    def refusals(self, scope: Scope) -> list[Refusal]:
        if scope.sees_nothing:
            return []
        rows = self._refusals("tenant IN (%s, %s)", scope.tenant, EVERY_TENANT)
        return [refusal for refusal in rows if refusal.source.is_readable(scope)]

    def refusals_of(self, tenant: str, *, uri: str) -> list[Refusal]:
        return self._refusals("tenant = %s AND uri = %s", tenant, uri)

    def _refusals(self, where: str, *values: str) -> list[Refusal]:
        columns = "uri, tenant, reason, message, at, groups, class"
        rows = self._rows(f"SELECT {columns} FROM refusals WHERE {where} ORDER BY uri, tenant", values)
        return [
            Refusal(named, tenant, reason, message, at, frozenset(groups), data_class)
            for named, tenant, reason, message, at, groups, data_class in rows
        ]

    def text(self, document_id: str, scope: Scope) -> str | None:
        if scope.sees_nothing:
            return None
        query = f"SELECT d.text FROM documents AS d WHERE d.document_id = %(key)s AND {_IN_SCOPE}"
        rows = self._rows(query, {"key": document_id, **_scope(scope)})
        return rows[0][0] if rows else None

    def documents_of(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, str]:
        if scope.sees_nothing or not chunk_ids:
            return {}
        query = f"""
          SELECT c.chunk_id, c.document_id
          FROM unnest(%(ids)s::text[]) AS wanted (chunk_id)
          JOIN chunks AS c ON c.chunk_id = wanted.chunk_id
          JOIN documents AS d ON d.document_id = c.document_id
          WHERE {_IN_SCOPE} AND {_IN_FORCE}"""
        return dict(self._rows(query, {"ids": list(chunk_ids), "as_of": as_of, **_scope(scope)}))

    def hits(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, Hit]:
        if scope.sees_nothing or not chunk_ids:
            return {}
        query = f"""
          SELECT {_CHUNK}, {_SOURCE}
          FROM unnest(%(ids)s::text[]) WITH ORDINALITY AS wanted (chunk_id, place)
          JOIN chunks AS c ON c.chunk_id = wanted.chunk_id
          JOIN documents AS d ON d.document_id = c.document_id
          WHERE {_IN_SCOPE} AND {_IN_FORCE} ORDER BY wanted.place"""
        rows = self._rows(query, {"ids": list(chunk_ids), "as_of": as_of, **_scope(scope)})
        return {row[0]: Hit(_chunk(row[:8]), _source(row[8:]), 0.0) for row in rows}

    def keyword_search(
        self, query: str, scope: Scope, *, limit: int, as_of: date | None, where: Where | None = None
    ) -> list[tuple[str, float, str]]:
        query_words = [_fold(word) for word in telling_words(_storable(query))[:_MOST_WORDS]]
        wanted = simplify(where)
        if scope.sees_nothing or not query_words or limit < 1 or wanted is False:
            return []
        condition, bound = ("", {}) if wanted is True else _condition(wanted)
        values = {"words": query_words, "limit": limit, "as_of": as_of, "k1": _K1, "b": _B, **_scope(scope), **bound}
        return self._rows(_SEARCH.replace("/* where */", condition), values)

    # For the vector index, and for reindexing

    def entry(self, document_id: str) -> Entry | None:
        entries = list(self._entries("WHERE d.document_id = %s", (document_id,)))
        return entries[0] if entries else None

    def entries(self) -> Iterator[Entry]:
        yield from self._entries("ORDER BY d.document_id", ())

    def _entries(self, which: str, values: Sequence[str]) -> Iterator[Entry]:
        with self._database.transaction() as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield from _entries(connection, which, values)

    def embeddings(self, *, after: int = 0) -> Iterator[VectorItem]:
        query = f"""
          SELECT c.sequence, c.chunk_id, c.embedding, {_SOURCE}
          FROM chunks AS c JOIN documents AS d ON d.document_id = c.document_id
          WHERE c.sequence > %s ORDER BY c.sequence"""
        with self._database.transaction() as connection:
            for sequence, chunk_id, embedding, *row in _stream(connection, query, (after,)):
                vector, source = np.frombuffer(embedding, dtype="<f4"), _source(row)
                yield VectorItem(sequence, chunk_id, source.tenant, source.groups, vector, source.filterable)

    def deletions(self, *, after: int = 0) -> Iterator[str]:
        query = "SELECT chunk_id FROM deletions WHERE sequence > %s ORDER BY sequence"
        with self._database.transaction() as connection:
            for (chunk_id,) in _stream(connection, query, (after,)):
                yield chunk_id

    def known_vectors(self, texts: Collection[str], tenant: str, *, scope: Scope | None = None) -> dict[str, Vectors]:
        query = f"""
          SELECT c.digest, c.embedding FROM chunks AS c JOIN documents AS d ON d.document_id = c.document_id
          WHERE c.digest = ANY(%(digests)s) AND d.tenant = %(tenant)s AND {_READABLE.replace("DOC", "d")}"""
        by_digest = {row_codec.digest(text): text for text in texts}
        rows = self._rows(query, _scope(scope) | {"digests": list(by_digest), "tenant": tenant})
        return {by_digest[digest]: np.frombuffer(embedding, dtype="<f4") for digest, embedding in rows}

    def sequence(self) -> int:
        with self._database.transaction() as connection:
            return _sequence(connection)

    def stamp(self, sequence: int) -> str | None:
        rows = self._rows("SELECT stamp FROM commits WHERE sequence = %s", (sequence,))
        return rows[0][0] if rows else None

    def document_count(self) -> int:
        return int(self._rows("SELECT count(*) FROM documents")[0][0])

    def chunk_count(self) -> int:
        return int(self._rows("SELECT count(*) FROM chunks")[0][0])

    def fingerprint(self) -> Fingerprint | None:
        rows = self._rows("SELECT value FROM fingerprint")
        return row_codec.fingerprint(rows[0][0]) if rows else None

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._database.transaction() as connection:
            connection.execute("LOCK TABLE commits IN EXCLUSIVE MODE")  # lets readers pass
            yield connection

    def _rows(self, query: str, values: Any = None) -> list[Any]:
        with self._database.transaction() as connection:
            return connection.execute(query, values).fetchall()

    def _summaries(self, connection: Connection, where: str, **values: Any) -> list[Document]:
        today = self._clock.now().date()
        rows = connection.execute(
            f"SELECT {_SUMMARY} FROM documents AS d WHERE {where}", {"as_of": today, **_scope(None), **values}
        )
        return [_document(row) for row in rows]


def build(options: Options, context: Context) -> PostgresLedger:
    return PostgresLedger(options, context.clock)


def stores(options: Options) -> tuple[Store, ...]:  # noqa: ARG001 - the signature of every adapter
    return (STORE,)


class _Numbers:
    """Draws the next numbers of the ledger's sequence within a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._first = self._last = _sequence(connection)

    def __next__(self) -> int:
        self._last += 1
        return self._last

    def save(self) -> None:
        """Stamp the transaction, and forget what only an index far behind would ask for."""
        if self._last > self._first:
            self._connection.execute("INSERT INTO commits VALUES (%s, %s)", (self._last, uuid4().hex))
            for table in ("commits", "deletions"):
                self._connection.execute(f"DELETE FROM {table} WHERE sequence <= %s", (self._last - _REMEMBERED,))


def _prepare(connection: Connection) -> None:
    format_table = connection.execute("SELECT to_regclass('format')").fetchone()
    if format_table == (None,):
        connection.execute(_SCHEMA)
        connection.execute("INSERT INTO format VALUES (%s)", (_VERSION,))
    version = connection.execute("SELECT version FROM format").fetchone()
    if version in ((3,), (4,)):
        _convert(connection, version[0])
        version = (_VERSION,)
    if version != (_VERSION,):
        raise StoreUnavailable(
            f"The ledger in PostgreSQL has the format {version and version[0]}; this version of Sixply reads format "
            f"{_VERSION}. Use the version that wrote it, or name another namespace and ingest again."
        )


def _convert(connection: Connection, version: int) -> None:
    """From an older format; nothing is embedded again."""
    if version == 3:
        connection.execute('ALTER TABLE documents ADD version_of text COLLATE "C", ADD writer_reads text')
    _note_parsers(connection)
    if version == 3:
        _name_by_readers(connection)
    crash_point("mid_conversion")
    connection.execute("UPDATE format SET version = %s", (_VERSION,))


def _note_parsers(connection: Connection) -> None:
    """Beside each document what read it, in place of all parsers in the fingerprint."""
    connection.execute("ALTER TABLE documents ADD parsers text[] NOT NULL DEFAULT '{}'")
    connection.execute("ALTER TABLE documents ALTER parsers DROP DEFAULT")
    versions: list[str] = []
    for (text,) in connection.execute("SELECT value FROM fingerprint").fetchall():
        fingerprint, versions = row_codec.split_fingerprint(row_codec.fingerprint(text))
        _set_fingerprint(connection, fingerprint)
    for key, uri, content_hash in connection.execute("SELECT document_id, uri, content_hash FROM documents").fetchall():
        offered, parsers = row_codec.note_parsers(uri, content_hash, versions)
        values = (offered, list(parsers), key)
        connection.execute("UPDATE documents SET content_hash = %s, parsers = %s WHERE document_id = %s", values)


def _name_by_readers(connection: Connection) -> None:
    """From format 3: ids of restricted documents are made of who may read them, too, and so are those of their passages,
    which the vector index is told as changes. What is an earlier version says of which. Who stored a document is not known
    any more: it supersedes what it did. A refusal whose readers are not known is for the owner of the machine."""
    connection.execute(_INDEXES)
    old = connection.execute("SELECT tenant, uri, reason, message, at FROM refusals").fetchall()
    connection.execute("DROP TABLE refusals")
    connection.execute(_REFUSALS)
    for tenant, uri, *why in old:
        key = Source(uri, tenant, frozenset({NOBODY})).document_id
        values = (key, tenant, uri, [NOBODY], UNCLASSIFIED, *why)
        connection.execute("INSERT INTO refusals VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", values)
    query = f"SELECT d.document_id, d.content_hash, d.ingested_at, {_SOURCE} FROM documents AS d"
    rows = connection.execute(query.encode()).fetchall()
    numbers = _Numbers(connection)
    for key, content_hash, at, *row in rows:
        source = row_codec.with_version_of(content_hash, _source(row))
        if source.document_id == key and source.version_of is None:
            continue
        [entry] = _entries(connection, "WHERE d.document_id = %s", (key,))
        _remove(connection, key, numbers)
        _store(connection, entry.under(source), numbers, at)
    numbers.save()


def _set_fingerprint(connection: Connection, fingerprint: Fingerprint) -> None:
    connection.execute(
        "INSERT INTO fingerprint VALUES (true, %s) ON CONFLICT (one) DO UPDATE SET value = excluded.value",
        (row_codec.fingerprint_text(fingerprint),),
    )


def _sequence(connection: Connection) -> int:
    row = connection.execute("SELECT coalesce(max(sequence), 0) FROM commits").fetchone()
    return int(row[0]) if row else 0


def _store(connection: Connection, entry: Entry, numbers: _Numbers, now: datetime) -> None:
    if len(entry.chunks) != len(entry.vectors):
        raise ValueError(f"{entry.source.uri}: {len(entry.chunks)} chunks and {len(entry.vectors)} vectors")
    source, text = entry.source, entry.parsed.text
    _remove(connection, source.document_id, numbers)
    connection.execute(
        f"INSERT INTO documents VALUES ({', '.join(['%s'] * 20)})",
        (
            source.document_id, source.tenant, source.uri, sorted(source.groups), source.title, source.media_type,
            source.series, source.effective_from, source.published, source.origin,
            row_codec.attributes_text(source.attributes), entry.content_hash,
            len(text), len(entry.chunks), entry.ingested_at or now, text, row_codec.outline(entry.parsed), source.version_of, source.writer_reads,
            list(entry.parsed.parsers),
        ),
    )  # fmt: skip
    attribute_rows = [
        (source.document_id, name, *((value, None) if isinstance(value, str) else (None, value)))
        for name, value in stored_attributes(source.filterable).items()
    ]
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO filterable VALUES (%s, %s, %s, %s)", attribute_rows)
    vectors = np.ascontiguousarray(entry.vectors, dtype="<f4")
    counted = [(next(numbers), Counter(map(_fold, words(chunk.indexed_text)))) for chunk in entry.chunks]
    rows = [
        (
            sequence, chunk.chunk_id, source.document_id, chunk.position, chunk.start, chunk.end, chunk.page,
            json.dumps(chunk.heading_path), chunk.text, terms.total(), row_codec.digest(chunk.indexed_text), vector.tobytes(),
        )
        for chunk, vector, (sequence, terms) in zip(entry.chunks, vectors, counted, strict=True)
    ]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO chunks VALUES ({', '.join(['%s'] * 12)})", rows)
    _index(connection, counted)
    connection.execute("DELETE FROM deletions WHERE chunk_id = ANY(%s)", ([chunk.chunk_id for chunk in entry.chunks],))
    connection.execute("DELETE FROM refusals WHERE document_id = %s", (source.document_id,))
    next(numbers)  # a document without a passage is a change, too


def _index(connection: Connection, counted: Sequence[tuple[int, Counter[str]]]) -> None:
    rows = [(word, at, times, terms.total()) for at, terms in counted for word, times in terms.items()]
    if rows:
        connection.execute(
            """INSERT INTO postings SELECT stem(word), sequence, sum(frequency), min(length)
            FROM unnest(%s::text[], %s::bigint[], %s::integer[], %s::integer[]) AS w (word, sequence, frequency, length)
            GROUP BY 1, 2""",
            [list(column) for column in zip(*rows, strict=True)],
        )
    _count(connection, len(counted), sum(terms.total() for _, terms in counted))


def _count(connection: Connection, chunks: int, length: int) -> None:
    connection.execute("UPDATE totals SET chunks = chunks + %s, words = words + %s", (chunks, length))


def _entries(connection: Connection, which: str, values: Sequence[str]) -> Iterator[Entry]:
    stored = "d.content_hash, d.text, d.outline, d.parsers, d.document_id"
    documents = f"SELECT {_SOURCE}, {stored} FROM documents AS d {which}"
    passages = f"SELECT {_CHUNK}, c.embedding FROM chunks AS c WHERE c.document_id = %s ORDER BY c.position"
    for *source, content_hash, text, outline, parsers, key in _stream(connection, documents, values):
        rows = connection.execute(passages, (key,)).fetchall()
        vectors = np.array([np.frombuffer(row[-1], dtype="<f4") for row in rows], dtype=np.float32)
        chunks = tuple(_chunk(row[:-1]) for row in rows)
        yield Entry(_source(source), content_hash, row_codec.read_parsed(text, outline, parsers), chunks, vectors)


def _delete(connection: Connection, key: str, numbers: _Numbers) -> bool:
    removed = _remove(connection, key, numbers)
    return connection.execute("DELETE FROM refusals WHERE document_id = %s", (key,)).rowcount > 0 or removed


def _remove(connection: Connection, key: str, numbers: _Numbers) -> bool:
    query = "DELETE FROM chunks WHERE document_id = %s RETURNING sequence, chunk_id, length"
    gone = sorted(connection.execute(query, (key,)).fetchall())
    connection.execute("DELETE FROM postings WHERE sequence = ANY(%s)", ([sequence for sequence, _, _ in gone],))
    connection.execute("DELETE FROM filterable WHERE document_id = %s", (key,))
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO deletions VALUES (%s, %s)", [(next(numbers), chunk) for _, chunk, _ in gone])
    _count(connection, -len(gone), -sum(length for *_, length in gone))
    return connection.execute("DELETE FROM documents WHERE document_id = %s", (key,)).rowcount > 0


def _stream(connection: Connection, query: str, values: Any = None) -> Iterator[Any]:
    """Rows through a cursor in the server, a page at a time."""
    with connection.cursor(name="stream") as cursor:
        cursor.itersize = _PAGE
        yield from cursor.execute(query, values)


def _fold(word: str) -> str:
    """In lower case and without accents; marks of other scripts are letters."""
    if not word.isascii():
        decomposed = unicodedata.normalize("NFD", word)
        word = unicodedata.normalize("NFC", "".join(c for c in decomposed if not "\u0300" <= c <= "\u036f"))
    return word.lower()[:_LONGEST]


def _storable(query: str) -> str:
    """Without lone surrogates, which no stored text holds."""
    return query.encode(errors="ignore").decode()


def _condition(where: Where) -> tuple[str, dict[str, Any]]:
    """A condition on a document `d`, and what is bound in it."""
    bound: dict[str, Any] = {}

    def bind(value: Any) -> str:
        bound[name := f"where_{len(bound)}"] = value
        return f"%({name})s"

    def single(leaf: Leaf) -> str:
        named = (
            f"EXISTS (SELECT 1 FROM filterable AS f WHERE f.document_id = d.document_id AND f.name = {bind(leaf.name)}"
        )
        if isinstance(leaf, OneOf):
            column, kind = ("text", "text[]") if isinstance(leaf.stored_values[0], str) else ("number", "float8[]")
            return f"{named} AND f.{column} = ANY({bind(leaf.stored_values)}::{kind}))"
        low, high = map(bind, leaf.ends)
        return f"{named} AND f.number BETWEEN {low}::float8 AND {high}::float8)"

    return f"AND {as_sql(where, single)}", bound


def _scope(scope: Scope | None) -> dict[str, Any]:
    """What is bound in the conditions; without a scope, for those who write, everything is readable."""
    if scope is None:
        return {"everything": True, "groups": [], "classes": None}
    classes = scope.listed_classes
    return {"everything": False, "tenant": scope.tenant, "groups": sorted(scope.groups), "classes": classes}


def _source(row: Sequence[Any]) -> Source:
    uri, tenant, groups, title, media_type, series, effective_from, published, origin, attributes, *ledger_fields = row
    return Source(
        uri,
        tenant,
        frozenset(groups),
        title,
        media_type,
        series,
        effective_from,
        published,
        origin,
        row_codec.attributes(attributes),
        *ledger_fields,
    )


def _document(row: Sequence[Any]) -> Document:
    key, content_hash, characters, chunks, at, superseded, parsers = row[_OF_SOURCE:]
    source = _source(row[:_OF_SOURCE])
    return Document(key, source, content_hash, characters, chunks, at, superseded, tuple(parsers))


def _chunk(row: Sequence[Any]) -> Chunk:
    chunk_id, key, position, text, start, end, heading_path, page = row
    return Chunk(chunk_id, key, position, text, start, end, tuple(json.loads(heading_path)), page)
