# ruff: noqa: S608 - statements are put together from constants; every value is bound
"""Rows of the ledger in SQLite: documents, passages and the numbers of its changes, written and read."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any

import numpy as np

from retrieval.contract import Document, Entry, Fingerprint, Source
from retrieval.filters import stored_attributes
from retrieval.tables import row_codec
from retrieval.tables.changes import Numbers


def write_fingerprint(connection: sqlite3.Connection, fingerprint: Fingerprint) -> None:
    text = row_codec.fingerprint_text(fingerprint)
    connection.execute("INSERT OR REPLACE INTO state VALUES ('fingerprint', ?)", (text,))


def store_entry(connection: sqlite3.Connection, entry: Entry, numbers: Numbers, now: datetime) -> None:
    if len(entry.chunks) != len(entry.vectors):
        raise ValueError(f"{entry.source.uri}: {len(entry.chunks)} chunks and {len(entry.vectors)} vectors")
    source, text = entry.source, entry.parsed.text
    remove_document(connection, source.document_id, numbers)
    connection.execute(
        f"INSERT INTO documents VALUES ({', '.join('?' * 20)})",
        (
            source.document_id, source.tenant, source.uri, json.dumps(sorted(source.groups)), source.title,
            source.media_type, source.series, day_text(source.effective_from), day_text(source.published), source.origin,
            row_codec.attributes_text(source.attributes), entry.content_hash, len(text), len(entry.chunks),
            (entry.ingested_at or now).isoformat(),
            source.version_of, source.writer_reads, json.dumps(entry.parsed.parsers), text, row_codec.outline(entry.parsed),
        ),
    )  # fmt: skip
    attribute_rows = [(source.document_id, name, value) for name, value in stored_attributes(source.filterable).items()]
    connection.executemany("INSERT INTO filterable VALUES (?, ?, ?)", attribute_rows)
    vectors = np.ascontiguousarray(entry.vectors, dtype="<f4")
    rows = [
        (
            next(numbers), chunk.chunk_id, source.document_id, chunk.position, chunk.start, chunk.end, chunk.page,
            json.dumps(chunk.heading_path), "\n".join(chunk.heading_path), chunk.text,
            row_codec.digest(chunk.indexed_text), vector.tobytes(),
        )
        for chunk, vector in zip(entry.chunks, vectors, strict=True)
    ]  # fmt: skip
    connection.executemany(f"INSERT INTO chunks VALUES ({', '.join('?' * 12)})", rows)
    connection.executemany("DELETE FROM deletions WHERE chunk_id = ?", [(chunk.chunk_id,) for chunk in entry.chunks])
    connection.execute("DELETE FROM refusals WHERE document_id = ?", (source.document_id,))
    next(numbers)  # a document without a passage is a change, too


def read_entries(connection: sqlite3.Connection, which: str, values: Sequence[str]) -> Iterator[Entry]:
    stored = "d.content_hash, d.text, d.outline, d.parsers, d.document_id"
    documents = f"SELECT {row_codec.SOURCE}, {stored} FROM documents AS d {which}"
    passages = f"SELECT {row_codec.CHUNK}, c.embedding FROM chunks AS c WHERE c.document_id = ? ORDER BY c.position"
    for *source, content_hash, text, outline, parsers, key in connection.execute(documents, values):
        rows = connection.execute(passages, (key,)).fetchall()
        vectors = np.array([np.frombuffer(row[-1], dtype="<f4") for row in rows], dtype=np.float32)
        chunks = tuple(row_codec.read_chunk(row[:-1]) for row in rows)
        parsed = row_codec.read_parsed(text, outline, json.loads(parsers))
        yield Entry(read_source(source), content_hash, parsed, chunks, vectors)


def delete_document(connection: sqlite3.Connection, key: str, numbers: Numbers) -> bool:
    removed = remove_document(connection, key, numbers)
    return connection.execute("DELETE FROM refusals WHERE document_id = ?", (key,)).rowcount > 0 or removed


def remove_document(connection: sqlite3.Connection, key: str, numbers: Numbers) -> bool:
    gone = connection.execute("SELECT chunk_id FROM chunks WHERE document_id = ?", (key,)).fetchall()
    connection.execute("DELETE FROM chunks WHERE document_id = ?", (key,))
    connection.execute("DELETE FROM filterable WHERE document_id = ?", (key,))
    connection.executemany("INSERT INTO deletions VALUES (?, ?)", [(next(numbers), chunk_id) for (chunk_id,) in gone])
    return connection.execute("DELETE FROM documents WHERE document_id = ?", (key,)).rowcount > 0


def day_text(day: date | None) -> str | None:
    return day.isoformat() if day else None


def read_source(row: Sequence[Any]) -> Source:
    uri, tenant, groups, title, media_type, series, effective_from, published, origin, attributes, *ledger_fields = row
    version_of, writer_reads = ledger_fields
    return Source(
        uri=uri,
        tenant=tenant,
        groups=frozenset(json.loads(groups)),
        title=title,
        media_type=media_type,
        series=series,
        effective_from=date.fromisoformat(effective_from) if effective_from else None,
        published=date.fromisoformat(published) if published else None,
        origin=origin,
        attributes=row_codec.attributes(attributes),
        version_of=version_of,
        writer_reads=writer_reads,
    )


def read_document(row: Sequence[Any]) -> Document:
    *source, key, content_hash, characters, chunks, ingested_at, superseded, parsers = row
    when, read_by = datetime.fromisoformat(ingested_at), tuple(json.loads(parsers))
    return Document(key, read_source(source), content_hash, characters, chunks, when, bool(superseded), read_by)
