# ruff: noqa: S608 - statements are put together from constants; every value is bound
"""Who is shown which document, in the SQL of SQLite: conditions that stand inside every query, and what is bound in them."""

from __future__ import annotations

import json

from foundation.types import EVERY_TENANT, UNCLASSIFIED, Scope
from retrieval.filters import Leaf, OneOf, Stored, Where, as_sql
from retrieval.tables import row_codec

# Conditions on a document `d`. They stand inside every query that answers somebody, so that no row out of scope is
# ever ranked, counted or cut off by a limit.
IN_SCOPE = f"""
  d.tenant IN (:tenant, '{EVERY_TENANT}')
  AND (d.groups = '[]' OR EXISTS (
    SELECT 1 FROM json_each(d.groups) AS theirs JOIN json_each(:groups) AS mine ON mine.value = theirs.value))
  AND (:classes IS NULL OR coalesce(json_extract(d.attributes, '$."{row_codec.DATA_CLASS_KEY}"'), '{UNCLASSIFIED}') IN (
    SELECT value FROM json_each(:classes)))
"""
_CLASS = f"""coalesce(json_extract(%s.attributes, '$."{row_codec.DATA_CLASS_KEY}"'), '{UNCLASSIFIED}')"""
READABLE = f"""
  (:everything OR (
    (%s.groups = '[]' OR EXISTS (
      SELECT 1 FROM json_each(%s.groups) AS theirs JOIN json_each(:groups) AS mine ON mine.value = theirs.value))
    AND (:classes IS NULL OR {_CLASS} IN (SELECT value FROM json_each(:classes)))))
"""
# Two questions about a newer document of the series: does the reader see it, and could its writer read what it supersedes?
_SUPERSEDES = f"""
  {READABLE.replace("%s", "newer")}
  AND (newer.writer_reads IS NULL OR d.version_of IN (newer.document_id, newer.version_of)
    OR newer.version_of = d.document_id OR (
    (d.groups = '[]' OR EXISTS (
      SELECT 1 FROM json_each(d.groups) AS theirs
      JOIN json_each(newer.writer_reads, '$.groups') AS mine ON mine.value = theirs.value))
    AND (json_extract(newer.writer_reads, '$.classes') IS NULL OR {_CLASS.replace("%s", "d")} IN (
      SELECT value FROM json_each(newer.writer_reads, '$.classes')))))
"""
IN_FORCE = f"""
  (:as_of IS NULL OR (
    coalesce(d.effective_from, '') <= :as_of
    AND (d.series IS NULL OR NOT EXISTS (
      SELECT 1 FROM documents AS newer
      WHERE newer.tenant = d.tenant AND newer.series = d.series
        AND newer.effective_from > coalesce(d.effective_from, '') AND newer.effective_from <= :as_of
        AND {_SUPERSEDES}))))
"""


def bind_condition(where: Where) -> tuple[str, dict[str, Stored]]:
    """A condition on a document `d`, and what is bound in it."""
    bound: dict[str, Stored] = {}

    def bind(value: Stored) -> str:
        bound[name := f"where_{len(bound)}"] = value
        return f":{name}"

    def single(leaf: Leaf) -> str:
        named = (
            f"EXISTS (SELECT 1 FROM filterable AS f WHERE f.document_id = d.document_id AND f.name = {bind(leaf.name)}"
        )
        if isinstance(leaf, OneOf):
            return f"{named} AND f.value IN ({', '.join(map(bind, leaf.stored_values))}))"
        low, high = map(bind, leaf.ends)
        return f"{named} AND f.value BETWEEN {low} AND {high})"

    return f"AND {as_sql(where, single)}", bound


def bind_scope(scope: Scope | None) -> dict[str, str | bool | None]:
    """What is bound in the conditions; without a scope, for those who write, everything is readable."""
    if scope is None:
        return {"everything": True, "groups": "[]", "classes": None}
    classes = None if scope.classes is None else json.dumps(scope.listed_classes)
    return {"everything": False, "tenant": scope.tenant, "groups": json.dumps(sorted(scope.groups)), "classes": classes}
