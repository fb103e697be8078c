"""The data classes of layer 3: documents and passages as parsed, stored, found and cited."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from math import dist
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from foundation.errors import InvalidRequest
from foundation.types import UNCLASSIFIED, Scope
from retrieval.filters import Value, kind_of

if TYPE_CHECKING:  # half of what a parser's child process would take to start, and it needs none
    import numpy as np
    import numpy.typing as npt

# Shape (texts, dimensions), rows of unit length
Vectors: TypeAlias = "npt.NDArray[np.float32]"
# Stands in a document's text where a page, slide or sheet ends
PAGE_BREAK = "\f"
# Characters of text that a document may have for each page that it may have
PAGE_CHARACTERS = 10_000


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """Limits that a parser enforces itself. Memory and time are limited from outside."""

    pages: int = 500
    """Most pages, slides or sheets."""
    characters: int = 5_000_000
    blocks: int = 200_000
    """Most headings, paragraphs, items and rows; a sheet of a million short rows passes the other limits."""
    parsers: tuple[str, ...] = ()
    """Modules of parsers that extensions bring, beside those of `retrieval/parsers`."""
    recogniser: str = ""
    """The part that recognises words in pictures, as JSON; empty: the parser of pictures chooses."""
    memory_mb: int = 0
    """What the process may take; 0: as much as there is."""
    writes_mb: int = 0
    """Most of one file that it may write."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a parsed document: a heading (level 1 to 6), a paragraph, a list item, a table row or code."""

    kind: str
    """heading, paragraph, item, row or code."""
    start: int
    end: int
    """Character span in `Parsed.text`."""
    level: int = 0
    page: int | None = None
    """Number of the page, slide or sheet, from 1. A sheet's name and a slide's title are headings."""


@dataclass(frozen=True, slots=True)
class Table:
    """The columns of consecutive rows, which are blocks, so that each cell is a span of the text. `row_text` joins them."""

    first: int
    """Place of its first row among the blocks."""
    names: tuple[str, ...]
    """Names of the columns; none: the table says none."""
    widths: tuple[tuple[int, ...], ...]
    """Characters of each cell, row by row; 0: the cell is empty."""


class Word(NamedTuple):
    """A recognised word with its confidence from 0 to 1, and its place in pixels of the picture from the upper left."""

    text: str
    confidence: float
    left: float
    top: float
    right: float
    bottom: float


class Box(NamedTuple):
    """Where characters of the text stand on the picture of their page, in thousandths of its width and height from the upper left."""

    start: int
    end: int
    page: int
    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document as plain text with its structure. All offsets refer to `text`."""

    text: str
    blocks: tuple[Block, ...]
    title: str | None = None
    pages: int | None = None
    parsers: tuple[str, ...] = ()
    """Versions of the parsers that read it, with those of a mail's attachments. Set by the caller of a parser."""
    tables: tuple[Table, ...] = ()
    boxes: tuple[Box, ...] = ()
    """Of words that were recognised in pictures."""


# The reason why a person's documents are not erased with them
DOCUMENTS_STAY = "they belong to the tenant, with their names and the list of what was refused: delete them by name"
# Fields of `Source` that can be filtered by like attributes
KNOWN = ("uri", "title", "media_type", "series", "effective_from", "published")
# The attribute with the class of a document, by which the policy lets roles and tenants see it
DATA_CLASS = "data_class"
# Fields of `Source` that are set when it is stored, not by the writer
OF_THE_LEDGER = ("version_of", "writer_reads")


@dataclass(frozen=True, slots=True)
class Source:
    """The metadata of a document."""

    uri: str
    """Stable name by which the document is replaced and deleted, e.g. `policies/refunds-2026-01.md`."""
    tenant: str
    """The tenant that owns it; `foundation.types.EVERY_TENANT` for all."""
    groups: frozenset[str] = frozenset()
    """Groups of the tenant that may read it; empty: everyone in the tenant."""
    title: str = ""
    media_type: str = ""
    series: str | None = None
    """Name shared by documents that are versions of one another."""
    effective_from: date | None = None
    published: date | None = None
    origin: str = ""
    """The folder or site that it was read from; empty: none. Only a sync of that folder may remove it."""
    attributes: Mapping[str, Value] = field(default_factory=dict)
    """Further values to filter by: a product, a language, a price. The names in `KNOWN` are reserved."""
    version_of: str | None = None
    """Id of the document of which this is an earlier version, or `None`."""
    writer_reads: str | None = None
    """The scope of its writer, as written by `row_codec.scope_text`; `None`: everything. It supersedes only
    documents in that scope."""

    def __post_init__(self) -> None:
        for key, value in self.attributes.items():
            if kind_of(value) != "text" and key == DATA_CLASS:
                raise InvalidRequest(f"The class of a document is a word, such as internal; found {value!r}.")
            if key in KNOWN or not key:
                raise InvalidRequest(f'An attribute cannot be named "{key}". Taken are: {", ".join(KNOWN)}.')

    @property
    def filterable(self) -> dict[str, Value]:
        """All values that a `Where` can use: the attributes, the fields `KNOWN` and the class."""
        about: dict[str, Value | None] = {name: getattr(self, name) for name in KNOWN}
        present = {name: value for name, value in about.items() if value is not None}
        return present | {**self.attributes, DATA_CLASS: self.data_class}

    @property
    def data_class(self) -> str:
        return str(self.attributes.get(DATA_CLASS, UNCLASSIFIED))

    @property
    def document_id(self) -> str:
        """The id, a hash of tenant, uri, groups and class, which a new version keeps and which reveals nothing."""
        name = f"{self.tenant}\0{self.uri}"
        if self.groups or self.data_class != UNCLASSIFIED:  # as JSON, which has no NUL, so that it equals no plain name
            name = json.dumps([self.tenant, self.uri, sorted(self.groups), self.data_class])
        return hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=16).hexdigest()

    def is_readable(self, scope: Scope | None) -> bool:
        """Whether `scope` may read a document with this source; `None`, the owner of the machine, reads everything."""
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

    def page_at(self, start: int) -> int | None:
        """Return the page on which the document's character `start` stands."""
        ended = self.text[: start - self.start].lstrip().count(PAGE_BREAK)
        return None if self.page is None else self.page + ended

    @property
    def indexed_text(self) -> str:
        """The text that is embedded and searched: the headings and the passage."""
        return "\n".join((*self.heading_path, self.text))


