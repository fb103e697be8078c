# ruff: noqa: S608 - statements are put together from constants; every value is bound
"""Who is shown which document, in the SQL of PostgreSQL: conditions that stand inside every query, and what is bound in them."""

from __future__ import annotations

from typing import Any

from foundation.types import EVERY_TENANT, UNCLASSIFIED, Scope
from retrieval.filters import Leaf, OneOf, Where, as_sql
from retrieval.tables import row_codec

# Conditions on a document `d`. They stand inside every query that answers somebody, so that no row out of scope is
# ever counted or cut off by a limit.
IN_SCOPE = f"""
  d.tenant IN (%(tenant)s, '{EVERY_TENANT}') AND (d.groups = '{{}}' OR d.groups && %(groups)s::text[])
  AND (%(classes)s::text[] IS NULL
    OR coalesce(d.attributes::json ->> '{row_codec.DATA_CLASS_KEY}', '{UNCLASSIFIED}') = ANY(%(classes)s::text[]))
"""
_CLASS = f"coalesce(DOC.attributes::json ->> '{row_codec.DATA_CLASS_KEY}', '{UNCLASSIFIED}')"
READABLE = f"""
  (%(everything)s OR (
    (DOC.groups = '{{}}' OR DOC.groups && %(groups)s::text[])
    AND (%(classes)s::text[] IS NULL OR {_CLASS} = ANY(%(classes)s::text[]))))
"""
# Two questions about a newer document of the series: does the reader see it, and could its writer read what it supersedes?
_SUPERSEDES = f"""
  {READABLE.replace("DOC", "newer")}
  AND (newer.writer_reads IS NULL OR d.version_of IN (newer.document_id, newer.version_of)
    OR newer.version_of = d.document_id OR (
    (d.groups = '{{}}' OR jsonb_exists_any(newer.writer_reads::jsonb -> 'groups', d.groups))
    AND (newer.writer_reads::jsonb -> 'classes' = 'null'
      OR jsonb_exists(newer.writer_reads::jsonb -> 'classes', {_CLASS.replace("DOC", "d")}))))
"""
IN_FORCE = f"""
  (%(as_of)s::date IS NULL OR (
    coalesce(d.effective_from, '-infinity') <= %(as_of)s::date
    AND (d.series IS NULL OR NOT EXISTS (
      SELECT 1 FROM documents AS newer
      WHERE newer.tenant = d.tenant AND newer.series = d.series
        AND newer.effective_from > coalesce(d.effective_from, '-infinity')
        AND newer.effective_from <= %(as_of)s::date
        AND {_SUPERSEDES}))))
"""


def bind_condition(where: Where) -> tuple[str, dict[str, Any]]:
    """A condition on a document `d`, and what is bound in it."""
    bound: dict[str, Any] = {}

    def bind(value: Any) -> str:
        bound[name := f"where_{len(bound)}"] = value
        return f"%({name})s"

    def single(leaf: Leaf) -> str:
        named = (
            f"EXISTS (SELECT 1 FROM filterable AS f WHERE f.document_id = d.document_id AND f.name = {bind(leaf.name)}"
        )
        if isinstance(leaf, OneOf):
            column, kind = ("text", "text[]") if isinstance(leaf.stored_values[0], str) else ("number", "float8[]")
            return f"{named} AND f.{column} = ANY({bind(leaf.stored_values)}::{kind}))"
        low, high = map(bind, leaf.ends)
        return f"{named} AND f.number BETWEEN {low}::float8 AND {high}::float8)"

    return f"AND {as_sql(where, single)}", bound


def bind_scope(scope: Scope | None) -> dict[str, Any]:
    """What is bound in the conditions; without a scope, for those who write, everything is readable."""
    if scope is None:
        return {"everything": True, "groups": [], "classes": None}
    classes = scope.listed_classes
    return {"everything": False, "tenant": scope.tenant, "groups": sorted(scope.groups), "classes": classes}
