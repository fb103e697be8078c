"""The ports of layer 3. What they take and return is in `retrieval/documents.py` and `retrieval/filters.py`.

The ledger is the truth: documents, chunks, embeddings and keyword index are committed in one transaction. The vector index is
a cache of it that may be deleted. Both apply scopes *in* their queries, and the retriever checks the results once more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from foundation.types import Scope
from retrieval.documents import Chunk, Document, Entry, Fingerprint, Hit, Parsed, Refusal, VectorItem, Vectors, Word
from retrieval.filters import Where

if TYPE_CHECKING:  # the process of the parsers imports this module, and loads no model library
    from models.contract import Call
    from retrieval.ingest.preparation import Item


@runtime_checkable
class Parser(Protocol):
    """Parses bytes to structured text, in a child process with limits. A file in `parsers/` has `build(limits)`."""

    suffixes: tuple[str, ...]
    """Suffixes of names that it reads, in lower case with the dot."""
    version: str
    """Name and number, such as `markdown 3`. Where the output changes, change it: its documents are then parsed again."""

    def parse(self, content: bytes, name: str) -> Parsed:
        """Raises DocumentRefused: `reason` says why."""


@runtime_checkable
class Completer(Parser, Protocol):
    """A parser that also completes what those of other formats have read, such as pages without text."""

    completes: tuple[str, ...]
    """Suffixes of those formats."""

    def complete(self, parsed: Parsed, content: bytes, name: str) -> Parsed:
        """Return the document with what was added; `parsed` has no text where there was none. Raises DocumentRefused."""


@runtime_checkable
class Recogniser(Protocol):
    """Recognises the words of pictures, in the parsers' process. `version` as of a parser."""

    version: str
    unsure_below: float
    """Confidence below which the digits of a word are unsure, as measured: they are marked, and never asserted."""

    def read(self, picture: bytes) -> list[list[Word]]:
        """Return the lines of a PNG, each with its words from left to right; no lines: it shows no words."""


@runtime_checkable
class Chunker(Protocol):
    """Cuts a parsed document into passages. `version` is part of the fingerprint: change it when the output changes."""

    version: str

    def chunk(self, parsed: Parsed, document_id: str) -> list[Chunk]: ...


@runtime_checkable
class DocumentLedger(Protocol):
    """The store of documents. Every method is atomic; once it returns, its change is committed. Methods without a scope
    are for writers, who must have checked what may be read. Every method raises StoreUnavailable or StorageFull.
    """

    def put(self, entries: Sequence[Entry], *, gone: Collection[str] = ()) -> list[Document]:
        """Store all entries or none, and delete documents and refusals with the ids `gone` in the same transaction. An entry
        replaces the document with its id and clears its refusal. Raises InvalidRequest: a text has a lone surrogate.
        """

    def refuse(self, refusal: Refusal) -> None:
        """Store a refusal. A document with its id stays, without its content hash, so that its old content can be stored again."""

    def delete(self, document_id: str) -> bool:
        """Delete a document and its refusal; return whether there was one. Afterwards nobody finds anything of it."""

    def find(self, document_id: str) -> Document | None:
        """Return a document by its id."""

    def documents(self, scope: Scope) -> list[Document]: ...

    def documents_where(
        self, tenant: str, *, uri: str | None = None, origin: str | None = None, version_of: str | None = None
    ) -> list[Document]:
        """Return a tenant's documents with that uri, origin or later version, sorted by uri."""

    def refusals(self, scope: Scope) -> list[Refusal]:
        """Return the refusals of documents that `scope` could read."""

    def refusals_of(self, tenant: str, *, uri: str) -> list[Refusal]:
        """Return a tenant's refusals with that uri."""

    def text(self, document_id: str, scope: Scope) -> str | None:
        """Return a document's whole text; `None` where it is absent or out of scope."""

    def documents_of(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, str]:
        """Return the document id of each chunk that `hits` would return; called for every candidate of a query."""

    def hits(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, Hit]:
        """Return the chunks that `scope` may see and that are in force `as_of` (`None`: any version), in the order of
        `chunk_ids`, with score 0.0. In force is the newest version of a tenant's series whose date has come; without a series,
        any document whose date has come or that has none. A document outside `scope` supersedes nothing, nor does one
        supersede what its writer could not read (`Source.writer_reads`), unless both are versions of one document.
        """

    def keyword_search(
        self, query: str, scope: Scope, *, limit: int, as_of: date | None, where: Where | None = None
    ) -> list[tuple[str, float, str]]:
        """Return (chunk id, score, document id) of chunks in scope, in force and matching `where`, best first. Scores are
        above 0 and on an interval scale, to be fused with those of the vectors. The query is never search syntax.
        """

    def entry(self, document_id: str) -> Entry | None:
        """Return a stored document as it was put."""

    def entries(self) -> Iterator[Entry]:
        """Yield every stored document with its chunks and vectors, for a reindex or an export."""

    def embeddings(self, *, after: int = 0) -> Iterator[VectorItem]:
        """Yield every stored vector with a sequence number above `after`, in order."""

    def deletions(self, *, after: int = 0) -> Iterator[str]:
        """Yield the ids of chunks removed after `after`, which must have a `version_token`; delete them before you add."""

    def known_vectors(self, texts: Collection[str], tenant: str, *, scope: Scope | None = None) -> dict[str, Vectors]:
        """Return the stored vectors, of shape (dimensions,), of those `texts` that are the `indexed_text` of a chunk of this
        tenant that `scope` may read. The time of an upload would reveal that others are stored, too.
        """

    def sequence(self) -> int:
        """Return the number of the last committed change; it only grows."""

    def version_token(self, sequence: int) -> str | None:
        """Return an id of the history up to this number; `None`: no transaction ended there, or it is forgotten."""

    def document_count(self) -> int: ...
    def chunk_count(self) -> int: ...
    def fingerprint(self) -> Fingerprint | None: ...
    def set_fingerprint(self, fingerprint: Fingerprint) -> None: ...

    def open_second(self, *, fresh: bool = False) -> DocumentLedger:
        """Open the second ledger, in which a reindex is built. It persists when closed; `fresh` empties it."""

    def adopt(self, second: DocumentLedger, *, at: int) -> bool:
        """Replace documents and fingerprint by those of `second`, in one transaction; then empty and close `second`. Refusals
        stay; earlier tokens are forgotten, so that every vector index is filled again. Return `False`, with nothing done,
        where the sequence is not `at`: somebody wrote meanwhile.
        """

    def close(self) -> None: ...


