# ruff: noqa: S608 - statements are put together from constants of this file; every value is bound
"""The document ledger in PostgreSQL, with the keyword index in the same transactions: for several processes or machines.

One transaction writes at a time, in all processes together, so that the numbers of the sequence are committed in their
order; readers never wait. The keyword index is a table of postings, ranked by BM25 in the query, because `ts_rank` knows
neither how rare a word is nor how long the passages are. Words are stemmed by the
server's own Snowball dictionary and prepared by `foundation.text.tokens`, so that both ledgers find the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from foundation.clock import Clock
from foundation.components import Context
from foundation.stores.postgres import Postgres, PostgresOptions, without_time_limit
from foundation.stores.registry import Store
from foundation.text.tokens import telling_words
from foundation.types import EVERY_TENANT, Scope
from retrieval.contract import (
    DOCUMENTS_STAY,
    Document,
    DocumentLedger,
    Entry,
    Fingerprint,
    Hit,
    Refusal,
    VectorItem,
    Vectors,
)
from retrieval.filters import Where, simplify
from retrieval.tables import row_codec
from retrieval.tables.changes import Numbers, last_number
from retrieval.tables.postgres_rows import (
    delete_document,
    fold_word,
    read_document,
    read_entries,
    read_source,
    store_entry,
    stream_rows,
    write_fingerprint,
)
from retrieval.tables.postgres_schema import prepare
from retrieval.tables.postgres_scope import IN_FORCE, IN_SCOPE, READABLE, bind_condition, bind_scope

if TYPE_CHECKING:
    from foundation.stores.postgres import Connection


_SUMMARY = f"{row_codec.SOURCE}, d.document_id, d.content_hash, d.characters, d.chunks, d.ingested_at, NOT {IN_FORCE}, d.parsers"

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
  WHERE {IN_SCOPE} AND {IN_FORCE} /* where */ ORDER BY r.score DESC, c.chunk_id LIMIT %(limit)s"""
_K1, _B = 1.2, 0.75
"""Of BM25, as SQLite's FTS5 has them."""

_MOST_WORDS = 128
"""A longer query is searched by its first words; the vector leg reads no further either."""


STORE = Store(name="documents", stays=DOCUMENTS_STAY)


class Options(PostgresOptions):
    pass


