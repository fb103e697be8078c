# ruff: noqa: S608 - statements are put together from constants; every value is bound
"""Reading and writing of a ledger's rows: documents, passages, refusals, fingerprint, numbers of changes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any
from uuid import uuid4

import numpy as np

from retrieval.documents import Document, Entry, Fingerprint, Refusal, Source
from retrieval.filters import restored_attributes, stored_attributes
from retrieval.tables import row_codec
from retrieval.tables.connection import TablesConnection, Values

# Number of columns in `row_codec.SOURCE`
SOURCE_COLUMNS = 12
_OF_THE_SOURCE = (
    "document_id", "tenant", "uri", "title", "media_type", "series", "effective_from", "published", "origin", "version_of",
    "writer_reads",
)  # fmt: skip
# Columns of passages that all databases have
_CHUNK = (
    "sequence", "chunk_id", "document_id", "position", "start", "end", "page", "heading_path", "text", "digest", "embedding",
)  # fmt: skip

# Number of last changes whose deletions and stamps are kept. An index further behind is filled anew, which costs no
# more than applying so many changes.
REMEMBERED = 100_000


class Numbers:
    """Draws sequence numbers of changes within a transaction, by which a vector index catches up."""

    def __init__(self, connection: TablesConnection) -> None:
        self._connection = connection
        self._first = self._last = last_number(connection)

    def __next__(self) -> int:
        self._last += 1
        return self._last

    def save(self) -> None:
        """Stamp the transaction, and delete stamps and deletions older than `REMEMBERED` changes."""
        if self._last > self._first:
            stamped = {"last": self._last, "stamp": uuid4().hex}
            self._connection.execute("INSERT INTO commits VALUES (:last, :stamp)", stamped)
            for table in ("commits", "deletions"):
                forgotten = {"last": self._last - REMEMBERED}
                self._connection.execute(f"DELETE FROM {table} WHERE sequence <= :last", forgotten)


def last_number(connection: TablesConnection) -> int:
    """Return the number of the last committed change; 0: there is none."""
    return int(connection.execute("SELECT coalesce(max(sequence), 0) FROM commits").fetchone()[0])


def write_fingerprint(connection: TablesConnection, fingerprint: Fingerprint) -> None:
    connection.execute(connection.WRITE_FINGERPRINT, {"text": json.dumps(asdict(fingerprint))})


def store_entry(connection: TablesConnection, entry: Entry, numbers: Numbers, now: datetime) -> None:
    if len(entry.chunks) != len(entry.vectors):
        raise ValueError(f"{entry.source.uri}: {len(entry.chunks)} chunks and {len(entry.vectors)} vectors")
    source, text = entry.source, entry.parsed.text
    remove_document(connection, source.document_id, numbers)
    values = {name: getattr(source, name) for name in _OF_THE_SOURCE} | {
        "groups": sorted(source.groups),
        "attributes": json.dumps(stored_attributes(source.attributes), sort_keys=True),
        "content_hash": entry.content_hash,
        "characters": len(text),
        "chunks": len(entry.chunks),
        "ingested_at": entry.ingested_at or now,
        "parsers": list(entry.parsed.parsers),
        "text": text,
        "outline": row_codec.outline(entry.parsed),
    }
    connection.execute(row_codec.insert_statement("documents", values), values)
    connection.insert_filterable(source.document_id, stored_attributes(source.filterable))
    vectors = np.ascontiguousarray(entry.vectors, dtype="<f4")
    rows = [
        dict(zip(_CHUNK, (
            next(numbers), chunk.chunk_id, source.document_id, chunk.position, chunk.start, chunk.end, chunk.page,
            json.dumps(chunk.heading_path), chunk.text, row_codec.digest(chunk.indexed_text), vector.tobytes(),
        ), strict=True))
        for chunk, vector in zip(entry.chunks, vectors, strict=True)
    ]  # fmt: skip
    connection.insert_chunks(rows, entry.chunks)
    connection.execute_many("DELETE FROM deletions WHERE chunk_id = :chunk_id", rows)
    delete_refusal(connection, source.document_id)
    next(numbers)  # a document without a passage is a change, too


def read_entries(connection: TablesConnection, which: str, values: Values) -> Iterator[Entry]:
    stored = "d.content_hash, d.text, d.outline, d.parsers, d.document_id"
    documents = f"SELECT {row_codec.SOURCE}, {stored} FROM documents AS d {which}"
    passages = f"SELECT {row_codec.CHUNK}, c.embedding FROM chunks AS c WHERE c.document_id = :key ORDER BY c.position"
    for *source, content_hash, text, outline, parsers, key in connection.stream(documents, values):
        rows = connection.execute(passages, {"key": key}).fetchall()
        vectors = np.array([np.frombuffer(row[-1], dtype="<f4") for row in rows], dtype=np.float32)
        chunks = tuple(row_codec.read_chunk(row[:-1]) for row in rows)
        parsed = row_codec.read_parsed(text, outline, _list(parsers))
        yield Entry(read_source(source), content_hash, parsed, chunks, vectors)


def delete_document(connection: TablesConnection, key: str, numbers: Numbers) -> bool:
    """Delete a document and its refusal; return whether there was one."""
    removed = remove_document(connection, key, numbers)
    return delete_refusal(connection, key) or removed


def remove_document(connection: TablesConnection, key: str, numbers: Numbers) -> bool:
    gone = [{"sequence": next(numbers), "chunk_id": chunk_id} for chunk_id in connection.delete_chunks(key)]
    connection.execute("DELETE FROM filterable WHERE document_id = :key", {"key": key})
    connection.execute_many("INSERT INTO deletions VALUES (:sequence, :chunk_id)", gone)
    return bool(connection.execute("DELETE FROM documents WHERE document_id = :key", {"key": key}).rowcount > 0)


def delete_refusal(connection: TablesConnection, key: str) -> bool:
    return bool(connection.execute("DELETE FROM refusals WHERE document_id = :key", {"key": key}).rowcount > 0)


def write_refusal(connection: TablesConnection, refusal: Refusal) -> None:
    delete_refusal(connection, refusal.source.document_id)
    own = {"document_id": refusal.source.document_id, "groups": sorted(refusal.groups), "class": refusal.data_class}
    values = {name: getattr(refusal, name) for name in ("tenant", "uri", "reason", "message", "at")} | own
    connection.execute(row_codec.insert_statement("refusals", values), values)


def read_refusals(connection: TablesConnection, where: str, values: Values) -> list[Refusal]:
    columns = "uri, tenant, reason, message, at, groups, class"
    rows = connection.execute(f"SELECT {columns} FROM refusals WHERE {where} ORDER BY uri, tenant", values).fetchall()
    return [
        Refusal(uri, tenant, reason, message, _time(at), frozenset(_list(groups)), data_class)
        for uri, tenant, reason, message, at, groups, data_class in rows
    ]


def read_source(row: Sequence[Any]) -> Source:
    uri, tenant, groups, title, media_type, series, effective_from, published, origin, attributes, *ledger_fields = row
    readers, days = frozenset(_list(groups)), (_day(effective_from), _day(published))
    known = restored_attributes(json.loads(attributes))
    return Source(uri, tenant, readers, title, media_type, series, *days, origin, known, *ledger_fields)


def read_document(row: Sequence[Any]) -> Document:
    key, content_hash, characters, chunks, at, superseded, parsers = row[SOURCE_COLUMNS:]
    source = read_source(row[:SOURCE_COLUMNS])
    return Document(key, source, content_hash, characters, chunks, _time(at), bool(superseded), tuple(_list(parsers)))


# A database that has neither lists nor days gives them as the text in which they were kept


def _list(value: Any) -> list[str]:
    return list(json.loads(value)) if isinstance(value, str) else list(value)


def _day(value: Any) -> date | None:
    return date.fromisoformat(value) if isinstance(value, str) else value


def _time(value: Any) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value
