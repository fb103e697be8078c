# ruff: noqa: S608 - statements are put together from constants of this file; every value is bound
"""The document ledger in PostgreSQL, with the keyword index in the same transactions: for several processes or machines.

One transaction writes at a time, across all processes, so that sequence numbers are committed in order; readers never
wait. The keyword index is a table of postings, ranked by BM25 in the query, because `ts_rank` ignores the rarity of
words and the length of passages. Words are prepared by `foundation.text.tokens` and stemmed by the server's Snowball
dictionary, so that both ledgers find the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from extensions.postgres.database import Postgres, without_time_limit
from extensions.postgres.database import PostgresOptions as Options
from foundation.clock import Clock
from foundation.components import Context
from foundation.errors import StoreUnavailable
from foundation.stores.registry import Store
from foundation.text.tokens import words
from foundation.types import UNCLASSIFIED
from retrieval.documents import DOCUMENTS_STAY, Chunk
from retrieval.filters import Leaf, OneOf, Stored
from retrieval.tables import row_codec
from retrieval.tables.connection import IS_KNOWN, TablesConnection, Values
from retrieval.tables.ledger import TablesLedger
from retrieval.tables.schema import TABLES, conditions

if TYPE_CHECKING:
    from extensions.postgres.database import Connection

# Version of the schema and of the words in the postings. Raise it when the schema or `foundation.text.tokens` changes.
_VERSION = 5
_KEY, _KEYS = 'text COLLATE "C"', 'text[] COLLATE "C"'
_TYPES = {"key": _KEY, "keys": _KEYS, "day": "date", "time": "timestamptz", "number": "bigint", "bytes": "bytea"}
_SCHEMA = f"""
{TABLES.format(**_TYPES, searched="length integer NOT NULL")}
CREATE INDEX versions ON documents USING hash (series);
CREATE INDEX documents_by_name ON documents USING hash (uri);
CREATE INDEX earlier ON documents USING hash (version_of);
CREATE INDEX refusals_by_name ON refusals USING hash (uri);
CREATE INDEX chunks_by_digest ON chunks USING hash (digest);
CREATE TABLE filterable (  -- what is known of a document, a row each, to filter by; one of the two columns is filled
  document_id {_KEY} NOT NULL REFERENCES documents, name {_KEY} NOT NULL, text {_KEY}, number float8
);
CREATE INDEX filterable_by_document ON filterable (document_id);
CREATE TABLE fingerprint (one boolean PRIMARY KEY, value text NOT NULL);

CREATE TABLE postings (  -- lengths in words
  term {_KEY}, sequence bigint, frequency integer NOT NULL, length integer NOT NULL,
  PRIMARY KEY (term, sequence) INCLUDE (frequency, length)
);
CREATE INDEX postings_by_chunk ON postings (sequence);
CREATE TABLE totals (chunks bigint NOT NULL, words bigint NOT NULL);
INSERT INTO totals VALUES (0, 0);
CREATE TEXT SEARCH DICTIONARY stems (TEMPLATE = pg_catalog.snowball, LANGUAGE = english);
CREATE FUNCTION stem(word text) RETURNS text LANGUAGE sql STABLE AS
  $$ SELECT coalesce((ts_lexize('stems', word))[1], word) COLLATE "C" $$;

