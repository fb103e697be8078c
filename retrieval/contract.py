"""The ports and nouns of layer 3.

The ledger is the truth: documents, versions, chunks and their embeddings, committed in one transaction together with
the keyword index. The vector index is a cache of it that may be thrown away at any time.
Scopes are applied by the ledger and the index *in* their query, and once more by the retriever on what comes back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from foundation.errors import InvalidRequest
from foundation.types import UNCLASSIFIED, Scope
from retrieval.filters import Value, Where, kind_of

Vectors = npt.NDArray[np.float32]
"""Shape (texts, dimensions), rows of unit length."""


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of a parsed document's text: a heading (level 1 to 6), a paragraph, a list item or a table row."""

    kind: str
    """heading, paragraph, item, row or code."""
    start: int
    end: int
    """Character span in `Parsed.text`."""
    level: int = 0
    page: int | None = None
    """Page, slide or sheet, from 1. A sheet's name and a slide's title are headings."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document as plain text with its structure. Offsets everywhere refer to `text`."""

    text: str
    blocks: tuple[Block, ...]
    title: str | None = None
    pages: int | None = None
    parsers: tuple[str, ...] = ()
    """Versions of the parsers that read it: of a mail, those of its attachments too. Set by whoever calls a parser."""


DOCUMENTS_STAY = "they belong to the tenant, with their names and the list of what was refused: delete them by name"
"""Why a person's documents are not erased with them."""

KNOWN = ("uri", "title", "media_type", "series", "effective_from", "published")
"""Fields of `Source` by which one can filter as by its attributes."""
DATA_CLASS = "data_class"
"""The attribute that names the class of a document, by which the policy lets roles and tenants see it."""


