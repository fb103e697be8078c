"""The preparation of documents, which needs no ledger and can run in a worker: parse, cut, embed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from foundation.errors import DocumentRefused
from models.contract import Embeddings
from retrieval.contract import OF_THE_LEDGER, Chunk, Chunker, Parsed, Source, Vectors
from retrieval.index.maintenance import embed_chunks


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal of an item: `DocumentRefused` as a value that can be sent between processes."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Item:
    """A document as it arrives. The suffix of `name` chooses the parser."""

    source: Source
    content: bytes
    name: str
    unread: Refused | None = None
    """The reason why `content` was not read; `None` where it was."""


@dataclass(frozen=True, slots=True)
class Cut:
    """An item that is parsed and cut into passages."""

    tenant: str
    parsed: Parsed
    chunks: list[Chunk]


@dataclass(frozen=True, slots=True)
class Prepared:
    """An item that is parsed, cut and embedded."""

    parsed: Parsed
    chunks: list[Chunk]
    vectors: Vectors
    embedded: int
    """Number of passages that were embedded for it."""


class Preparation:
    """The steps of an ingest that need no ledger: parse, cut, embed."""

    def __init__(self, *, embedder: Embeddings, chunker: Chunker, parse: Callable[[bytes, str], Parsed]) -> None:
        self._embedder, self._chunker, self._parse = embedder, chunker, parse

    def split(self, item: Item) -> Cut | Refused:
        """Parse and cut an item."""
        if item.unread:
            return item.unread
        try:
            parsed = self._parse(item.content, item.name)
            parsed = replace(parsed, title=item.source.title or parsed.title)
            chunks = self._chunker.chunk(parsed, item.source.document_id)
        except DocumentRefused as error:
            return Refused(error.reason, str(error))
        if not chunks:
            return Refused("empty", f"{item.name} holds no text. Is it a scan? Run it through text recognition.")
        return Cut(item.source.tenant, parsed, chunks)

    def prepare(self, items: Sequence[Item]) -> list[Prepared | Refused]:
        """Prepare the items. Raises ComponentError: the embedder failed."""
        cuts = [self.split(item) for item in items]
        vectors = iter(embed_chunks(self._embedder, [cut.chunks for cut in cuts if isinstance(cut, Cut)]))
        return [
            cut if isinstance(cut, Refused) else Prepared(cut.parsed, cut.chunks, next(vectors), len(cut.chunks))
            for cut in cuts
        ]


class Workers(Protocol):
    """Processes on other machines that run a `Preparation` with the same parts."""

    def prepare(self, batches: Iterable[Sequence[Item]]) -> Iterator[list[Prepared | Refused]]:
        """Yield the prepared batches, in order. It reads a bounded number of batches ahead, and repeats the batch of a
        worker that died on another one. Raises ComponentError: no worker can be reached, or the embedder failed there.
        FingerprintMismatch: a worker has other parts than this process.
        """


def hash_item(item: Item) -> str:
    """Return the digest of an item's bytes and metadata, so that new access rights are a change too. The folder is
    left out, since it may be moved.
    """
    source = asdict(item.source) | {"groups": sorted(item.source.groups), "origin": ""}
    source = {key: value for key, value in source.items() if key not in OF_THE_LEDGER}
    digest = hashlib.blake2b(item.content, digest_size=32)
    digest.update(json.dumps(source, default=str, sort_keys=True).encode())
    digest.update(item.name.encode(errors="surrogatepass"))
    return digest.hexdigest()
