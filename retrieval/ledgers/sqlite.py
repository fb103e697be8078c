# ruff: noqa: S608 - statements are put together from constants of this file; every value is bound
"""The document ledger in one SQLite file, with the keyword index (FTS5) in the same transactions.

Durable by SQLite's own promise: write-ahead log, `synchronous=FULL`. One writer at a time; readers never wait for it.
Every chunk and every deletion draws the next number of one sequence, by which a vector index catches up.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from foundation.clock import Clock
from foundation.components import Context
from foundation.stores.sqlite_file import SqliteStore
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
from retrieval.tables.sqlite_connections import SqliteConnections
from retrieval.tables.sqlite_rows import (
    day_text,
    delete_document,
    read_document,
    read_entries,
    read_source,
    store_entry,
    write_fingerprint,
)
from retrieval.tables.sqlite_scope import IN_FORCE, IN_SCOPE, READABLE, bind_condition, bind_scope

_SUMMARY = f"{row_codec.SOURCE}, d.document_id, d.content_hash, d.characters, d.chunks, d.ingested_at, NOT {IN_FORCE}, d.parsers"

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
        self._path, self._options, self._clock = path, options, clock
        self._database = SqliteConnections(path, store_in(options), timeout_s=options.busy_timeout_s)

    # Writing

    def put(self, entries: Sequence[Entry], *, gone: Collection[str] = ()) -> list[Document]:
        now = self._clock.now()
        keys = [entry.source.document_id for entry in entries]
        with self._database.transaction() as connection:
            numbers = Numbers(connection, "?")
            for key in gone:
                delete_document(connection, key, numbers)
            for entry in entries:
                store_entry(connection, entry, numbers, now)
            numbers.save()
            where = "d.document_id IN (SELECT value FROM json_each(:keys))"
            stored = {
                document.document_id: document for document in self._summaries(connection, where, keys=json.dumps(keys))
            }
        return [stored[key] for key in keys]

    def refuse(self, refusal: Refusal) -> None:
        with self._database.transaction() as connection:
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
        with self._database.transaction() as connection:
            numbers = Numbers(connection, "?")
            removed = delete_document(connection, document_id, numbers)
            numbers.save()
        return removed

    def set_fingerprint(self, fingerprint: Fingerprint) -> None:
        with self._database.transaction() as connection:
            write_fingerprint(connection, fingerprint)

    def beside(self, *, fresh: bool = False) -> SqliteLedger:
        if fresh:
            self._remove_beside()
        return SqliteLedger(self._beside_path, self._options, self._clock)

    def adopt(self, beside: DocumentLedger, *, at: int) -> bool:
        now, fingerprint = self._clock.now(), beside.fingerprint()
        with self._database.transaction() as connection:
            numbers = Numbers(connection, "?")
            if last_number(connection) != at:
                return False
            refusals = connection.execute("SELECT * FROM refusals").fetchall()
            for table in ("chunks", "filterable", "documents", "deletions", "commits"):
                connection.execute(f"DELETE FROM {table}")
            for entry in beside.entries():
                store_entry(connection, entry, numbers, now)
            next(numbers)
            numbers.save()
            connection.executemany("INSERT OR REPLACE INTO refusals VALUES (?, ?, ?, ?, ?, ?, ?, ?)", refusals)
            if fingerprint:
                write_fingerprint(connection, fingerprint)
        beside.close()
        self._remove_beside()
        return True

    @property
    def _beside_path(self) -> Path:
        return self._path.with_name(f"{self._path.stem}-reindex{self._path.suffix}")

    def _remove_beside(self) -> None:
        with self._database.translate_errors():
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self._beside_path}{suffix}").unlink(missing_ok=True)

    # Reading

    def find(self, document_id: str) -> Document | None:
        with self._database.reading() as connection:
            documents = self._summaries(connection, "d.document_id = :key", key=document_id)
        return documents[0] if documents else None

    def documents(self, scope: Scope) -> list[Document]:
        if scope.sees_nothing:
            return []
        with self._database.reading() as connection:
            return self._summaries(connection, f"{IN_SCOPE} ORDER BY d.uri, d.tenant", **bind_scope(scope))

    def documents_where(
        self, tenant: str, *, uri: str | None = None, origin: str | None = None, version_of: str | None = None
    ) -> list[Document]:
        wanted = {"uri": uri, "origin": origin, "version_of": version_of}
        where = " AND ".join(
            ["d.tenant = :tenant", *(f"d.{name} = :{name}" for name, value in wanted.items() if value)]
        )
        with self._database.reading() as connection:
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
        with self._database.reading() as connection:
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
        query = f"SELECT d.text FROM documents AS d WHERE d.document_id = :key AND {IN_SCOPE}"
        with self._database.reading() as connection:
            row = connection.execute(query, {"key": document_id, **bind_scope(scope)}).fetchone()
        return row[0] if row else None

    def documents_of(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, str]:
        if scope.sees_nothing or not chunk_ids:
            return {}
        query = f"""
          SELECT c.chunk_id, c.document_id
          FROM json_each(:ids) AS wanted
          CROSS JOIN chunks AS c INDEXED BY chunk_owners ON c.chunk_id = wanted.value
          CROSS JOIN documents AS d ON d.document_id = c.document_id
          WHERE {IN_SCOPE} AND {IN_FORCE}"""
        values = {"ids": json.dumps(list(chunk_ids)), "as_of": day_text(as_of), **bind_scope(scope)}
        with self._database.reading() as connection:
            return dict(connection.execute(query, values).fetchall())

    def hits(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, Hit]:
        if scope.sees_nothing or not chunk_ids:
            return {}
        query = f"""
          SELECT {row_codec.CHUNK}, {row_codec.SOURCE}
          FROM json_each(:ids) AS wanted
          JOIN chunks AS c ON c.chunk_id = wanted.value
          JOIN documents AS d ON d.document_id = c.document_id
          WHERE {IN_SCOPE} AND {IN_FORCE} ORDER BY wanted.key"""
        values = {"ids": json.dumps(list(chunk_ids)), "as_of": day_text(as_of), **bind_scope(scope)}
        with self._database.reading() as connection:
            return {
                row[0]: Hit(row_codec.read_chunk(row[:8]), read_source(row[8:]), 0.0)
                for row in connection.execute(query, values)
            }

    def keyword_search(
        self, query: str, scope: Scope, *, limit: int, as_of: date | None, where: Where | None = None
    ) -> list[tuple[str, float, str]]:
        """All matches are ranked, and the best walked through until enough of them may be shown; asking of every match
        whether it may takes twice as long. `LIMIT -1` keeps SQLite from merging the two steps."""
        expression = match_expression(query)
        wanted = simplify(where)
        if scope.sees_nothing or not expression or limit < 1 or wanted is False:
            return []
        condition, bound = ("", {}) if wanted is True else bind_condition(wanted)
        sql = f"""
          SELECT c.chunk_id, ranked.score, c.document_id
          FROM (
            SELECT rowid AS sequence, -bm25(search, :weight, 1.0) AS score FROM search
            WHERE search MATCH :expression ORDER BY score DESC, rowid LIMIT -1
          ) AS ranked
          CROSS JOIN chunks AS c ON c.sequence = ranked.sequence
          CROSS JOIN documents AS d ON d.document_id = c.document_id
          WHERE {IN_SCOPE} AND {IN_FORCE} {condition} LIMIT :limit"""
        values = {
            "weight": self._options.heading_weight,
            "expression": expression,
            "limit": limit,
            "as_of": day_text(as_of),
            **bind_scope(scope),
            **bound,
        }
        with self._database.reading() as connection:
            rows = connection.execute(sql, values).fetchall()
        return sorted(rows, key=lambda row: (-row[1], row[0]))

    # For the vector index, and for reindexing

    def entry(self, document_id: str) -> Entry | None:
        entries = list(self._entries("WHERE d.document_id = ?", (document_id,)))
        return entries[0] if entries else None

    def entries(self) -> Iterator[Entry]:
        yield from self._entries("ORDER BY d.document_id", ())

    def _entries(self, which: str, values: Sequence[str]) -> Iterator[Entry]:
        with self._database.reading() as connection:
            yield from read_entries(connection, which, values)

    def embeddings(self, *, after: int = 0) -> Iterator[VectorItem]:
        query = f"""
          SELECT c.sequence, c.chunk_id, c.embedding, {row_codec.SOURCE}
          FROM chunks AS c JOIN documents AS d ON d.document_id = c.document_id
          WHERE c.sequence > ? ORDER BY c.sequence"""
        with self._database.reading() as connection:
            for sequence, chunk_id, embedding, *row in connection.execute(query, (after,)):
                vector, source = np.frombuffer(embedding, dtype="<f4"), read_source(row)
                yield VectorItem(sequence, chunk_id, source.tenant, source.groups, vector, source.filterable)

    def deletions(self, *, after: int = 0) -> Iterator[str]:
        query = "SELECT chunk_id FROM deletions WHERE sequence > ? ORDER BY sequence"
        with self._database.reading() as connection:
            for (chunk_id,) in connection.execute(query, (after,)):
                yield chunk_id

    def known_vectors(self, texts: Collection[str], tenant: str, *, scope: Scope | None = None) -> dict[str, Vectors]:
        query = f"""
          SELECT c.digest, c.embedding FROM json_each(:digests) AS wanted
          CROSS JOIN chunks AS c ON c.digest = wanted.value
          CROSS JOIN documents AS d ON d.document_id = c.document_id
          WHERE d.tenant = :tenant AND {READABLE.replace("%s", "d")}"""
        by_digest = {row_codec.digest(text): text for text in texts}
        values = bind_scope(scope) | {"digests": json.dumps(list(by_digest)), "tenant": tenant}
        with self._database.reading() as connection:
            rows = connection.execute(query, values).fetchall()
        return {by_digest[digest]: np.frombuffer(embedding, dtype="<f4") for digest, embedding in rows}

    def sequence(self) -> int:
        with self._database.reading() as connection:
            return last_number(connection)

    def stamp(self, sequence: int) -> str | None:
        with self._database.reading() as connection:
            row = connection.execute("SELECT stamp FROM commits WHERE sequence = ?", (sequence,)).fetchone()
        return row[0] if row else None

    def document_count(self) -> int:
        with self._database.reading() as connection:
            return int(connection.execute("SELECT count(*) FROM documents").fetchone()[0])

    def chunk_count(self) -> int:
        with self._database.reading() as connection:
            return int(connection.execute("SELECT count(*) FROM chunks").fetchone()[0])

    def fingerprint(self) -> Fingerprint | None:
        with self._database.reading() as connection:
            row = connection.execute("SELECT value FROM state WHERE name = 'fingerprint'").fetchone()
        return row_codec.fingerprint(row[0]) if row else None

    def close(self) -> None:
        self._database.close()

    def _summaries(self, connection: sqlite3.Connection, where: str, **values: Any) -> list[Document]:
        rows = connection.execute(
            f"SELECT {_SUMMARY} FROM documents AS d WHERE {where}",
            {"as_of": self._today(), **bind_scope(None), **values},
        )
        return [read_document(row) for row in rows]

    def _today(self) -> str:
        return self._clock.now().date().isoformat()


def match_expression(query: str) -> str:
    """A person's words as an FTS5 expression: any of them, each quoted, so that none is taken for syntax. A word that
    stands there twice counts twice.

    >>> match_expression('What is the "warranty" of QP-5?')
    '"warranty" OR "QP" OR "5"'
    """
    return " OR ".join(f'"{word}"' for word in telling_words(query)[:_MOST_WORDS])


def build(options: Options, context: Context) -> SqliteLedger:
    return SqliteLedger(context.data_dir / options.file, options, context.clock)


def stores(options: Options) -> tuple[SqliteStore, ...]:
    return (store_in(options),)


def store_in(options: Options) -> SqliteStore:
    """The ledger, and the one that is written anew beside it."""
    beside = Path(options.file).with_name(f"{Path(options.file).stem}-reindex{Path(options.file).suffix}")
    return SqliteStore(name="documents", file=options.file, files=(f"{beside}*",), stays=DOCUMENTS_STAY)
