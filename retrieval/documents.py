"""Documents and their passages, as this layer passes them on: parsed, stored, found and cited."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

import numpy as np
import numpy.typing as npt

from foundation.errors import InvalidRequest
from foundation.types import UNCLASSIFIED, Scope
from retrieval.filters import Value, kind_of

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
        if self.groups or self.data_class != UNCLASSIFIED:  # as JSON, which has no NUL: no other name is like it
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
        lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
        cosine = float(np.min(np.sum(ours * theirs, axis=1) / lengths))
        if cosine < 0.9999:
            return f"the same text gets another vector (cosine {cosine:.4f})"
        if self.chunker != other.chunker:
            return f"chunker {self.chunker} against {other.chunker}"
        return None


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
