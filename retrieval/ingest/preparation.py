"""The preparation of documents, which needs no ledger and can run in a worker: parse, cut, embed."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from foundation.errors import DocumentRefused
from models.contract import Embeddings
from models.embedding import embed
from retrieval.contract import Chunker
from retrieval.documents import OF_THE_LEDGER, Chunk, Parsed, Source, Vectors


@dataclass(frozen=True, slots=True)
class Item:
    """A document as it arrives. The suffix of `name` chooses the parser."""

    source: Source
    content: bytes
    name: str
    unread: DocumentRefused | None = None
    """The reason why `content` was not read; `None` where it was."""


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """A document that is parsed, cut into passages and, after `embed_passages`, embedded."""

    tenant: str
    parsed: Parsed
    chunks: list[Chunk]
    vectors: Vectors = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))
    embedded: int = 0
    """Number of passages that were embedded for it; the vectors of the others were known."""


# What became of an item. An error is handed on as it is, since one document must not stop the others
Outcome = PreparedDocument | DocumentRefused

# Prepares batches on other machines, reading some ahead, and yields them in order, also where a worker died
Workers = Callable[[Iterable[Sequence[Item]]], Iterator[list[Outcome]]]


class Preparation:
    """The steps of an ingest that need no ledger: parse, cut, embed."""

    def __init__(self, *, embedder: Embeddings, chunker: Chunker, parse: Callable[[bytes, str], Parsed]) -> None:
        self._embedder, self._chunker, self._parse = embedder, chunker, parse

    def split(self, item: Item) -> Outcome:
        """Parse and cut an item."""
        if item.unread:
            return item.unread
        try:
            parsed = self._parse(item.content, item.name)
            parsed = replace(parsed, title=item.source.title or parsed.title)
            chunks = self._chunker.chunk(parsed, item.source.document_id)
        except DocumentRefused as error:
            return error.with_traceback(None)
        if not chunks:
            message = f"{item.name} holds no text. Is it a scan? Run it through text recognition."
            return DocumentRefused(message, reason="empty")
        return PreparedDocument(item.source.tenant, parsed, chunks)

    def prepare(self, items: Sequence[Item]) -> list[Outcome]:
        """Prepare the items. Raises ComponentError: the embedder failed."""
        return embed_passages(self._embedder, list(map(self.split, items)), {})


def embed_passages(
    embedder: Embeddings, outcomes: Sequence[Outcome], stored: Mapping[tuple[str, str], Vectors]
) -> list[Outcome]:
    """Embed all passages in one call, each text once; `stored` has vectors by tenant and text."""
    texts = [
        (it.tenant, chunk.indexed_text) for it in outcomes if isinstance(it, PreparedDocument) for chunk in it.chunks
    ]
    new = list(dict.fromkeys(text for tenant, text in texts if (tenant, text) not in stored))
    vectors = dict(zip(new, embed(embedder, new), strict=True))
    uncounted = set(new)

    def add_vectors(outcome: Outcome) -> Outcome:
        if isinstance(outcome, DocumentRefused):
            return outcome
        passages = [chunk.indexed_text for chunk in outcome.chunks]
        rows = [stored[key] if (key := (outcome.tenant, text)) in stored else vectors[text] for text in passages]
        embedded = len(uncounted.intersection(passages))
        uncounted.difference_update(passages)
        return replace(outcome, vectors=np.stack(rows), embedded=embedded)

    return list(map(add_vectors, outcomes))


def hash_item(item: Item) -> str:
    """Return the digest of an item's bytes and metadata, without the folder, since it may be moved."""
    source = asdict(item.source) | {"groups": sorted(item.source.groups), "origin": ""}
    source = {key: value for key, value in source.items() if key not in OF_THE_LEDGER}
    digest = hashlib.blake2b(item.content, digest_size=32)
    digest.update(json.dumps(source, default=str, sort_keys=True).encode())
    digest.update(item.name.encode(errors="surrogatepass"))
    return digest.hexdigest()