OF_THE_LEDGER = ("version_of", "writer_reads")
"""Fields of `Source` that are set when it is stored, and not by whoever offers it."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is known about a document besides its content."""

    uri: str
    """Stable name by which it is replaced and deleted, e.g. `policies/refunds-2026-01.md`."""
    tenant: str
    """Who owns it; `foundation.types.EVERY_TENANT` for all."""
    groups: frozenset[str] = frozenset()
    """Who inside the tenant may read it; empty means everyone there."""
    title: str = ""
    media_type: str = ""
    series: str | None = None
    """Documents that are versions of one another share it."""
    effective_from: date | None = None
    published: date | None = None
    origin: str = ""
    """The folder that it was read from, if any; only that folder's sync may take it away again."""
    attributes: Mapping[str, Value] = field(default_factory=dict)
    """What else is known of it, to filter by: a product, a language, a price. The names in `KNOWN` are taken."""
    version_of: str | None = None
    """The id of the document of which this is an earlier version."""
    writer_reads: str | None = None
    """What whoever stored it may read, as `row_codec.scope_text` writes it; `None`: everything. Nothing else is superseded
    by it."""

    def __post_init__(self) -> None:
        """Raises:
        InvalidRequest: an attribute has a name that is taken or empty, or a value that cannot be compared.
        """
        for key, value in self.attributes.items():
            if kind_of(value) != "text" and key == DATA_CLASS:
                raise InvalidRequest(f"The class of a document is a word, such as internal; found {value!r}.")
            if key in KNOWN or not key:
                raise InvalidRequest(f'An attribute cannot be named "{key}". Taken are: {", ".join(KNOWN)}.')

    @property
    def filterable(self) -> dict[str, Value]:
        """All that a `Where` can ask about: the attributes, and what every document has."""
        about: dict[str, Value | None] = {name: getattr(self, name) for name in KNOWN}
        present = {name: value for name, value in about.items() if value is not None}
        return present | {**self.attributes, DATA_CLASS: self.data_class}

    @property
    def data_class(self) -> str:
        return str(self.attributes.get(DATA_CLASS, UNCLASSIFIED))

    @property
    def document_id(self) -> str:
        """Stable for a tenant, a uri and who may read it, so that a replaced document keeps its id, and two documents of
        one name for different readers never touch each other. It is made of nothing but what the writer sends: it does
        not say what else is stored.
        """
        name = f"{self.tenant}\0{self.uri}"
        if (
            self.groups or self.data_class != UNCLASSIFIED
        ):  # as JSON, which has no NUL: no name of the first kind is like it
            name = json.dumps([self.tenant, self.uri, sorted(self.groups), self.data_class])
        return hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=16).hexdigest()

    def is_readable(self, scope: Scope | None) -> bool:
        """Whether `scope` may read a document of this source; `None` is the owner of the machine, who reads everything."""
        return scope is None or (scope.admits(self.tenant, self.groups) and scope.admits_class(self.data_class))


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage that is searched and cited. `text == document text[start:end]`, exactly."""

    chunk_id: str
    document_id: str
    position: int
    text: str
    start: int
    end: int
    heading_path: tuple[str, ...] = ()
    page: int | None = None

    @property
    def indexed_text(self) -> str:
        """What is embedded and searched: the passage under its headings."""
        return "\n".join((*self.heading_path, self.text))


@dataclass(frozen=True, slots=True)
class Document:
    """A stored document version."""

    document_id: str
    source: Source
    content_hash: str
    """Of the bytes and of everything in `source`: equal means that nothing needs to be done."""
    characters: int
    chunks: int
    ingested_at: datetime
    superseded: bool = False
    """Whether, today, a newer version of its series is in force, or its own date has not come yet."""
    parsers: tuple[str, ...] = ()
    """As in `Parsed`; empty where nobody noted them."""

    def holds(self, entry: Entry) -> bool:
        """Whether it is what was put as this entry: the same offer, read by the same parsers."""
        return self.content_hash == entry.content_hash != "" and self.parsers == entry.parsed.parsers


@dataclass(frozen=True, slots=True)
class Refusal:
    """A document that could not be taken, and why. Kept until it is ingested or deleted."""

    uri: str
    tenant: str
    reason: str
    message: str
    at: datetime
    groups: frozenset[str] = frozenset()
    """Who may read it, as of the document that was offered."""
    data_class: str = UNCLASSIFIED

    @property
    def source(self) -> Source:
        """Of the document that was offered, as far as it is kept."""
        return Source(self.uri, self.tenant, self.groups, attributes={DATA_CLASS: self.data_class})


@dataclass(frozen=True, slots=True)
class Hit:
    """A scored chunk with its origin. `score` orders hits of one result only; `legs` has each leg's rank from 1."""

    chunk: Chunk
    source: Source
    score: float
    legs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Citation:
    """An exact span of a document that supports a statement: `quote == document text[start:end]`."""

    marker: int
    """The number by which the answer refers to it, from 1."""
    document_id: str
    chunk_id: str
    uri: str
    title: str
    start: int
    end: int
    quote: str
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Which embedder and chunker wrote an index. Vectors of fixed probe texts catch a swap of equal dimension."""

    embedder: str
    dimensions: int
    probe: tuple[tuple[float, ...], ...]
    chunker: str

    def differs_from(self, other: Fingerprint) -> str | None:
        """What differs, in words, or `None`. The probes may differ by rounding: cosine below 0.9999 is a swap."""
        if self.dimensions != other.dimensions:
            return f"{self.dimensions} dimensions against {other.dimensions}"
        ours, theirs = np.asarray(self.probe), np.asarray(other.probe)
        cosine = float(
            np.min(np.sum(ours * theirs, axis=1) / (np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)))
        )
        if cosine < 0.9999:
            return f"the same text gets another vector (cosine {cosine:.4f})"
        if self.chunker != other.chunker:
            return f"chunker {self.chunker} against {other.chunker}"
        return None


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


@dataclass(frozen=True, slots=True)
class Entry:
    """A document, ready to be stored."""

    source: Source
    content_hash: str
    parsed: Parsed
    chunks: Sequence[Chunk]
    vectors: Vectors
    """Shape (chunks, dimensions), in the order of `chunks`."""
    ingested_at: datetime | None = None
    """When this offer was first stored, if not now."""

    def under(self, source: Source) -> Entry:
        """The same document under another source, by which its passages are named."""
        key = source.document_id
        chunks = [
            replace(chunk, document_id=key, chunk_id=chunk_id(key, chunk.position, chunk.text)) for chunk in self.chunks
        ]
        return replace(self, source=source, chunks=chunks)


def chunk_id(document_id: str, position: int, text: str) -> str:
    """The id of a passage. It changes with its document, its place and its text."""
    identity = f"{document_id}\0{position}\0{text}".encode("utf-8", errors="surrogatepass")
    return hashlib.blake2b(identity, digest_size=16).hexdigest()


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
