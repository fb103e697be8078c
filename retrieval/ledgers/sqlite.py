# ruff: noqa: S608 - statements are put together from constants of this file; every value is bound
"""The document ledger in one SQLite file, with the keyword index (FTS5) in the same transactions.

Durability is SQLite's: write-ahead log, `synchronous=FULL`. One writer at a time; readers never wait for it. Every
chunk and every deletion gets the next number of one sequence, by which a vector index catches up.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import Field

from foundation.clock import Clock
from foundation.components import Context
from foundation.errors import StoreUnavailable
from foundation.settings import Section
from foundation.stores.crashpoints import crash_point
from foundation.stores.sqlite_file import BUSY_TIMEOUT_S, SqliteFile, SqliteStore
from foundation.text.tokens import searchable
from foundation.types import UNCLASSIFIED, Scope
from retrieval.documents import DOCUMENTS_STAY, Chunk
from retrieval.filters import Leaf, OneOf, Stored
from retrieval.index.words import Changes, Passage, WordIndex
from retrieval.tables import row_codec
from retrieval.tables.connection import IS_KNOWN, TablesConnection, Values
from retrieval.tables.ledger import TablesLedger
from retrieval.tables.schema import TABLES, conditions

# Version of the schema and of the keyword index. Raise it when either changes.
_VERSION = 8
# SQL name of `foundation.text.tokens.searchable`, which prepares texts for the keyword index. A running process of an
# older version lacks this function, so its writes fail instead of mixing two forms.
_SEARCHABLE = "searchable_7"
_TYPES = {"key": "TEXT", "keys": "TEXT", "day": "TEXT", "time": "TEXT", "number": "INTEGER", "bytes": "BLOB"}
_SCHEMA = f"""
BEGIN IMMEDIATE;
{TABLES.format(**_TYPES, searched="heading TEXT NOT NULL")}
CREATE INDEX IF NOT EXISTS documents_by_name ON documents (tenant, uri);
CREATE INDEX IF NOT EXISTS versions ON documents (tenant, series, effective_from) WHERE series IS NOT NULL;
CREATE INDEX IF NOT EXISTS earlier ON documents (version_of) WHERE version_of IS NOT NULL;
CREATE INDEX IF NOT EXISTS refusals_by_name ON refusals (tenant, uri);
CREATE INDEX IF NOT EXISTS chunk_owners ON chunks (chunk_id, document_id);  -- answers without reading the rows
CREATE INDEX IF NOT EXISTS chunks_by_digest ON chunks (digest);
CREATE TABLE IF NOT EXISTS filterable (  -- what is known of a document, a row each, to filter by
  document_id TEXT NOT NULL REFERENCES documents, name TEXT NOT NULL, value NOT NULL, PRIMARY KEY (document_id, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value TEXT NOT NULL);

CREATE VIRTUAL TABLE IF NOT EXISTS search USING fts5 (  -- without a copy of the text; marks count as letters, as in Thai
  heading, text, content='', tokenize="porter unicode61 remove_diacritics 2 categories 'L* N* Co Mc Mn'"
);
CREATE TRIGGER IF NOT EXISTS chunk_added AFTER INSERT ON chunks BEGIN
  INSERT INTO search (rowid, heading, text) VALUES (new.sequence, {_SEARCHABLE}(new.heading), {_SEARCHABLE}(new.text));
END;
CREATE TRIGGER IF NOT EXISTS chunk_removed AFTER DELETE ON chunks BEGIN
  INSERT INTO search (search, rowid, heading, text)
  VALUES ('delete', old.sequence, {_SEARCHABLE}(old.heading), {_SEARCHABLE}(old.text));
END;
PRAGMA user_version = {_VERSION};
COMMIT;
"""
_CLASS = f"""coalesce(json_extract({{}}.attributes, '$."{row_codec.DATA_CLASS_KEY}"'), '{UNCLASSIFIED}')"""
_MEETS = "EXISTS (SELECT 1 FROM json_each(%s.groups) AS theirs JOIN json_each(%s) AS mine ON mine.value = theirs.value)"
_CONDITIONS = conditions(
    no_groups="'[]'",
    reader_groups=lambda doc: _MEETS % (doc, ":groups"),
    writer_groups=_MEETS % ("d", "newer.writer_reads, '$.groups'"),
    data_class=_CLASS.format,
    reader_classes=lambda of: f"(:classes IS NULL OR {of} IN (SELECT value FROM json_each(:classes)))",
    writer_classes=lambda of: (
        f"(json_extract(newer.writer_reads, '$.classes') IS NULL OR {of} IN ("
        f"SELECT value FROM json_each(newer.writer_reads, '$.classes')))"
    ),
    as_of=":as_of",
    before_all="''",
)


class SqliteTables(TablesConnection):
    conditions = _CONDITIONS
    JOIN = "CROSS JOIN"  # or SQLite would walk through all documents of the tenant
    BY_CHUNK_ID = "INDEXED BY chunk_owners"
    READ_FINGERPRINT = "SELECT value FROM state WHERE name = 'fingerprint'"
    WRITE_FINGERPRINT = "INSERT OR REPLACE INTO state VALUES ('fingerprint', :text)"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, query: str, values: Values | None = None) -> sqlite3.Cursor:
        return self._connection.execute(query, _encode(values or {}))

    def execute_many(self, query: str, rows: Sequence[Values]) -> None:
        self._connection.executemany(query, map(_encode, rows))

    def stream(self, query: str, values: Values | None = None) -> Iterator[Any]:
        return self.execute(query, values)

    @staticmethod
    def unnest(name: str) -> str:
        return f"json_each(:{name}) AS wanted"

    @staticmethod
    def filter_leaf(leaf: Leaf, bind: Callable[[Stored], str]) -> str:
        named = f"{IS_KNOWN}{bind(leaf.name)}"
        if isinstance(leaf, OneOf):
            return f"{named} AND f.value IN ({', '.join(map(bind, leaf.stored_values))}))"
        low, high = map(bind, leaf.ends)
        return f"{named} AND f.value BETWEEN {low} AND {high})"

    def insert_filterable(self, document_id: str, attributes: Mapping[str, Stored]) -> None:
        rows = [(document_id, name, value) for name, value in attributes.items()]
        self._connection.executemany("INSERT INTO filterable VALUES (?, ?, ?)", rows)

    def insert_chunks(self, rows: Sequence[dict[str, Any]], chunks: Sequence[Chunk]) -> None:
        for row, chunk in zip(rows, chunks, strict=True):
            row["heading"] = "\n".join(chunk.heading_path)
        if rows:
            self.execute_many(row_codec.insert_statement("chunks", rows[0]), rows)

    def delete_chunks(self, document_id: str) -> list[str]:
        query = "DELETE FROM chunks WHERE document_id = ? RETURNING sequence, chunk_id"
        return [chunk_id for _, chunk_id in sorted(self._connection.execute(query, (document_id,)).fetchall())]

    def delete_documents(self) -> None:
        for table in ("chunks", "filterable", "documents", "deletions", "commits"):
            self._connection.execute(f"DELETE FROM {table}")


def set_up(connection: sqlite3.Connection) -> None:
    """Set up a new connection for a ledger."""
    connection.row_factory = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.create_function(_SEARCHABLE, 1, searchable, deterministic=True)


def make_tables(connection: sqlite3.Connection, path: Path) -> None:
    """Create the tables if there are none, atomically. Raises StoreUnavailable: they have another format."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        connection.executescript(_SCHEMA)
    elif version != _VERSION:
        raise StoreUnavailable(
            f"{path} has the format {version}; this version of Sixply reads format {_VERSION}. "
            f"Use the version that wrote it, or move the file away and ingest again: make ingest SRC=folder"
        )


def _encode(values: Values) -> dict[str, Any]:
    encoded: dict[str, Any] = dict(values)
    for name, value in values.items():
        if isinstance(value, list | tuple):
            encoded[name] = json.dumps(value)
        elif isinstance(value, date):
            encoded[name] = value.isoformat()
    return encoded


# All matches are ranked first, and access is checked from the best on until there are enough; checking every match
# takes twice as long. `LIMIT -1` keeps SQLite from merging the two steps.
_SEARCH = f"""
  SELECT c.chunk_id, ranked.score, c.document_id
  FROM (
    SELECT rowid AS sequence, -bm25(search) AS score FROM search
    WHERE search MATCH :expression AND rowid > :after ORDER BY score DESC, rowid LIMIT -1
  ) AS ranked
  CROSS JOIN chunks AS c ON c.sequence = ranked.sequence
  CROSS JOIN documents AS d ON d.document_id = c.document_id
  WHERE {SqliteTables.conditions.in_scope} AND {SqliteTables.conditions.in_force} /* where */ LIMIT :limit"""

# Of those that the index of words has found, best first, the ones that may be shown
_SHOWN = f"""
  SELECT wanted.key, c.chunk_id, c.document_id
  FROM {SqliteTables.unnest("found")}
  CROSS JOIN chunks AS c ON c.sequence = wanted.value
  CROSS JOIN documents AS d ON d.document_id = c.document_id
  WHERE {SqliteTables.conditions.in_scope} AND {SqliteTables.conditions.in_force} /* where */ LIMIT :limit"""
_PASSAGES = f"""
  SELECT c.sequence, c.chunk_id, c.heading, c.text, d.tenant, d.groups, {_CLASS.format("d")}
  FROM chunks AS c CROSS JOIN documents AS d ON d.document_id = c.document_id
  WHERE c.sequence > ? ORDER BY c.sequence LIMIT ?"""
# Passages from which on they have an index of words, and that it reads at a time
INDEXED_FROM = 1000
_STEP = 20_000


class Options(Section):
    file: str = "ledger.sqlite"
    """The file, relative to the data folder."""
    busy_timeout_s: float = Field(default=BUSY_TIMEOUT_S, ge=0)
    """Seconds to wait for another process that is writing."""


class SqliteLedger(TablesLedger):
    """A `DocumentLedger`. Safe to share between threads; several processes may read while one writes."""

    tables, _search = SqliteTables, _SEARCH

    def __init__(self, path: Path, options: Options, clock: Clock, *, second: bool = False) -> None:
        super().__init__(clock)
        self._path, self._options = path, options
        folder = path.with_name(f"{path.stem}-words")
        self._words = None if second else WordIndex(folder, self._changes, self._is_known)
        self._database = SqliteFile(path, store_in(options), timeout_s=options.busy_timeout_s, set_up=set_up)
        try:
            self._database.read_now(lambda connection: make_tables(connection, path))
        except BaseException:
            self._database.close()
            raise
        self._follow(self.sequence())

    def open_second(self, *, fresh: bool = False) -> SqliteLedger:
        if fresh:
            self._remove_second()
        return SqliteLedger(self._second_path, self._options, self._clock, second=True)

    @property
    def _second_path(self) -> Path:
        return self._path.with_name(f"{self._path.stem}-reindex{self._path.suffix}")

    def _remove_second(self) -> None:
        with self._database.translate_errors():
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self._second_path}{suffix}").unlink(missing_ok=True)

    def _bind_words(self, words: Sequence[str]) -> dict[str, Any]:
        """Bind the words joined by OR, each quoted so that none is FTS5 syntax. A repeated word counts twice."""
        return {"expression": " OR ".join(f'"{word}"' for word in words)}

    def _rank(
        self,
        connection: TablesConnection,
        words: Sequence[str],
        scope: Scope,
        condition: str,
        values: dict[str, Any],
    ) -> list[Any]:
        """Rank by the index of words, and by those of the ledger what is not in there yet."""
        last = connection.last_number()
        self._follow(last)  # another process may have written
        done = self._words.position() if self._words else None
        found = None if done is None else self._rank_indexed(connection, words, scope, condition, values)
        if found is not None and done == last:
            return found
        newer = super()._rank(
            connection, words, scope, condition, {**values, "after": done if found is not None else 0}
        )
        both = {chunk_id for chunk_id, *_ in newer}
        return [*newer, *(row for row in found or () if row[0] not in both)]

    def _rank_indexed(
        self,
        connection: TablesConnection,
        words: Sequence[str],
        scope: Scope,
        condition: str,
        values: dict[str, Any],
    ) -> list[Any] | None:
        query, depth, limit = _SHOWN.replace("/* where */", condition), values["limit"], values["limit"]
        while self._words and (found := self._words.search(words, scope, depth)) is not None:
            bound = {**values, "found": [sequence for sequence, _ in found]}
            shown = [(name, found[at][1], owner) for at, name, owner in connection.execute(query, bound)]
            if len(shown) >= limit or len(found) < depth:
                return shown
            depth *= 4  # versions out of force, or what a filter leaves out, stand before the others
        return None

    def _follow(self, last: int) -> None:
        """Have the index of words follow up to the change `last`; there are no more passages than changes."""
        if self._words and last >= INDEXED_FROM and last != self._words.position():
            self._words.follow()

    def _changes(self, after: int) -> Changes | None:
        with self._database.reading() as connection:
            enough = connection.execute("SELECT 1 FROM chunks LIMIT 1 OFFSET ?", (INDEXED_FROM - 1,)).fetchone()
            if not (enough or after):
                return None
            # first, so that what is written meanwhile is read once more
            last = connection.execute("SELECT sequence, stamp FROM commits ORDER BY sequence DESC LIMIT 1").fetchone()
            gone = connection.execute("SELECT chunk_id FROM deletions WHERE sequence > ?", (after,)).fetchall()
            rows = connection.execute(_PASSAGES, (after, _STEP)).fetchall()
        passages = [
            Passage(number, chunk_id, searchable(f"{heading}\n{text}"), tenant, json.loads(groups), data_class)
            for number, chunk_id, heading, text, tenant, groups, data_class in rows
        ]
        more = len(rows) == _STEP
        sequence, token = (passages[-1].sequence, None) if more else last
        return Changes(sequence, token, [chunk_id for (chunk_id,) in gone], passages)

    def _is_known(self, sequence: int, token: str) -> bool:
        return self.version_token(sequence) == token

    def close(self) -> None:
        if self._words:
            self._words.close()
        self._database.close()

    @contextmanager
    def _reading(self, *, steady: bool = False) -> Iterator[SqliteTables]:  # noqa: ARG002 - each statement reads a snapshot
        with self._database.reading() as connection:
            yield SqliteTables(connection)

    @contextmanager
    def _writing(self, *, patient: bool = False) -> Iterator[SqliteTables]:  # noqa: ARG002 - nothing has a limit of time
        with self._database.transaction() as connection:
            tables = SqliteTables(connection)
            yield tables
            last = tables.last_number()
            crash_point("before_commit")
        self._follow(last)


def build(options: Options, context: Context) -> SqliteLedger:
    return SqliteLedger(context.data_dir / options.file, options, context.clock)


def stores(options: Options) -> tuple[SqliteStore, ...]:
    return (store_in(options),)


def describe_search(options: Options, passages: int) -> str:  # noqa: ARG001 - the signature of every adapter
    indexed = passages >= INDEXED_FROM
    return f"{'tantivy' if indexed else 'FTS5 in the ledger'}; tantivy from {INDEXED_FROM:,} passages on"


def store_in(options: Options) -> SqliteStore:
    """Describe the store: the ledger, and the one of a reindex beside it."""
    second = Path(options.file).with_name(f"{Path(options.file).stem}-reindex{Path(options.file).suffix}")
    return SqliteStore(
        name="documents",
        file=options.file,
        files=(f"{Path(options.file).stem}-words/*", f"{second}*"),
        stays=DOCUMENTS_STAY,
    )
