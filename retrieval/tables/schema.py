# ruff: noqa: S608 - statements are put together from constants; every value is bound
"""The tables of every ledger, and the conditions of who may see their rows; each database adds its types, indexes and keyword index."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from foundation.types import EVERY_TENANT, Scope

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


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """SQL conditions on a document `d`, part of every reader's query, so that rows out of scope are never ranked."""

    in_scope: str
    readable: str
    """For writers: `in_scope` within their tenant, or everything."""
    in_force: str


def conditions(
    *,
    no_groups: str,
    reader_groups: Callable[[str], str],
    writer_groups: str,
    data_class: Callable[[str], str],
    reader_classes: Callable[[str], str],
    writer_classes: Callable[[str], str],
    as_of: str,
    before_all: str,
) -> Conditions:
    """Return the conditions in a database's SQL.

    Args:
        reader_groups: the groups of a document, by its table's alias, overlap those of the reader; `writer_groups`: those of `d` overlap those of the writer of `newer`.
        data_class: the class of a document, by alias; `reader_classes`, `writer_classes`: that class may be seen.
        before_all: a day before all others.
    """

    def show_condition(doc: str) -> str:
        groups = f"{doc}.groups = {no_groups} OR {reader_groups(doc)}"
        return f"({groups}) AND {reader_classes(data_class(doc))}"

    # Two questions about a newer document of the series: does the reader see it, and could its writer read what it supersedes?
    supersedes = f"""
      (:everything OR ({show_condition("newer")}))
      AND (newer.writer_reads IS NULL OR d.version_of IN (newer.document_id, newer.version_of)
        OR newer.version_of = d.document_id OR (
        (d.groups = {no_groups} OR {writer_groups})
        AND {writer_classes(data_class("d"))}))"""
    in_force = f"""
      ({as_of} IS NULL OR (
        coalesce(d.effective_from, {before_all}) <= {as_of}
        AND (d.series IS NULL OR NOT EXISTS (
          SELECT 1 FROM documents AS newer
          WHERE newer.tenant = d.tenant AND newer.series = d.series
            AND newer.effective_from > coalesce(d.effective_from, {before_all})
            AND newer.effective_from <= {as_of}
            AND {supersedes}))))"""
    return Conditions(
        in_scope=f"d.tenant IN (:tenant, '{EVERY_TENANT}') AND {show_condition('d')}",
        readable=f"(:everything OR ({show_condition('d')}))",
        in_force=in_force,
    )


def bind_scope(scope: Scope | None) -> dict[str, Any]:
    """Return the values to bind in the conditions; without a scope everything is readable."""
    if scope is None:
        return {"everything": True, "groups": [], "classes": None}
    groups = sorted(scope.groups)
    return {"everything": False, "tenant": scope.tenant, "groups": groups, "classes": scope.listed_classes}