CREATE TABLE format (version integer NOT NULL);
INSERT INTO format VALUES ({_VERSION});
"""
# Characters to which a word is cut; an index cannot hold very long ones
_LONGEST = 64
# Number of rows fetched at a time from a stream
_PAGE = 500
_CONDITIONS = conditions(
    no_groups="'{}'",
    reader_groups=lambda doc: f"{doc}.groups && :groups::text[]",
    writer_groups="jsonb_exists_any(newer.writer_reads::jsonb -> 'groups', d.groups)",
    data_class=lambda doc: f"coalesce({doc}.attributes::json ->> '{row_codec.DATA_CLASS_KEY}', '{UNCLASSIFIED}')",
    reader_classes=lambda of: f"(:classes::text[] IS NULL OR {of} = ANY(:classes::text[]))",
    writer_classes=lambda of: (
        f"(newer.writer_reads::jsonb -> 'classes' = 'null' OR jsonb_exists(newer.writer_reads::jsonb -> 'classes', {of}))"
    ),
    as_of=":as_of::date",
    before_all="'-infinity'",
)


class PostgresTables(TablesConnection):
    conditions = _CONDITIONS
    JOIN = "JOIN"
    READ_FINGERPRINT = "SELECT value FROM fingerprint"
    WRITE_FINGERPRINT = (
        "INSERT INTO fingerprint VALUES (true, :text) ON CONFLICT (one) DO UPDATE SET value = excluded.value"
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def execute(self, query: str, values: Values | None = None) -> Any:
        return self._connection.execute(_placeholders(query), values)

    def execute_many(self, query: str, rows: Sequence[Values]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(_placeholders(query), rows)

    def stream(self, query: str, values: Values | None = None) -> Iterator[Any]:
        """Yield rows from a server-side cursor, a page at a time."""
        with self._connection.cursor(name="stream") as cursor:
            cursor.itersize = _PAGE
            yield from cursor.execute(_placeholders(query), values)

    @staticmethod
    def unnest(name: str) -> str:
        return f"unnest(:{name}::text[]) WITH ORDINALITY AS wanted (value, key)"

    @staticmethod
    def filter_leaf(leaf: Leaf, bind: Callable[[Any], str]) -> str:
        named = f"{IS_KNOWN}{bind(leaf.name)}"
        if isinstance(leaf, OneOf):
            column, kind = ("text", "text[]") if isinstance(leaf.stored_values[0], str) else ("number", "float8[]")
            return f"{named} AND f.{column} = ANY({bind(leaf.stored_values)}::{kind}))"
        low, high = map(bind, leaf.ends)
        return f"{named} AND f.number BETWEEN {low}::float8 AND {high}::float8)"

    def insert_filterable(self, document_id: str, attributes: Mapping[str, Stored]) -> None:
        rows = [
            {"document_id": document_id, "name": name, "text" if isinstance(value, str) else "number": value}
            for name, value in attributes.items()
        ]
        self.execute_many(
            "INSERT INTO filterable VALUES (:document_id, :name, :text, :number)",
            [{"text": None, "number": None} | row for row in rows],
        )

    def insert_chunks(self, rows: Sequence[dict[str, Any]], chunks: Sequence[Chunk]) -> None:
        counted = [Counter(map(fold_word, words(chunk.indexed_text))) for chunk in chunks]
        for row, terms in zip(rows, counted, strict=True):
            row["length"] = terms.total()
        if rows:
            self.execute_many(row_codec.insert_statement("chunks", rows[0]), rows)
        postings = [
            (word, row["sequence"], times, row["length"])
            for row, terms in zip(rows, counted, strict=True)
            for word, times in terms.items()
        ]
        if postings:
            self._connection.execute(
                """INSERT INTO postings SELECT stem(word), sequence, sum(frequency), min(length)
                FROM unnest(%s::text[], %s::bigint[], %s::integer[], %s::integer[]) AS w (word, sequence, frequency, length)
                GROUP BY 1, 2""",
                [list(column) for column in zip(*postings, strict=True)],
            )
        self._count(len(rows), sum(row["length"] for row in rows))

    def delete_chunks(self, document_id: str) -> list[str]:
        query = "DELETE FROM chunks WHERE document_id = %s RETURNING sequence, chunk_id, length"
        gone = sorted(self._connection.execute(query, (document_id,)).fetchall())
        self._connection.execute(
            "DELETE FROM postings WHERE sequence = ANY(%s)", ([sequence for sequence, _, _ in gone],)
        )
        self._count(-len(gone), -sum(length for *_, length in gone))
        return [chunk_id for _, chunk_id, _ in gone]

    def delete_documents(self) -> None:
        for table in ("postings", "chunks", "filterable", "documents", "deletions", "commits"):
            self._connection.execute(f"DELETE FROM {table}".encode())  # TRUNCATE would block readers
        self._connection.execute("UPDATE totals SET chunks = 0, words = 0")

    def _count(self, chunks: int, length: int) -> None:
        self._connection.execute("UPDATE totals SET chunks = chunks + %s, words = words + %s", (chunks, length))


def make_tables(connection: Connection) -> None:
    """Create the tables if there are none. Raises StoreUnavailable: the tables have another format."""
    if connection.execute("SELECT to_regclass('format')").fetchone() == (None,):
        connection.execute(_SCHEMA.encode())
    version = connection.execute("SELECT version FROM format").fetchone()
    if version != (_VERSION,):
        raise StoreUnavailable(
            f"The ledger in PostgreSQL has the format {version and version[0]}; this version of Sixply reads format "
            f"{_VERSION}. Use the version that wrote it, or name another namespace and ingest again."
        )


def fold_word(word: str) -> str:
    """Return a word in lower case, without accents; marks of other scripts are kept, as letters."""
    if not word.isascii():
        decomposed = unicodedata.normalize("NFD", word)
        word = unicodedata.normalize("NFC", "".join(c for c in decomposed if not "\u0300" <= c <= "\u036f"))
    return word.lower()[:_LONGEST]


@lru_cache(maxsize=256)
def _placeholders(query: str) -> str:
    # Not the cast `::`, nor a colon inside quotes
    return re.sub(r"'[^']*'|(?<!:):([a-z]\w*)", lambda match: f"%({match[1]})s" if match[1] else match[0], query)


# BM25 with the parameters of SQLite's FTS5: k1 is 1.2, b 0.75
_SEARCH = f"""
  WITH asked AS (
    SELECT stem(word) AS term, count(*) AS times FROM unnest(:words::text[]) AS word GROUP BY 1
  ), matches AS (
    SELECT p.sequence, p.frequency, p.length, a.times, count(*) OVER (PARTITION BY p.term) AS holders
    FROM asked AS a JOIN postings AS p ON p.term = a.term
  ), ranked AS MATERIALIZED (
    SELECT m.sequence, sum(
      m.times * ln(1 + (t.chunks - m.holders + 0.5) / (m.holders + 0.5)::float8)
      * m.frequency * 2.2 / (m.frequency + 1.2 * (0.25 + 0.75 * m.length * t.chunks / t.words::float8))
    ) AS score
    FROM matches AS m CROSS JOIN totals AS t GROUP BY m.sequence
  )
  SELECT c.chunk_id, r.score, c.document_id
  FROM ranked AS r
  JOIN chunks AS c ON c.sequence = r.sequence
  JOIN documents AS d ON d.document_id = c.document_id
  WHERE {PostgresTables.conditions.in_scope} AND {PostgresTables.conditions.in_force} /* where */
  ORDER BY r.score DESC, c.chunk_id LIMIT :limit"""


STORE = Store(name="documents", stays=DOCUMENTS_STAY)


class PostgresLedger(TablesLedger):
    """A `DocumentLedger`. Safe to share between threads, processes and machines."""

    tables, _search = PostgresTables, _SEARCH

    def __init__(self, options: Options, clock: Clock) -> None:
        super().__init__(clock)
        self._options = options
        self._database = Postgres(options, make_tables, STORE)

    def open_second(self, *, fresh: bool = False) -> PostgresLedger:
        if fresh:
            self._remove_second()
        return PostgresLedger(self._options.model_copy(update={"namespace": self._second_namespace}), self._clock)

    @property
    def _second_namespace(self) -> str:
        return f"{self._options.namespace[:55]}_reindex"

    def _remove_second(self) -> None:
        with self._database.transaction() as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {self._second_namespace} CASCADE".encode())

    def _bind_words(self, words: Sequence[str]) -> dict[str, Any]:
        return {"words": list(map(fold_word, words))}

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def _reading(self, *, steady: bool = False) -> Iterator[PostgresTables]:
        with self._database.transaction() as connection:
            if steady:
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield PostgresTables(connection)

    @contextmanager
    def _writing(self, *, patient: bool = False) -> Iterator[PostgresTables]:
        with self._database.transaction() as connection, without_time_limit(connection) if patient else nullcontext():
            connection.execute("LOCK TABLE commits IN EXCLUSIVE MODE")  # lets readers pass
            yield PostgresTables(connection)


def build(options: Options, context: Context) -> PostgresLedger:
    return PostgresLedger(options, context.clock)


def stores(options: Options) -> tuple[Store, ...]:  # noqa: ARG001 - the signature of every adapter
    return (STORE,)
