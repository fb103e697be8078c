# ruff: noqa: S608 - statements are put together from constants; every value is bound
"""Rows of the ledger in PostgreSQL: documents, passages, postings and the numbers of its changes, written and read."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from foundation.text.tokens import words
from retrieval.contract import Document, Entry, Fingerprint, Source
from retrieval.filters import stored_attributes
from retrieval.tables import row_codec
from retrieval.tables.changes import Numbers

if TYPE_CHECKING:
    from foundation.stores.postgres import Connection

SOURCE_COLUMNS = 12
"""Of `row_codec.SOURCE`."""
_LONGEST = 64
"""Characters of a word that count: what is longer is no word, and an index cannot hold it."""
_PAGE = 500
"""Rows fetched at a time from a stream."""


def write_fingerprint(connection: Connection, fingerprint: Fingerprint) -> None:
    connection.execute(
        "INSERT INTO fingerprint VALUES (true, %s) ON CONFLICT (one) DO UPDATE SET value = excluded.value",
        (row_codec.fingerprint_text(fingerprint),),
    )


def store_entry(connection: Connection, entry: Entry, numbers: Numbers, now: datetime) -> None:
    if len(entry.chunks) != len(entry.vectors):
        raise ValueError(f"{entry.source.uri}: {len(entry.chunks)} chunks and {len(entry.vectors)} vectors")
    source, text = entry.source, entry.parsed.text
    remove_document(connection, source.document_id, numbers)
    connection.execute(
        f"INSERT INTO documents VALUES ({', '.join(['%s'] * 20)})",
        (
            source.document_id, source.tenant, source.uri, sorted(source.groups), source.title, source.media_type,
            source.series, source.effective_from, source.published, source.origin,
            row_codec.attributes_text(source.attributes), entry.content_hash,
            len(text), len(entry.chunks), entry.ingested_at or now, text, row_codec.outline(entry.parsed),
            source.version_of, source.writer_reads, list(entry.parsed.parsers),
        ),
    )  # fmt: skip
    attribute_rows = [
        (source.document_id, name, *((value, None) if isinstance(value, str) else (None, value)))
        for name, value in stored_attributes(source.filterable).items()
    ]
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO filterable VALUES (%s, %s, %s, %s)", attribute_rows)
    vectors = np.ascontiguousarray(entry.vectors, dtype="<f4")
    counted = [(next(numbers), Counter(map(fold_word, words(chunk.indexed_text)))) for chunk in entry.chunks]
    rows = [
        (
            sequence, chunk.chunk_id, source.document_id, chunk.position, chunk.start, chunk.end, chunk.page,
            json.dumps(chunk.heading_path), chunk.text, terms.total(), row_codec.digest(chunk.indexed_text), vector.tobytes(),
        )
        for chunk, vector, (sequence, terms) in zip(entry.chunks, vectors, counted, strict=True)
    ]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO chunks VALUES ({', '.join(['%s'] * 12)})", rows)
    _index(connection, counted)
    connection.execute("DELETE FROM deletions WHERE chunk_id = ANY(%s)", ([chunk.chunk_id for chunk in entry.chunks],))
    connection.execute("DELETE FROM refusals WHERE document_id = %s", (source.document_id,))
    next(numbers)  # a document without a passage is a change, too


def _index(connection: Connection, counted: Sequence[tuple[int, Counter[str]]]) -> None:
    rows = [(word, at, times, terms.total()) for at, terms in counted for word, times in terms.items()]
    if rows:
        connection.execute(
            """INSERT INTO postings SELECT stem(word), sequence, sum(frequency), min(length)
            FROM unnest(%s::text[], %s::bigint[], %s::integer[], %s::integer[]) AS w (word, sequence, frequency, length)
            GROUP BY 1, 2""",
            [list(column) for column in zip(*rows, strict=True)],
        )
    _count(connection, len(counted), sum(terms.total() for _, terms in counted))


def _count(connection: Connection, chunks: int, length: int) -> None:
    connection.execute("UPDATE totals SET chunks = chunks + %s, words = words + %s", (chunks, length))


def read_entries(connection: Connection, which: str, values: Sequence[str]) -> Iterator[Entry]:
    stored = "d.content_hash, d.text, d.outline, d.parsers, d.document_id"
    documents = f"SELECT {row_codec.SOURCE}, {stored} FROM documents AS d {which}"
    passages = f"SELECT {row_codec.CHUNK}, c.embedding FROM chunks AS c WHERE c.document_id = %s ORDER BY c.position"
    for *source, content_hash, text, outline, parsers, key in stream_rows(connection, documents, values):
        rows = connection.execute(passages, (key,)).fetchall()
        vectors = np.array([np.frombuffer(row[-1], dtype="<f4") for row in rows], dtype=np.float32)
        chunks = tuple(row_codec.read_chunk(row[:-1]) for row in rows)
        yield Entry(read_source(source), content_hash, row_codec.read_parsed(text, outline, parsers), chunks, vectors)


def delete_document(connection: Connection, key: str, numbers: Numbers) -> bool:
    removed = remove_document(connection, key, numbers)
    return connection.execute("DELETE FROM refusals WHERE document_id = %s", (key,)).rowcount > 0 or removed


def remove_document(connection: Connection, key: str, numbers: Numbers) -> bool:
    query = "DELETE FROM chunks WHERE document_id = %s RETURNING sequence, chunk_id, length"
    gone = sorted(connection.execute(query, (key,)).fetchall())
    connection.execute("DELETE FROM postings WHERE sequence = ANY(%s)", ([sequence for sequence, _, _ in gone],))
    connection.execute("DELETE FROM filterable WHERE document_id = %s", (key,))
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO deletions VALUES (%s, %s)", [(next(numbers), chunk) for _, chunk, _ in gone])
    _count(connection, -len(gone), -sum(length for *_, length in gone))
    return connection.execute("DELETE FROM documents WHERE document_id = %s", (key,)).rowcount > 0


def stream_rows(connection: Connection, query: str, values: Any = None) -> Iterator[Any]:
    """Rows through a cursor in the server, a page at a time."""
    with connection.cursor(name="stream") as cursor:
        cursor.itersize = _PAGE
        yield from cursor.execute(query, values)


def fold_word(word: str) -> str:
    """In lower case and without accents; marks of other scripts are letters."""
    if not word.isascii():
        decomposed = unicodedata.normalize("NFD", word)
        word = unicodedata.normalize("NFC", "".join(c for c in decomposed if not "\u0300" <= c <= "\u036f"))
    return word.lower()[:_LONGEST]


def read_source(row: Sequence[Any]) -> Source:
    uri, tenant, groups, title, media_type, series, effective_from, published, origin, attributes, *ledger_fields = row
    return Source(
        uri,
        tenant,
        frozenset(groups),
        title,
        media_type,
        series,
        effective_from,
        published,
        origin,
        row_codec.attributes(attributes),
        *ledger_fields,
    )


def read_document(row: Sequence[Any]) -> Document:
    key, content_hash, characters, chunks, at, superseded, parsers = row[SOURCE_COLUMNS:]
    source = read_source(row[:SOURCE_COLUMNS])
    return Document(key, source, content_hash, characters, chunks, at, superseded, tuple(parsers))
