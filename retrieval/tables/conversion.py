# ruff: noqa: S608 - statements are put together from constants; every value is bound
"""What an earlier version wrote, in the form of today: what is the same whichever database keeps it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from foundation.types import NOBODY
from retrieval.contract import Refusal, Source
from retrieval.tables import row_codec, rows
from retrieval.tables.changes import Numbers
from retrieval.tables.connection import TablesConnection


def note_parsers(connection: TablesConnection) -> None:
    """Beside each document what read it, in place of all parsers in the fingerprint."""
    versions: list[str] = []
    if joined := rows.read_fingerprint(connection):
        fingerprint, versions = row_codec.split_fingerprint(joined)
        rows.write_fingerprint(connection, fingerprint)
    documents = connection.execute("SELECT document_id, uri, content_hash FROM documents").fetchall()
    for key, uri, content_hash in documents:
        offered, parsers = row_codec.note_parsers(uri, content_hash, versions)
        values = {"offered": offered, "parsers": list(parsers), "key": key}
        connection.execute(
            "UPDATE documents SET content_hash = :offered, parsers = :parsers WHERE document_id = :key", values
        )


def name_by_readers(connection: TablesConnection, new_refusals: list[str]) -> None:
    """Ids of restricted documents are made of who may read them, too, and so are those of their passages,
    which the vector index is told as changes. What is an earlier version says of which. Who stored a document is not known
    any more: it supersedes what it did. A refusal whose readers are not known is for the owner of the machine."""
    refusals = connection.execute("SELECT uri, tenant, reason, message, at FROM refusals").fetchall()
    connection.execute("DROP TABLE refusals")
    for statement in new_refusals:
        connection.execute(statement)
    for uri, tenant, reason, message, at in refusals:
        refusal = Refusal(uri, tenant, reason, message, rows.read_time(at), frozenset({NOBODY}))
        rows.write_refusal(connection, refusal)
    numbers = Numbers(connection)
    for key, source, at in _find_renamed(connection):
        [entry] = rows.read_entries(connection, "WHERE d.document_id = :key", {"key": key})
        rows.remove_document(connection, key, numbers)
        rows.store_entry(connection, entry.under(source), numbers, at)
    numbers.save()


def _find_renamed(connection: TablesConnection) -> list[tuple[str, Source, datetime]]:
    """The documents whose id or source is another than it was, with the id that they had."""
    query = f"SELECT d.document_id, d.content_hash, d.ingested_at, {row_codec.SOURCE} FROM documents AS d"
    stored: list[Any] = connection.execute(query).fetchall()
    renamed = [
        (key, row_codec.with_version_of(content_hash, rows.read_source(row)), rows.read_time(at))
        for key, content_hash, at, *row in stored
    ]
    return [
        (key, source, at) for key, source, at in renamed if source.document_id != key or source.version_of is not None
    ]