@runtime_checkable
class VectorIndex(Protocol):
    """A cache of the ledger's vectors, called by several threads at once, with any number of items. Errors of the store, and
    vectors of another size, raise `StoreUnavailable` with their cause. An index that several processes fill also has
    `exclusive(*, patient=False)`, a context that locks out other writers, not reentrant; `patient` waits without a limit.
    """

    def upsert(self, items: Iterable[VectorItem]) -> None:
        """Add each item, or replace the one with its chunk id, including tenant, groups and attributes."""

    def delete(self, chunk_ids: Iterable[str]) -> None:
        """Delete vectors; unknown ids are ignored."""

    def search(
        self, vector: Vectors, scope: Scope, *, limit: int, where: Where | None = None
    ) -> list[tuple[str, float]]:
        """Return (chunk id, cosine similarity), best first, filtered by `scope` and `where` inside the search."""

    def sequence(self) -> int:
        """Return the ledger sequence up to which this index is complete; 0 if empty."""

    def version_token(self) -> str:
        """Return the token that was passed to `set_sequence`; empty for an empty index."""

    def set_sequence(self, sequence: int, version_token: str = "") -> None:
        """Declare the index complete up to `sequence`, with the ledger's `version_token`; it loses both with its vectors."""

    def count(self) -> int: ...

    def clear(self) -> None:
        """Delete every vector, the sequence and its token."""

    def close(self) -> None:
        """Close the index. A second call does nothing; other methods then raise `StoreUnavailable`."""


@runtime_checkable
class Retriever(Protocol):
    """Finds evidence for a query within a scope, which LangChain's BaseRetriever has no parameter for."""

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
        """Return the best passage of each of the `limit` best documents, best first; nothing for an empty scope. `as_of=None`
        means today's versions. With `per_document` above 1, a document's further passages follow its best: so many in all that
        there are `per_document` for each document on average, wherever the scores are highest. Raises ComponentError: a store or
        the embedder failed.
        """


@runtime_checkable
class Rewording(Protocol):
    """Other words for the same. An extension offers it among its services."""

    def widen(self, question: str, tenant: str) -> str:
        """Return the question with other words for what it says behind it, for the search of words."""

    def fit(self, question: str, tenant: str, texts: Sequence[str]) -> str:
        """Return the question in the words that these texts have where they lack its own."""


class RightsCheck(ABC):
    """Knows whether what a search found may still be read, where another system says who may. An extension offers it among its services."""

    @abstractmethod
    def keep(self, hits: Sequence[Hit], scope: Scope) -> list[Hit]:
        """Return the hits that `scope` may still read, in their order; what nobody can say of is left out."""


class IngestHelpers(ABC):
    """Who else prepares the documents of an ingest, such as other machines. An extension offers it among its services."""

    @abstractmethod
    def open(self, fingerprint: Fingerprint, pay: Callable[[Call], object]) -> Any:
        """Return what has `prepare`, as of `Ingestor`, and `close`. `pay` is called with each request to a vendor."""


class DocumentSource(ABC):
    """Where documents stand beside files and folders. An extension offers it among its services."""

    prefixes: tuple[str, ...]
    """What its addresses begin with, such as `https://`."""

    @abstractmethod
    def read(self, address: str, tenant: str) -> Sequence[Item]:
        """Return the documents at an address, with all their content. Raises SixplyError: it cannot be read, or may not."""
