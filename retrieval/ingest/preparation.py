"""What becomes of a document without a ledger, here or in a worker elsewhere: it is parsed, cut and embedded."""

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
    """Why an item cannot be taken: `DocumentRefused` as a value that can travel."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Item:
    """A document as it arrives. The suffix of `name` chooses the parser."""

    source: Source
    content: bytes
    name: str
    unread: Refused | None = None
    """Why there is no content."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that can be made of an item without a ledger."""

    parsed: Parsed
    chunks: list[Chunk]
    vectors: Vectors


class Preparation:
    """Parse, cut, embed: what an ingest does without a ledger, and so can do anywhere."""

    def __init__(self, *, embedder: Embeddings, chunker: Chunker, parse: Callable[[bytes, str], Parsed]) -> None:
        self._embedder, self._chunker, self._parse = embedder, chunker, parse

    def cut_chunks(self, item: Item) -> tuple[Parsed, list[Chunk]]:
        """Raises:
        DocumentRefused: with the reason.
        """
        if item.unread:
            raise DocumentRefused(item.unread.message, reason=item.unread.reason)
        parsed = self._parse(item.content, item.name)
        parsed = replace(parsed, title=item.source.title or parsed.title)
        chunks = self._chunker.chunk(parsed, item.source.document_id)
        if not chunks:
            raise DocumentRefused(
                f"{item.name} holds no text. Is it a scan? Run it through text recognition.", reason="empty"
            )
        return parsed, chunks

    def prepare(self, items: Sequence[Item]) -> list[Prepared | Refused]:
        """What becomes of each of them. Raises ComponentError."""
        outcomes: list[tuple[Parsed, list[Chunk]] | Refused] = []
        for item in items:
            try:
                outcomes.append(self.cut_chunks(item))
            except DocumentRefused as error:
                outcomes.append(Refused(error.reason, str(error)))
        cuts = [outcome for outcome in outcomes if not isinstance(outcome, Refused)]
        vectors = iter(embed_chunks(self._embedder, [chunks for _, chunks in cuts]))
        return [outcome if isinstance(outcome, Refused) else Prepared(*outcome, next(vectors)) for outcome in outcomes]


class Workers(Protocol):
    """Processes elsewhere that do a `Preparation` with the same parts."""

    def prepare(self, batches: Iterable[Sequence[Item]]) -> Iterator[list[Prepared | Refused]]:
        """What becomes of each batch, in their order. It reads a bounded number of batches ahead of what it has given, and
        what a worker had when it died is done again by another one.

        Raises:
            ComponentError: no worker can be reached, or the embedder failed there.
            FingerprintMismatch: a worker has other parts than we have.
        """
        ...


def hash_item(item: Item) -> str:
    """Of the bytes and of everything that is known about them: new access rights are a change, too. The folder that it was
    read from is not, which may be moved."""
    source = asdict(item.source) | {"groups": sorted(item.source.groups), "origin": ""}
    source = {key: value for key, value in source.items() if key not in OF_THE_LEDGER}
    digest = hashlib.blake2b(item.content, digest_size=32)
    digest.update(json.dumps(source, default=str, sort_keys=True).encode())
    digest.update(item.name.encode(errors="surrogatepass"))
    return digest.hexdigest()
