"""The ports of layer 3, and its nouns (`retrieval/documents.py`).

The ledger is the truth: documents, versions, chunks and their embeddings, committed in one transaction together with
the keyword index. The vector index is a cache of it that may be thrown away at any time.
Scopes are applied by the ledger and the index *in* their query, and once more by the retriever on what comes back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol, runtime_checkable

from foundation.types import Scope
from retrieval.documents import (
    DATA_CLASS,
    DOCUMENTS_STAY,
    KNOWN,
    OF_THE_LEDGER,
    Block,
    Chunk,
    Citation,
    Document,
    Entry,
    Fingerprint,
    Hit,
    Parsed,
    Refusal,
    Source,
    Vectors,
    chunk_id,
)
from retrieval.filters import Value, Where

__all__ = [
    "DATA_CLASS", "DOCUMENTS_STAY", "KNOWN", "OF_THE_LEDGER", "Block", "Chunk", "Chunker", "Citation",
    "Document", "DocumentLedger", "Entry", "Fingerprint", "Hit", "ParseLimits", "Parsed", "Parser", "Refusal",
    "Retriever", "SharedIndex", "Source", "VectorIndex", "VectorItem", "Vectors", "chunk_id",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """What a parser must not exceed by its own count. Memory and time are limited from outside."""

    pages: int = 500
    """Pages, slides or sheets."""
    characters: int = 5_000_000
    blocks: int = 200_000
    """Headings, paragraphs, items and rows. A sheet of a million short rows is within the other limits."""


@runtime_checkable
class Parser(Protocol):
    """Bytes to structured text. Runs in a child process with limits; may be as naive about hostile input as it is.

    One file a format in `parsers/`, each with `build(limits: ParseLimits) -> Parser`; the suffix of a document's name
    picks the file.
    """

    suffixes: tuple[str, ...]
    """Lower case, with the dot."""
    version: str
    """Name and number, such as `markdown 3`, kept with each document that it reads: change it with the output, so that those
    documents, and no others, are read anew when they are next ingested."""

    def parse(self, content: bytes, name: str) -> Parsed:
        """Raises:
        DocumentRefused: with the reason.
        """
        ...


@runtime_checkable
class Chunker(Protocol):
    """Cuts a parsed document into passages. `version` enters the fingerprint: change it with the output."""

    version: str

    def chunk(self, parsed: Parsed, document_id: str) -> list[Chunk]: ...


@runtime_checkable
class DocumentLedger(Protocol):
    """The truth. Every method is atomic; a method that returned has committed.

    Raises, from every method:
        StoreUnavailable: the store is locked, unreadable or unreachable. StorageFull: there is no room for a write.
    """

    def put(self, entries: Sequence[Entry], *, gone: Collection[str] = ()) -> list[Document]:
        """Store all of them or none, and delete the documents and refusals of the ids `gone` in the same transaction. Each
        entry replaces the document of its id, whole, and clears its refusal.

        Raises:
            InvalidRequest: a text that no database can hold, such as a lone surrogate.
        """
        ...

    def refuse(self, refusal: Refusal) -> None:
        """Remember that an offer could not be taken. What is stored under its id stays; its content hash is
        forgotten, so that offering the old content again stores it and clears the refusal.
        """
        ...

    def delete(self, document_id: str) -> bool:
        """Whether there was something to delete, a document or a refusal. After it returns, nothing of it is found by
        anyone."""
        ...

    def find(self, document_id: str) -> Document | None:
        """For those who write. It knows no scope: the caller has established that it may be read."""
        ...

    def documents(self, scope: Scope) -> list[Document]: ...

    def documents_where(
        self, tenant: str, *, uri: str | None = None, origin: str | None = None, version_of: str | None = None
    ) -> list[Document]:
        """A tenant's documents of that name, origin or later version, by uri. For those who write: it knows no scope."""
        ...

    def refusals(self, scope: Scope) -> list[Refusal]:
        """Of the documents that `scope` could read, had they been taken."""
        ...

    def refusals_of(self, tenant: str, *, uri: str) -> list[Refusal]:
        """A tenant's refusals of that name. For those who write: it knows no scope."""
        ...

    def text(self, document_id: str, scope: Scope) -> str | None:
        """The whole text, or `None` where the document is absent or out of scope."""
        ...

    def documents_of(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, str]:
        """The document of each of the chunks that `hits` would show, without reading them: it is called for every
        candidate of a query, and must take less than a millisecond for some hundreds."""
        ...

    def hits(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, Hit]:
        """The chunks that `scope` may see and that are in force `as_of` (`None`: any version), in the order asked for,
        score 0.0.

        In force is the newest version of a tenant's series whose date has come; without a series, whatever has no date
        to come. A document that `scope` may not see supersedes nothing, and neither does one for what its writer could not
        read (`Source.writer_reads`), unless they are versions of one document.
        """
        ...

    def keyword_search(
        self, query: str, scope: Scope, *, limit: int, as_of: date | None, where: Where | None = None
    ) -> list[tuple[str, float, str]]:
        """Chunk ids of documents in scope, in force and matching `where`, best first, with scores above 0 whose distances
        count, as they are fused with those of the vectors, and the ids of their documents.

        The query is text, never a search syntax. `foundation.text.tokens` prepares it and what it is compared with, so that
        words are found in every script.
        """
        ...

    def entry(self, document_id: str) -> Entry | None:
        """A stored document as it was put. For those who write, like `find`."""
        ...

    def entries(self) -> Iterator[Entry]:
        """Every stored document with its chunks and vectors, for a reindex or an export."""
        ...

    def embeddings(self, *, after: int = 0) -> Iterator[VectorItem]:
        """Every stored vector with a sequence number above `after`, in order, streamed."""
        ...

    def deletions(self, *, after: int = 0) -> Iterator[str]:
        """Ids of the chunks removed with a sequence number above `after`, as long as that still has a `stamp`. One that
        was added again is in `embeddings` too: whoever catches up deletes first and adds then.
        """
        ...

    def known_vectors(self, texts: Collection[str], tenant: str, *, scope: Scope | None = None) -> dict[str, Vectors]:
        """Of `texts`, those that are the `indexed_text` of a stored chunk of this tenant, with its vector: shape
        (dimensions,). For those who write, so that nothing is embedded twice. Another tenant's texts are never told, nor
        what `scope` may not read: the time that an upload takes would tell it.
        """
        ...

    def sequence(self) -> int:
        """The number of the last committed change; it only grows."""
        ...

    def stamp(self, sequence: int) -> str | None:
        """What names the change with this number and, by it, the history that led there; `None` for a number at which
        no transaction ended, and for one so long ago that its deletions are forgotten. Another ledger, and a restored
        copy that went its own way since, have another one.
        """
        ...

    def document_count(self) -> int: ...

    def chunk_count(self) -> int: ...

    def fingerprint(self) -> Fingerprint | None: ...

    def set_fingerprint(self, fingerprint: Fingerprint) -> None: ...

    def beside(self, *, fresh: bool = False) -> DocumentLedger:
        """A second ledger beside this one, in which a reindex is built while this one serves. Closed and asked for again,
        in another process too, it holds what it held; `fresh` empties it.
        """
        ...

    def adopt(self, beside: DocumentLedger, *, at: int) -> bool:
        """In one transaction: the documents and the fingerprint of `beside` in place of one's own, as one change of the
        sequence. Refusals stay. Earlier stamps are forgotten, so that every vector index is filled anew. Then `beside` is
        emptied and closed. `False`, and nothing was done, where the sequence is not `at`: somebody wrote in between.
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class VectorItem:
    """A chunk's vector with what the index must filter by."""

    sequence: int
    chunk_id: str
    tenant: str
    groups: frozenset[str]
    vector: Vectors
    """Shape (dimensions,)."""
    attributes: Mapping[str, Value] = field(default_factory=dict)
    """`Source.filterable` of its document."""


