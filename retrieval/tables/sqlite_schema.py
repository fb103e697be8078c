# ruff: noqa: S608 - statements are put together from constants; every value is bound
"""The tables of the ledger in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from foundation.errors import StoreUnavailable

_VERSION = 8
"""Of the schema, and of the form in which the keyword index is written. Raise it when either changes."""
SEARCHABLE = "searchable_7"
"""The name in SQL of `foundation.text.tokens.searchable`, in whose form the keyword index is written. A process of an older
version that still runs does not know it: its writes fail, and do not mix two forms."""
_SCHEMA = f"""
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
CREATE TABLE refusals (
  document_id TEXT PRIMARY KEY, tenant TEXT NOT NULL, uri TEXT NOT NULL, groups TEXT NOT NULL, class TEXT NOT NULL,
  reason TEXT NOT NULL, message TEXT NOT NULL, at TEXT NOT NULL
);
CREATE INDEX refusals_by_name ON refusals (tenant, uri);
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
CREATE TRIGGER chunk_added AFTER INSERT ON chunks BEGIN
  INSERT INTO search (rowid, heading, text) VALUES (new.sequence, {SEARCHABLE}(new.heading), {SEARCHABLE}(new.text));
END;
CREATE TRIGGER chunk_removed AFTER DELETE ON chunks BEGIN
  INSERT INTO search (search, rowid, heading, text)
  VALUES ('delete', old.sequence, {SEARCHABLE}(old.heading), {SEARCHABLE}(old.text));
END;
PRAGMA user_version = {_VERSION};
"""


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables where there are none, in one transaction.

    Raises:
        StoreUnavailable: they are of another format.
    """
    connection.execute("BEGIN IMMEDIATE")  # two processes may meet here
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        for statement in _statements(_SCHEMA):
            connection.execute(statement)
    connection.execute("COMMIT")
    if version not in (0, _VERSION):
        raise StoreUnavailable(
            f"{path} has the format {version}; this version of Sixply reads format {_VERSION}. "
            f"Use the version that wrote it, or move the file away and ingest again: make ingest SRC=folder"
        )


def _statements(script: str) -> Iterator[str]:
    """The statements of a script one by one: `executescript` would commit before it begins."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
