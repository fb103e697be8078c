# ruff: noqa: S608 - statements are put together from constants; every value is bound
"""A connection to the tables of a ledger: what each database does its own way, and the rows that all keep alike."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, ClassVar
from uuid import uuid4

import numpy as np

from retrieval.documents import Chunk, Entry, Fingerprint, Refusal
from retrieval.filters import Leaf, Stored, stored_attributes
from retrieval.tables import row_codec
from retrieval.tables.schema import Conditions

Values = Mapping[str, Any]
# The beginning of a filter's condition; the name of the value and what it must be follow
IS_KNOWN = "EXISTS (SELECT 1 FROM filterable AS f WHERE f.document_id = d.document_id AND f.name = "

# Number of changes whose deletions and tokens are kept; filling an index further behind again costs no more
REMEMBERED = 100_000


class TablesConnection(ABC):
    """A transaction in one database. Bound values are spelled `:name`; they are Python's lists, dates and times."""

    conditions: ClassVar[Conditions]
    """The SQL conditions of who may see a document."""
    JOIN: ClassVar[str]
    """The join that keeps tables in the written order."""
    BY_CHUNK_ID: ClassVar[str] = ""
    """An index hint after a table of passages that is looked up by ids."""
    READ_FINGERPRINT: ClassVar[str]
    WRITE_FINGERPRINT: ClassVar[str]
    """The statement that stores the fingerprint `:text` in place of the old one."""
    # The number of the last change of this transaction; `None`: there is none
    _drawn: int | None = None

    @abstractmethod
    def execute(self, query: str, values: Values | None = None) -> Any:
        """Execute a statement and return a cursor."""

    @abstractmethod
    def execute_many(self, query: str, rows: Sequence[Values]) -> None: ...

    @abstractmethod
    def stream(self, query: str, values: Values | None = None) -> Iterator[Any]:
        """Yield rows without holding all in memory."""

    @staticmethod
    @abstractmethod
    def unnest(name: str) -> str:
        """Return SQL for the bound list `name` as a table `wanted` with columns `value` and `key` (its index)."""

    @staticmethod
    @abstractmethod
    def filter_leaf(leaf: Leaf, bind: Callable[[Any], str]) -> str:
        """Return the SQL of a single filter condition on a document `d`."""

    @abstractmethod
    def insert_filterable(self, document_id: str, attributes: Mapping[str, Stored]) -> None: ...

    @abstractmethod
    def insert_chunks(self, rows: Sequence[dict[str, Any]], chunks: Sequence[Chunk]) -> None:
        """Store passages and index their words. `rows` have the columns that all databases share."""

    @abstractmethod
    def delete_chunks(self, document_id: str) -> list[str]:
        """Delete a document's passages and their words; return their ids in the order of their sequence numbers."""

    @abstractmethod
    def delete_documents(self) -> None:
        """Delete all documents with passages, words and the history of changes. Refusals stay."""

    # Numbers of changes, by which a vector index catches up

    def last_number(self) -> int:
        """Return the number of the last committed change; 0: there is none."""
        return int(self.execute("SELECT coalesce(max(sequence), 0) FROM commits").fetchone()[0])

    def draw_number(self) -> int:
        self._drawn = (self.last_number() if self._drawn is None else self._drawn) + 1
        return self._drawn

    def number_transaction(self) -> None:
        """End a transaction with a version token, if it drew numbers, and forget the oldest."""
        if self._drawn is not None:
            self.execute("INSERT INTO commits VALUES (:last, :stamp)", {"last": self._drawn, "stamp": uuid4().hex})
            for table in ("commits", "deletions"):
                self.execute(f"DELETE FROM {table} WHERE sequence <= :last", {"last": self._drawn - REMEMBERED})

    # Documents

    def store_entry(self, entry: Entry, now: datetime) -> None:
        if len(entry.chunks) != len(entry.vectors):
            raise ValueError(f"{entry.source.uri}: {len(entry.chunks)} chunks and {len(entry.vectors)} vectors")
        source, text = entry.source, entry.parsed.text
        key = source.document_id
        self.remove_document(key)
        values = {name: getattr(source, name) for name in row_codec.PLAIN_FIELDS} | {
            "document_id": key,
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
        self.execute(row_codec.insert_statement("documents", values), values)
        self.insert_filterable(key, stored_attributes(source.filterable))
        vectors = np.ascontiguousarray(entry.vectors, dtype="<f4")
        rows = [
            {"sequence": self.draw_number(), **row_codec.chunk_values(chunk, key), "embedding": vector.tobytes()}
            for chunk, vector in zip(entry.chunks, vectors, strict=True)
        ]
        self.insert_chunks(rows, entry.chunks)
        self.execute_many("DELETE FROM deletions WHERE chunk_id = :chunk_id", rows)
        self.delete_refusal(key)
        self.draw_number()  # a document without a passage is a change, too

    def read_entries(self, which: str, values: Values) -> Iterator[Entry]:
        stored = "d.content_hash, d.text, d.outline, d.parsers, d.document_id"
        documents = f"SELECT {row_codec.SOURCE}, {stored} FROM documents AS d {which}"
        passages = (
            f"SELECT {row_codec.CHUNK}, c.embedding FROM chunks AS c WHERE c.document_id = :key ORDER BY c.position"
        )
        for *source, content_hash, text, outline, parsers, key in self.stream(documents, values):
            rows = self.execute(passages, {"key": key}).fetchall()
            vectors = np.array([np.frombuffer(row[-1], dtype="<f4") for row in rows], dtype=np.float32)
            chunks = tuple(row_codec.read_chunk(row[:-1]) for row in rows)
            parsed = row_codec.read_parsed(text, outline, row_codec.read_list(parsers))
            yield Entry(row_codec.source_of_row(source), content_hash, parsed, chunks, vectors)

    def delete_document(self, key: str) -> bool:
        """Delete a document and its refusal; return whether there was one."""
        removed = self.remove_document(key)
        return self.delete_refusal(key) or removed

    def remove_document(self, key: str) -> bool:
        gone = [{"sequence": self.draw_number(), "chunk_id": chunk_id} for chunk_id in self.delete_chunks(key)]
        self.execute("DELETE FROM filterable WHERE document_id = :key", {"key": key})
        self.execute_many("INSERT INTO deletions VALUES (:sequence, :chunk_id)", gone)
        return bool(self.execute("DELETE FROM documents WHERE document_id = :key", {"key": key}).rowcount > 0)

    # Refusals and the fingerprint

    def delete_refusal(self, key: str) -> bool:
        return bool(self.execute("DELETE FROM refusals WHERE document_id = :key", {"key": key}).rowcount > 0)

    def write_refusal(self, refusal: Refusal) -> None:
        key = refusal.source.document_id
        self.delete_refusal(key)
        own = {"document_id": key, "groups": sorted(refusal.groups), "class": refusal.data_class}
        values = {name: getattr(refusal, name) for name in ("tenant", "uri", "reason", "message", "at")} | own
        self.execute(row_codec.insert_statement("refusals", values), values)

    def read_refusals(self, where: str, values: Values) -> list[Refusal]:
        columns = "uri, tenant, reason, message, at, groups, class"
        rows = self.execute(f"SELECT {columns} FROM refusals WHERE {where} ORDER BY uri, tenant", values).fetchall()
        refusals = []
        for uri, tenant, reason, message, at, groups, data_class in rows:
            readers = frozenset(row_codec.read_list(groups))
            refusals.append(Refusal(uri, tenant, reason, message, row_codec.read_time(at), readers, data_class))
        return refusals

    def write_fingerprint(self, fingerprint: Fingerprint) -> None:
        self.execute(self.WRITE_FINGERPRINT, {"text": json.dumps(asdict(fingerprint))})
