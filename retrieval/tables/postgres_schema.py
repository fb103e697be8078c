"""The tables of the ledger in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import StoreUnavailable

if TYPE_CHECKING:
    from foundation.stores.postgres import Connection

_VERSION = 5
"""Of the schema and of `foundation.text.tokens`, in whose form the postings are written. Raise it when either changes."""
_SCHEMA = """
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
CREATE INDEX documents_by_name ON documents USING hash (uri);
CREATE INDEX earlier ON documents USING hash (version_of);
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
CREATE TABLE refusals (
  document_id text COLLATE "C" PRIMARY KEY, tenant text COLLATE "C" NOT NULL, uri text COLLATE "C" NOT NULL,
  groups text[] COLLATE "C" NOT NULL, class text NOT NULL, reason text NOT NULL, message text NOT NULL, at timestamptz NOT NULL
);
CREATE INDEX refusals_by_name ON refusals USING hash (uri);
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
    if version != (_VERSION,):
        raise StoreUnavailable(
            f"The ledger in PostgreSQL has the format {version and version[0]}; this version of Sixply reads format "
            f"{_VERSION}. Use the version that wrote it, or name another namespace and ingest again."
        )