@runtime_checkable
class VectorIndex(Protocol):
    """A disposable cache of the ledger's vectors. Every method hides the store's batch limits.

    Several threads call it at once. What the store throws, and a vector of another size, become `StoreUnavailable` with
    their cause.
    """

    def upsert(self, items: Iterable[VectorItem]) -> None:
        """Add each item, or replace the one of the same chunk id, its tenant, groups and attributes included."""
        ...

    def delete(self, chunk_ids: Iterable[str]) -> None:
        """Unknown ids are ignored."""
        ...

    def search(
        self, vector: Vectors, scope: Scope, *, limit: int, where: Where | None = None
    ) -> list[tuple[str, float]]:
        """Chunk ids with cosine similarity, best first, filtered by `scope` and `where` inside the search."""
        ...

    def sequence(self) -> int:
        """The ledger sequence up to which this index is complete; 0 for an empty one."""
        ...

    def stamp(self) -> str:
        """What `set_sequence` was told with the sequence; empty for an empty index."""
        ...

    def set_sequence(self, sequence: int, stamp: str = "") -> None:
        """Declare the index complete up to there; `stamp` is the ledger's for that number, and tells an index of another
        ledger. An index that forgets its vectors must forget both with them.
        """
        ...

    def count(self) -> int: ...

    def clear(self) -> None:
        """Forget every vector, the sequence and its stamp."""
        ...

    def close(self) -> None:
        """Twice is as good as once; every other call afterwards raises `StoreUnavailable`."""
        ...


@runtime_checkable
class SharedIndex(Protocol):
    """What a `VectorIndex` has besides if several processes may bring it up to the ledger at once."""

    def alone(self, *, patient: bool = False) -> AbstractContextManager[None]:
        """Until it is left, everybody else who enters waits; searches do not. It is not entered twice by one caller.

        Raises:
            StoreUnavailable: another one stayed in it for too long; `patient` waits without a limit.
        """
        ...


@runtime_checkable
class Retriever(Protocol):
    """A query to scoped evidence. The port has a scope, which LangChain's BaseRetriever cannot promise to apply."""

    def retrieve(
        self,
        query: str,
        scope: Scope,
        *,
        limit: int | None = None,
        as_of: date | None = None,
        per_document: int = 1,
        where: Where | None = None,
    ) -> list[Hit]:
        """The best passage of each of the `limit` best documents, best first; `as_of=None` means today's versions.

        With `per_document` above 1, further passages of a document follow its best one; `limit` counts documents.

        An empty scope gives an empty list.

        Raises:
            ComponentError: a store or the embedder failed.
        """
        ...