class PostgresLedger:
    """A `DocumentLedger`. Safe to share between threads, processes and machines."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self._options, self._clock = options, clock
        self._database = Postgres(options, prepare, STORE)

    # Writing

    def put(self, entries: Sequence[Entry], *, gone: Collection[str] = ()) -> list[Document]:
        now = self._clock.now()
        keys = [entry.source.document_id for entry in entries]
        with self._writing() as connection:
            numbers = Numbers(connection, "%s")
            for key in gone:
                delete_document(connection, key, numbers)
            for entry in entries:
                store_entry(connection, entry, numbers, now)
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
            numbers = Numbers(connection, "%s")
            removed = delete_document(connection, document_id, numbers)
            numbers.save()
        return removed

    def set_fingerprint(self, fingerprint: Fingerprint) -> None:
        with self._writing() as connection:
            write_fingerprint(connection, fingerprint)

    def beside(self, *, fresh: bool = False) -> PostgresLedger:
        if fresh:
            self._drop_beside()
        return PostgresLedger(self._options.model_copy(update={"namespace": self._beside_namespace}), self._clock)

    def adopt(self, beside: DocumentLedger, *, at: int) -> bool:
        now, fingerprint = self._clock.now(), beside.fingerprint()
        with self._writing() as connection, without_time_limit(connection):
            numbers = Numbers(connection, "%s")
            if last_number(connection) != at:
                return False
            connection.execute("CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT * FROM refusals")
            for table in ("postings", "chunks", "filterable", "documents", "deletions", "commits"):
                connection.execute(f"DELETE FROM {table}".encode())  # TRUNCATE would not let readers pass
            connection.execute("UPDATE totals SET chunks = 0, words = 0")
            for entry in beside.entries():
                store_entry(connection, entry, numbers, now)
            next(numbers)
            numbers.save()
            connection.execute("INSERT INTO refusals SELECT * FROM kept ON CONFLICT DO NOTHING")
            if fingerprint:
                write_fingerprint(connection, fingerprint)
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
            return self._summaries(connection, f"{IN_SCOPE} ORDER BY d.uri, d.tenant", **bind_scope(scope))

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
        query = f"SELECT d.text FROM documents AS d WHERE d.document_id = %(key)s AND {IN_SCOPE}"
        rows = self._rows(query, {"key": document_id, **bind_scope(scope)})
        return rows[0][0] if rows else None

    def documents_of(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, str]:
        if scope.sees_nothing or not chunk_ids:
            return {}
        query = f"""
          SELECT c.chunk_id, c.document_id
          FROM unnest(%(ids)s::text[]) AS wanted (chunk_id)
          JOIN chunks AS c ON c.chunk_id = wanted.chunk_id
          JOIN documents AS d ON d.document_id = c.document_id
          WHERE {IN_SCOPE} AND {IN_FORCE}"""
        return dict(self._rows(query, {"ids": list(chunk_ids), "as_of": as_of, **bind_scope(scope)}))

    def hits(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, Hit]:
        if scope.sees_nothing or not chunk_ids:
            return {}
        query = f"""
          SELECT {row_codec.CHUNK}, {row_codec.SOURCE}
          FROM unnest(%(ids)s::text[]) WITH ORDINALITY AS wanted (chunk_id, place)
          JOIN chunks AS c ON c.chunk_id = wanted.chunk_id
          JOIN documents AS d ON d.document_id = c.document_id
          WHERE {IN_SCOPE} AND {IN_FORCE} ORDER BY wanted.place"""
        rows = self._rows(query, {"ids": list(chunk_ids), "as_of": as_of, **bind_scope(scope)})
        return {row[0]: Hit(row_codec.read_chunk(row[:8]), read_source(row[8:]), 0.0) for row in rows}

    def keyword_search(
        self, query: str, scope: Scope, *, limit: int, as_of: date | None, where: Where | None = None
    ) -> list[tuple[str, float, str]]:
        query_words = [fold_word(word) for word in telling_words(_storable(query))[:_MOST_WORDS]]
        wanted = simplify(where)
        if scope.sees_nothing or not query_words or limit < 1 or wanted is False:
            return []
        condition, bound = ("", {}) if wanted is True else bind_condition(wanted)
        values = {
            "words": query_words,
            "limit": limit,
            "as_of": as_of,
            "k1": _K1,
            "b": _B,
            **bind_scope(scope),
            **bound,
        }
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
            yield from read_entries(connection, which, values)

    def embeddings(self, *, after: int = 0) -> Iterator[VectorItem]:
        query = f"""
          SELECT c.sequence, c.chunk_id, c.embedding, {row_codec.SOURCE}
          FROM chunks AS c JOIN documents AS d ON d.document_id = c.document_id
          WHERE c.sequence > %s ORDER BY c.sequence"""
        with self._database.transaction() as connection:
            for sequence, chunk_id, embedding, *row in stream_rows(connection, query, (after,)):
                vector, source = np.frombuffer(embedding, dtype="<f4"), read_source(row)
                yield VectorItem(sequence, chunk_id, source.tenant, source.groups, vector, source.filterable)

    def deletions(self, *, after: int = 0) -> Iterator[str]:
        query = "SELECT chunk_id FROM deletions WHERE sequence > %s ORDER BY sequence"
        with self._database.transaction() as connection:
            for (chunk_id,) in stream_rows(connection, query, (after,)):
                yield chunk_id

    def known_vectors(self, texts: Collection[str], tenant: str, *, scope: Scope | None = None) -> dict[str, Vectors]:
        query = f"""
          SELECT c.digest, c.embedding FROM chunks AS c JOIN documents AS d ON d.document_id = c.document_id
          WHERE c.digest = ANY(%(digests)s) AND d.tenant = %(tenant)s AND {READABLE.replace("DOC", "d")}"""
        by_digest = {row_codec.digest(text): text for text in texts}
        rows = self._rows(query, bind_scope(scope) | {"digests": list(by_digest), "tenant": tenant})
        return {by_digest[digest]: np.frombuffer(embedding, dtype="<f4") for digest, embedding in rows}

    def sequence(self) -> int:
        with self._database.transaction() as connection:
            return last_number(connection)

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
            f"SELECT {_SUMMARY} FROM documents AS d WHERE {where}", {"as_of": today, **bind_scope(None), **values}
        )
        return [read_document(row) for row in rows]


def build(options: Options, context: Context) -> PostgresLedger:
    return PostgresLedger(options, context.clock)


def stores(options: Options) -> tuple[Store, ...]:  # noqa: ARG001 - the signature of every adapter
    return (STORE,)


def _storable(query: str) -> str:
    """Without lone surrogates, which no stored text holds."""
    return query.encode(errors="ignore").decode()
