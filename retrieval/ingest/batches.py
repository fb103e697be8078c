"""Batches of an ingest, and its report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from retrieval.documents import Refusal, Source
from retrieval.ingest.preparation import Item

# Most batches that are being embedded or wait for it, so that few documents are in memory at a time
UNDER_WAY = 2
# Most items that are prepared and committed together, and bytes from which another batch begins
SENT_ITEMS, SENT_BYTES = 64, 1 << 19


@dataclass(frozen=True, slots=True)
class Offer:
    """An item on its way into the ledger."""

    item: Item
    content_hash: str = ""
    new: bool | None = None
    """Whether it replaces nothing; `None`: unknown, since an earlier item of the same document is under way."""


@dataclass(slots=True)
class IngestReport:
    """The counts of an ingest. Each item is in exactly one of the first four."""

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    refused: tuple[Refusal, ...] = ()
    chunks: int = 0
    embedded: int = 0
    """Passages embedded, of the `chunks` written; the others were stored before, in an earlier version or elsewhere."""
    seconds: float = 0.0

    @property
    def handled_count(self) -> int:
        return self.added + self.replaced + self.unchanged + len(self.refused)


def group_offers(offers: Iterable[Offer]) -> Iterator[list[Offer]]:
    """Group offers into batches, no document twice in one, since a batch is committed as a whole."""
    batch: dict[str, Offer] = {}
    size = 0
    for offer in offers:
        key = name_key(offer.item.source)
        if key in batch or len(batch) >= SENT_ITEMS or size >= SENT_BYTES:
            yield list(batch.values())
            batch, size = {}, 0
        batch[key] = offer
        size += len(offer.item.content)
    if batch:
        yield list(batch.values())


def name_key(source: Source) -> str:
    """Return a key that documents which may replace each other share."""
    return f"{source.tenant}\0{source.uri}"
