"""The preparation of documents, which needs no ledger and can run in a worker: parse, cut, embed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from foundation.errors import DocumentRefused
from models.contract import Embeddings
from models.embedding import embed
from retrieval.contract import Chunker
from retrieval.documents import OF_THE_LEDGER, Chunk, Parsed, Source, Vectors


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


# Prepares batches on other machines with the same parts, and yields them in order. It reads a bounded number of batches ahead, and
# repeats the batch of a worker that died on another one.
Workers = Callable[[Iterable[Sequence[Item]]], Iterator[list[Prepared | Refused]]]


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
        return embed_cuts(self._embedder, list(map(self.split, items)), {})


def embed_cuts(
    embedder: Embeddings, cuts: Sequence[Cut | Refused], known: Mapping[tuple[str, str], Vectors]
) -> list[Prepared | Refused]:
    """Embed the passages of all cuts in one call, since a model is fastest on full batches, and each text once. `known`
    has the vectors of texts, by tenant and text, that are not computed again.
    """
    texts = [(cut.tenant, chunk.indexed_text) for cut in cuts if isinstance(cut, Cut) for chunk in cut.chunks]
    new = list(dict.fromkeys(text for tenant, text in texts if (tenant, text) not in known))
    vectors = dict(zip(new, embed(embedder, new), strict=True))
    uncounted, prepared = set(new), list[Prepared | Refused]()
    for cut in cuts:
        if isinstance(cut, Refused):
            prepared.append(cut)
            continue
        passages = [chunk.indexed_text for chunk in cut.chunks]
        rows = [known[cut.tenant, text] if (cut.tenant, text) in known else vectors[text] for text in passages]
        embedded = len(uncounted.intersection(passages))
        uncounted.difference_update(passages)
        prepared.append(Prepared(cut.parsed, cut.chunks, np.stack(rows), embedded))
    return prepared


def hash_item(item: Item) -> str:
    """Return the digest of an item's bytes and metadata, without the folder, since it may be moved."""
    source = asdict(item.source) | {"groups": sorted(item.source.groups), "origin": ""}
    source = {key: value for key, value in source.items() if key not in OF_THE_LEDGER}
    digest = hashlib.blake2b(item.content, digest_size=32)
    digest.update(json.dumps(source, default=str, sort_keys=True).encode())
    digest.update(item.name.encode(errors="surrogatepass"))
    return digest.hexdigest()
