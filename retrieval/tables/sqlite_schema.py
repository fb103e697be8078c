# ruff: noqa: S608 - statements are put together from constants; every value is bound
"""The tables of the ledger in SQLite, and the conversion of those that an earlier version wrote."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from foundation.errors import StoreUnavailable
from foundation.stores.crashpoints import crash_point
from retrieval.tables import conversion
from retrieval.tables.sqlite_tables import SqliteTables

_VERSION = 8
"""Of the schema. In 7 the fingerprint named all parsers, and no document its own. 6 had one document for each tenant and uri,
whoever might read it; 5 is as 6 with another form of the keyword index."""
_OLDER = (5, 6, 7)
SEARCHABLE = "searchable_7"
"""The name in SQL of `foundation.text.tokens.searchable`, in whose form the keyword index is written. A process of an older
version that still runs does not know it: its writes fail, and do not mix two forms."""
_TRIGGERS = f"""
CREATE TRIGGER chunk_added AFTER INSERT ON chunks BEGIN
  INSERT INTO search (rowid, heading, text) VALUES (new.sequence, {SEARCHABLE}(new.heading), {SEARCHABLE}(new.text));
END;
CREATE TRIGGER chunk_removed AFTER DELETE ON chunks BEGIN
  INSERT INTO search (search, rowid, heading, text)
  VALUES ('delete', old.sequence, {SEARCHABLE}(old.heading), {SEARCHABLE}(old.text));
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


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables, or _convert those of an older format, in one transaction.

    Raises:
        StoreUnavailable: they are of a format that is not known here.
    """
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
            f"{path} has the format {version}; this version of Sixply reads format {_VERSION}. "
            f"Use the version that wrote it, or move the file away and ingest again."
        )


def _convert(connection: sqlite3.Connection, version: int) -> None:
    """From an older format; nothing is embedded again."""
    if version < 7:
        _rewrite_keyword_index(connection)
    _note_parsers(connection, kept="version_of, writer_reads" if version == 7 else "NULL, NULL")
    if version < 7:
        conversion.name_by_readers(SqliteTables(connection), list(_statements(_REFUSALS)))
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
    conversion.note_parsers(SqliteTables(connection))


def _rewrite_keyword_index(connection: sqlite3.Connection) -> None:
    """In the present form of `searchable`. As a whole, because a passage is taken out of it by the terms it is known by."""
    for trigger in ("chunk_added", "chunk_removed"):
        connection.execute(f"DROP TRIGGER {trigger}")
    for statement in _statements(_TRIGGERS):
        connection.execute(statement)
    connection.execute("INSERT INTO search (search) VALUES ('delete-all')")
    connection.execute(
        f"INSERT INTO search (rowid, heading, text) SELECT sequence, {SEARCHABLE}(heading), {SEARCHABLE}(text) FROM chunks"
    )


def _statements(script: str) -> Iterator[str]:
    """The statements of a script one by one: `executescript` would commit before it begins."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