@dataclass(frozen=True, slots=True)
class Document:
    """A stored document version."""

    document_id: str
    source: Source
    content_hash: str
    """Hash of the bytes and of `source`; an offer with an equal one changes nothing."""
    characters: int
    chunks: int
    ingested_at: datetime
    superseded: bool = False
    """Whether today a newer version of its series is in force, or its own date has not come."""
    parsers: tuple[str, ...] = ()
    """As in `Parsed`; empty where they are unknown."""

    def holds(self, entry: Entry) -> bool:
        """Whether it was stored from this entry: the same offer, read by the same parsers."""
        return self.content_hash == entry.content_hash != "" and self.parsers == entry.parsed.parsers


@dataclass(frozen=True, slots=True)
class Refusal:
    """A document that was refused, and why. Kept until the document is ingested or deleted."""

    uri: str
    tenant: str
    reason: str
    message: str
    at: datetime
    groups: frozenset[str] = frozenset()
    """Groups that may read it, as offered."""
    data_class: str = UNCLASSIFIED

    @property
    def source(self) -> Source:
        """Source of the offered document, without its title, dates and other attributes."""
        return Source(self.uri, self.tenant, self.groups, attributes={DATA_CLASS: self.data_class})


@dataclass(frozen=True, slots=True)
class VectorItem:
    """A chunk's vector with the fields that the index filters by."""

    sequence: int
    chunk_id: str
    tenant: str
    groups: frozenset[str]
    vector: Vectors
    """Shape (dimensions,)."""
    attributes: Mapping[str, Value] = field(default_factory=dict)
    """`Source.filterable` of its document."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A scored chunk with its origin. `score` only orders the hits of one result; `ranks` has its rank in each search, from 1."""

    chunk: Chunk
    source: Source
    score: float
    ranks: Mapping[str, int] = field(default_factory=dict)
    rights_at: str | None = None
    """As `Citation.rights_at`."""


@dataclass(frozen=True, slots=True)
class Citation:
    """An exact span of a document that supports a statement: `quote == document text[start:end]`."""

    marker: int
    """Number by which the answer refers to it, from 1."""
    document_id: str
    chunk_id: str
    uri: str
    title: str
    start: int
    end: int
    quote: str
    page: int | None = None
    rights_at: str | None = None
    """Time (ISO 8601) when whoever knows last said who may read the document; `None`: the rights are those of the ledger."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The embedder and chunker that wrote an index. Vectors of fixed probe texts reveal a swapped model of equal dimension."""

    embedder: str
    dimensions: int
    probe: tuple[tuple[float, ...], ...]
    chunker: str

    def differs_from(self, other: Fingerprint) -> str | None:
        """Return the difference in words, or `None`. Probes may differ by rounding: a cosine below 0.9999 is a swap."""
        if self.dimensions != other.dimensions:
            return f"{self.dimensions} dimensions against {other.dimensions}"
        cosine = 1 - max(map(dist, self.probe, other.probe)) ** 2 / 2  # of vectors of unit length
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
    """Time when this offer was first stored; `None`: now."""

    def under(self, source: Source) -> Entry:
        """Return the document under another source, with new ids of its passages."""
        key = source.document_id
        chunks = [
            replace(chunk, document_id=key, chunk_id=chunk_id(key, chunk.position, chunk.text)) for chunk in self.chunks
        ]
        return replace(self, source=source, chunks=chunks)


def chunk_id(document_id: str, position: int, text: str) -> str:
    """Return the id of a passage, a hash of its document, position and text."""
    identity = f"{document_id}\0{position}\0{text}".encode("utf-8", errors="surrogatepass")
    return hashlib.blake2b(identity, digest_size=16).hexdigest()
