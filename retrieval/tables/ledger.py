# ruff: noqa: S608 - statements are put together from constants; every value is bound
"""A document ledger in tables: the part that all databases share."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import date
from typing import Any, ClassVar, Self

import numpy as np

from foundation.clock import Clock
from foundation.text.tokens import telling_words
from foundation.types import EVERY_TENANT, Scope
from retrieval.contract import DocumentLedger
from retrieval.documents import Document, Entry, Fingerprint, Hit, Refusal, VectorItem, Vectors
from retrieval.filters import Where, bind_filter, simplify
from retrieval.tables import row_codec
from retrieval.tables.connection import TablesConnection
from retrieval.tables.schema import bind_scope

# Most words of a query that keyword search uses; vector search reads no further either
MOST_WORDS = 128


class TablesLedger(ABC):
    """A `DocumentLedger` without the methods that open, empty and close a database."""

    tables: ClassVar[type[TablesConnection]]
    # The query of keyword search: (chunk id, score, document id), best first. A filter replaces `/* where */`.
    _search: ClassVar[str]

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @abstractmethod
    def _reading(self, *, steady: bool = False) -> AbstractContextManager[TablesConnection]:
        """Open a connection for reading; `steady`: all reads see one snapshot."""

    @abstractmethod
    def _writing(self, *, patient: bool = False) -> AbstractContextManager[TablesConnection]:
        """Open a write transaction, exclusive among all processes; `patient`: without a time limit."""

    @abstractmethod
    def open_second(self, *, fresh: bool = False) -> Self: ...

    @abstractmethod
    def _remove_second(self) -> None:
        """Delete the ledger that `open_second` opens."""

    @abstractmethod
    def _bind_words(self, words: Sequence[str]) -> dict[str, Any]:
        """Return the values to bind in `_search` to find any of the words."""

    # Writing

    def put(self, entries: Sequence[Entry], *, gone: Collection[str] = ()) -> list[Document]:
        now = self._clock.now()
        keys = [entry.source.document_id for entry in entries]
        with self._writing() as connection:
            for key in gone:
                connection.delete_document(key)
            for entry in entries:
                connection.store_entry(entry, now)
            connection.number_transaction()
            where = f"d.document_id IN (SELECT value FROM {connection.unnest('keys')})"
            stored = {document.document_id: document for document in self._summaries(connection, where, keys=keys)}
        return [stored[key] for key in keys]

    def refuse(self, refusal: Refusal) -> None:
        with self._writing() as connection:
            connection.write_refusal(refusal)
            forget = "UPDATE documents SET content_hash = '' WHERE document_id = :key"
            connection.execute(forget, {"key": refusal.source.document_id})

    def delete(self, document_id: str) -> bool:
        with self._writing() as connection:
            removed = connection.delete_document(document_id)
            connection.number_transaction()
        return removed

    def set_fingerprint(self, fingerprint: Fingerprint) -> None:
        with self._writing() as connection:
            connection.write_fingerprint(fingerprint)

    def adopt(self, second: DocumentLedger, *, at: int) -> bool:
        now, fingerprint = self._clock.now(), second.fingerprint()
        with self._writing(patient=True) as connection:
            if connection.last_number() != at:
                return False
            connection.draw_number()  # first, since the numbers are deleted with the documents
            refusals = connection.read_refusals("1 = 1", {})
            connection.delete_documents()
            for entry in second.entries():
                connection.store_entry(entry, now)
            connection.number_transaction()
            for refusal in refusals:
                connection.write_refusal(refusal)
            if fingerprint:
                connection.write_fingerprint(fingerprint)
        second.close()
        self._remove_second()
        return True

    # Reading

    def find(self, document_id: str) -> Document | None:
        with self._reading() as connection:
            documents = self._summaries(connection, "d.document_id = :key", key=document_id)
        return documents[0] if documents else None

    def documents(self, scope: Scope) -> list[Document]:
        if scope.sees_nothing:
            return []
        where = f"{self.tables.conditions.in_scope} ORDER BY d.uri, d.tenant"
        with self._reading() as connection:
            return self._summaries(connection, where, **bind_scope(scope))

    def documents_where(
        self, tenant: str, *, uri: str | None = None, origin: str | None = None, version_of: str | None = None
    ) -> list[Document]:
        wanted = {"uri": uri, "origin": origin, "version_of": version_of}
        where = " AND ".join(
            ["d.tenant = :tenant", *(f"d.{name} = :{name}" for name, value in wanted.items() if value)]
        )
        with self._reading() as connection:
            return self._summaries(connection, f"{where} ORDER BY d.uri", tenant=tenant, **wanted)

    def refusals(self, scope: Scope) -> list[Refusal]:
        if scope.sees_nothing:
            return []
        tenants = {"tenant": scope.tenant, "every_tenant": EVERY_TENANT}
        with self._reading() as connection:
            refusals = connection.read_refusals("tenant IN (:tenant, :every_tenant)", tenants)
        return [refusal for refusal in refusals if refusal.source.is_readable(scope)]

    def refusals_of(self, tenant: str, *, uri: str) -> list[Refusal]:
        with self._reading() as connection:
            return connection.read_refusals("tenant = :tenant AND uri = :uri", {"tenant": tenant, "uri": uri})

    def text(self, document_id: str, scope: Scope) -> str | None:
        if scope.sees_nothing:
            return None
        where = f"d.document_id = :key AND {self.tables.conditions.in_scope}"
        row = self._row(f"SELECT d.text FROM documents AS d WHERE {where}", key=document_id, **bind_scope(scope))
        return row[0] if row else None

    def documents_of(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, str]:
        return dict(self._chunks("c.chunk_id, c.document_id", chunk_ids, scope, as_of))

    def hits(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, Hit]:
        chunk_rows = self._chunks(f"wanted.key, {row_codec.CHUNK}, {row_codec.SOURCE}", chunk_ids, scope, as_of)
        chunk_rows.sort(key=lambda row: row[0])
        return {
            row[1]: Hit(row_codec.read_chunk(row[1:9]), row_codec.source_of_row(row[9:]), 0.0) for row in chunk_rows
        }

    def _chunks(self, columns: str, chunk_ids: Sequence[str], scope: Scope, as_of: date | None) -> list[Any]:
        if scope.sees_nothing or not chunk_ids:
            return []
        query = f"""
          SELECT {columns}
          FROM {self.tables.unnest("ids")}
          {self.tables.JOIN} chunks AS c {self.tables.BY_CHUNK_ID} ON c.chunk_id = wanted.value
          {self.tables.JOIN} documents AS d ON d.document_id = c.document_id
          WHERE {self.tables.conditions.in_scope} AND {self.tables.conditions.in_force}"""
        with self._reading() as connection:
            values = {"ids": list(chunk_ids), "as_of": as_of, **bind_scope(scope)}
            return list(connection.execute(query, values).fetchall())

    def keyword_search(
        self, query: str, scope: Scope, *, limit: int, as_of: date | None, where: Where | None = None
    ) -> list[tuple[str, float, str]]:
        storable = query.encode(errors="ignore").decode()  # no stored text holds a lone surrogate
        words, wanted = telling_words(storable)[:MOST_WORDS], simplify(where)
        if scope.sees_nothing or not words or limit < 1 or wanted is False:
            return []
        condition, bound = bind_filter(wanted, ":{}", self.tables.filter_leaf)
        values = {"limit": limit, "as_of": as_of, **bind_scope(scope), **bound}
        with self._reading() as connection:
            rows = self._rank(connection, words, scope, condition, values)
        return sorted(rows, key=lambda row: (-row[1], row[0]))[:limit]

    def _rank(
        self,
        connection: TablesConnection,
        words: Sequence[str],
        scope: Scope,  # noqa: ARG002 - for a ledger with an index of words beside it
        condition: str,
        values: dict[str, Any],
    ) -> list[Any]:
        """Return (chunk id, score, document id) of the best passages."""
        query = self._search.replace("/* where */", condition)
        return list(connection.execute(query, {**values, **self._bind_words(words)}).fetchall())

    # For the vector index, and for reindexing

    def entry(self, document_id: str) -> Entry | None:
        entries = list(self._entries("WHERE d.document_id = :key", key=document_id))
        return entries[0] if entries else None

    def entries(self) -> Iterator[Entry]:
        yield from self._entries("ORDER BY d.document_id")

    def _entries(self, which: str, **values: str) -> Iterator[Entry]:
        with self._reading(steady=True) as connection:
            yield from connection.read_entries(which, values)

    def embeddings(self, *, after: int = 0) -> Iterator[VectorItem]:
        query = f"""
          SELECT c.sequence, c.chunk_id, c.embedding, {row_codec.SOURCE}
          FROM chunks AS c JOIN documents AS d ON d.document_id = c.document_id
          WHERE c.sequence > :after ORDER BY c.sequence"""
        last: list[Any] = []
        with self._reading() as connection:
            for sequence, chunk_id, embedding, *row in connection.stream(query, {"after": after}):
                if row != last:  # the passages of a document follow each other
                    last, source = row, row_codec.source_of_row(row)
                    about = source.tenant, source.groups, source.filterable
                tenant, groups, attributes = about
                yield VectorItem(sequence, chunk_id, tenant, groups, np.frombuffer(embedding, dtype="<f4"), attributes)

    def deletions(self, *, after: int = 0) -> Iterator[str]:
        query = "SELECT chunk_id FROM deletions WHERE sequence > :after ORDER BY sequence"
        with self._reading() as connection:
            for (chunk_id,) in connection.stream(query, {"after": after}):
                yield chunk_id

    def known_vectors(self, texts: Collection[str], tenant: str, *, scope: Scope | None = None) -> dict[str, Vectors]:
        query = f"""
          SELECT c.digest, c.embedding FROM {self.tables.unnest("digests")}
          {self.tables.JOIN} chunks AS c ON c.digest = wanted.value
          {self.tables.JOIN} documents AS d ON d.document_id = c.document_id
          WHERE d.tenant = :tenant AND {self.tables.conditions.readable}"""
        by_digest = {row_codec.digest(text): text for text in texts}
        values = bind_scope(scope) | {"digests": list(by_digest), "tenant": tenant}
        with self._reading() as connection:
            vector_rows = connection.execute(query, values).fetchall()
        return {by_digest[digest]: np.frombuffer(embedding, dtype="<f4") for digest, embedding in vector_rows}

    def sequence(self) -> int:
        with self._reading() as connection:
            return connection.last_number()

    def version_token(self, sequence: int) -> str | None:
        row = self._row("SELECT stamp FROM commits WHERE sequence = :sequence", sequence=sequence)
        return row[0] if row else None

    def document_count(self) -> int:
        return int(self._row("SELECT count(*) FROM documents")[0])

    def chunk_count(self) -> int:
        return int(self._row("SELECT count(*) FROM chunks")[0])

    def fingerprint(self) -> Fingerprint | None:
        row = self._row(self.tables.READ_FINGERPRINT)
        return row_codec.fingerprint(row[0]) if row else None

    def _row(self, query: str, **values: Any) -> Any:
        with self._reading() as connection:
            return connection.execute(query, values).fetchone()

    def _summaries(self, connection: TablesConnection, where: str, **values: Any) -> list[Document]:
        query = f"""
          SELECT {row_codec.SOURCE}, d.document_id, d.content_hash, d.characters, d.chunks, d.ingested_at,
            NOT {self.tables.conditions.in_force}, d.parsers
          FROM documents AS d WHERE {where}"""
        bound = {"as_of": self._clock.now().date(), **bind_scope(None), **values}
        return [row_codec.read_document(row) for row in connection.execute(query, bound).fetchall()]
