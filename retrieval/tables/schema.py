"""The tables of every ledger; each database adds its types, indexes and keyword index."""

from __future__ import annotations

# To be formatted with the types of a database; `searched` is the column of passages for its keyword index
TABLES = """
CREATE TABLE IF NOT EXISTS documents (
  document_id {key} PRIMARY KEY,  -- of tenant, uri and who may read it: several documents may share a name
  tenant {key} NOT NULL,
  uri {key} NOT NULL,
  groups {keys} NOT NULL,  -- sorted; empty: everyone in the tenant
  title text NOT NULL,
  media_type text NOT NULL,
  series {key},
  effective_from {day},
  published {day},
  origin text NOT NULL,
  attributes text NOT NULL,  -- JSON object
  content_hash text NOT NULL,
  characters integer NOT NULL,
  chunks integer NOT NULL,
  ingested_at {time} NOT NULL,
  version_of {key},  -- the document_id of the later version
  writer_reads text,  -- JSON object: groups and classes; NULL: everything
  parsers {keys} NOT NULL,  -- versions of those that read it
  text text NOT NULL,  -- the long columns stand last, so that the short ones are read without them
  outline text NOT NULL
);
CREATE TABLE IF NOT EXISTS refusals (
  document_id {key} PRIMARY KEY, tenant {key} NOT NULL, uri {key} NOT NULL, groups {keys} NOT NULL, class text NOT NULL,
  reason text NOT NULL, message text NOT NULL, at {time} NOT NULL
);
CREATE TABLE IF NOT EXISTS chunks (
  sequence {number} PRIMARY KEY,
  chunk_id {key} NOT NULL UNIQUE,
  document_id {key} NOT NULL REFERENCES documents,
  position integer NOT NULL,
  start integer NOT NULL,
  "end" integer NOT NULL,
  page integer,
  heading_path text NOT NULL,  -- JSON array
  {searched},
  text text NOT NULL,
  digest text NOT NULL,  -- of what was embedded
  embedding {bytes} NOT NULL  -- float32, little-endian
);
CREATE INDEX IF NOT EXISTS chunks_by_document ON chunks (document_id);
CREATE TABLE IF NOT EXISTS deletions (sequence {number} PRIMARY KEY, chunk_id {key} NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS commits (sequence {number} PRIMARY KEY, stamp text NOT NULL);  -- where each transaction ended
"""
