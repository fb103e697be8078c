# ruff: noqa: S608 - statements are put together from constants; every value is bound
"""The tables of the ledger in PostgreSQL, and the conversion of those that an earlier version wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import StoreUnavailable
from foundation.stores.crashpoints import crash_point
from foundation.types import NOBODY, UNCLASSIFIED
from retrieval.contract import Source
from retrieval.tables import row_codec
from retrieval.tables.changes import Numbers
from retrieval.tables.postgres_rows import read_entries, read_source, remove_document, store_entry, write_fingerprint

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


def prepare(connection: Connection) -> None:
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
        write_fingerprint(connection, fingerprint)
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
    query = f"SELECT d.document_id, d.content_hash, d.ingested_at, {row_codec.SOURCE} FROM documents AS d"
    rows = connection.execute(query.encode()).fetchall()
    numbers = Numbers(connection, "%s")
    for key, content_hash, at, *row in rows:
        source = row_codec.with_version_of(content_hash, read_source(row))
        if source.document_id == key and source.version_of is None:
            continue
        [entry] = read_entries(connection, "WHERE d.document_id = %s", (key,))
        remove_document(connection, key, numbers)
        store_entry(connection, entry.under(source), numbers, at)
    numbers.save()
