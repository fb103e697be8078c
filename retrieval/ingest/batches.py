"""What an ingest offers to the ledger, in batches, and what it reports about them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from retrieval.contract import Refusal, Source
from retrieval.ingest.preparation import Item

UNDER_WAY = 2
"""Batches that are embedded or wait for it, so that few documents are held at a time, however many come."""
SENT_ITEMS = 64
"""Of those that are prepared and committed together, at most."""
SENT_BYTES = 1 << 19
"""What they may weigh together before another batch begins."""


@dataclass(frozen=True, slots=True)
class Offer:
    """An item on its way into the ledger."""

    item: Item
    content_hash: str = ""
    new: bool | None = None
    """Whether it replaces nothing; `None` while another item of the same document is on its way before it."""


@dataclass(slots=True)
class IngestReport:
    """What became of the items; each of them is in exactly one of the first four."""

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    refused: tuple[Refusal, ...] = ()
    chunks: int = 0
    """Passages written."""
    embedded: int = 0
    """Passages embedded; the others were stored already, in an earlier version or under another name."""
    seconds: float = 0.0

    @property
    def handled_count(self) -> int:
        return self.added + self.replaced + self.unchanged + len(self.refused)


def group_offers(offers: Iterable[Offer]) -> Iterator[list[Offer]]:
    """No document twice in one, because a batch is committed as a whole."""
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
    """What two documents that may replace each other share."""
    return f"{source.tenant}\0{source.uri}"
