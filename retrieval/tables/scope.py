# ruff: noqa: S608 - statements are put together from constants; every value is bound
"""Who is shown which document: conditions that stand inside every query, and what is bound in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from foundation.types import EVERY_TENANT, Scope


@dataclass(frozen=True, kw_only=True)
class Spelling:
    """How a database spells what the conditions are made of. `doc` is the alias of a table of documents."""

    no_groups: str
    reader_groups: Callable[[str], str]
    """The groups of `doc` meet those of the reader."""
    writer_groups: str
    """The groups of `d` meet those that the writer of `newer` could read."""
    data_class: Callable[[str], str]
    """The class of `doc`."""
    reader_classes: Callable[[str], str]
    """The class, which is put in, is one that the reader may see."""
    writer_classes: Callable[[str], str]
    as_of: str
    before_all: str
    """A day before all others."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Conditions on a document `d`. They stand inside every query that answers somebody, so that no row out of scope is ever
    ranked, counted or cut off by a limit."""

    in_scope: str
    readable: str
    """For those who write: `in_scope` of their own tenant, or everything."""
    in_force: str


def conditions(spelling: Spelling) -> Conditions:
    """The conditions of a database."""

    def show_condition(doc: str) -> str:
        groups = f"{doc}.groups = {spelling.no_groups} OR {spelling.reader_groups(doc)}"
        return f"({groups}) AND {spelling.reader_classes(spelling.data_class(doc))}"

    # Two questions about a newer document of the series: does the reader see it, and could its writer read what it supersedes?
    supersedes = f"""
      (:everything OR ({show_condition("newer")}))
      AND (newer.writer_reads IS NULL OR d.version_of IN (newer.document_id, newer.version_of)
        OR newer.version_of = d.document_id OR (
        (d.groups = {spelling.no_groups} OR {spelling.writer_groups})
        AND {spelling.writer_classes(spelling.data_class("d"))}))"""
    in_force = f"""
      ({spelling.as_of} IS NULL OR (
        coalesce(d.effective_from, {spelling.before_all}) <= {spelling.as_of}
        AND (d.series IS NULL OR NOT EXISTS (
          SELECT 1 FROM documents AS newer
          WHERE newer.tenant = d.tenant AND newer.series = d.series
            AND newer.effective_from > coalesce(d.effective_from, {spelling.before_all})
            AND newer.effective_from <= {spelling.as_of}
            AND {supersedes}))))"""
    return Conditions(
        in_scope=f"d.tenant IN (:tenant, '{EVERY_TENANT}') AND {show_condition('d')}",
        readable=f"(:everything OR ({show_condition('d')}))",
        in_force=in_force,
    )


def bind_scope(scope: Scope | None) -> dict[str, Any]:
    """What is bound in the conditions; without a scope, for those who write, everything is readable."""
    if scope is None:
        return {"everything": True, "groups": [], "classes": None}
    groups = sorted(scope.groups)
    return {"everything": False, "tenant": scope.tenant, "groups": groups, "classes": scope.listed_classes}
