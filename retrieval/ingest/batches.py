"""Batches of documents on their way into the ledger: one is committed while the next is embedded and a third prepared."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Self

from retrieval.contract import Chunk, Parsed, Refusal, Source, Vectors
from retrieval.ingest.preparation import Item

UNDER_WAY = 2
"""Batches between preparing and committed: one is committed while the next is embedded, and so few documents are held at a
time, however many come."""
SENT_ITEMS = 64
"""Of those that workers are sent together, at most."""
SENT_BYTES = 1 << 19
"""What they may weigh together before another batch begins."""


@dataclass
class PendingDocument:
    """A document that is cut, and waits to be embedded and committed."""

    item: Item
    content_hash: str
    parsed: Parsed
    chunks: list[Chunk]
    new: bool


@dataclass(frozen=True, slots=True)
class AcceptedOffer:
    """An item that is to be stored, as the ledger sees it."""

    content_hash: str
    new: bool


@dataclass(frozen=True, slots=True)
class SentItem:
    """An item that workers prepare."""

    item: Item
    accepted: AcceptedOffer | None
    """`None` while another item of the same document is on its way before it."""


@dataclass(frozen=True, slots=True)
class EmbeddedBatch:
    """The vectors of a batch of documents."""

    vectors: Sequence[Vectors]
    """Of each document, in the order of its chunks."""
    texts: int
    """How many the embedder was given."""


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of the items; each of them is in exactly one of the first four."""

    added: int
    replaced: int
    unchanged: int
    refused: tuple[Refusal, ...]
    chunks: int
    """Passages written."""
    embedded: int
    """Passages embedded; the others were stored already, in an earlier version or under another name."""
    seconds: float


@dataclass
class Tally:
    """Counts what becomes of the items of one ingest."""

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    chunks: int = 0
    embedded: int = 0
    refused: list[Refusal] = field(default_factory=list)

    def count(self, documents: Sequence[PendingDocument], embedded: int) -> None:
        self.added += sum(document.new for document in documents)
        self.replaced += sum(not document.new for document in documents)
        self.chunks += sum(len(document.chunks) for document in documents)
        self.embedded += embedded

    @property
    def handled_count(self) -> int:
        return self.added + self.replaced + self.unchanged + len(self.refused)

    def report(self, *, seconds: float) -> IngestReport:
        return IngestReport(
            added=self.added,
            replaced=self.replaced,
            unchanged=self.unchanged,
            refused=tuple(self.refused),
            chunks=self.chunks,
            embedded=self.embedded,
            seconds=seconds,
        )


class BatchLine:
    """Batches on their way, one behind the other: while one is committed the next is embedded, and the caller prepares a
    third. Both run in threads of their own only where there is more than one batch."""

    def __init__(
        self,
        embed: Callable[[Sequence[PendingDocument]], EmbeddedBatch],
        commit: Callable[[Sequence[PendingDocument], Sequence[Vectors]], None],
        tally: Tally,
    ) -> None:
        self._embed, self._commit, self._tally = embed, commit, tally
        self._embedding = ThreadPoolExecutor(1, "ingest-embed")
        self._committing = ThreadPoolExecutor(1, "ingest-commit")
        self._under_way: deque[tuple[dict[str, PendingDocument], Future[int]]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """What has begun ends as it would have; after a failure nothing else is begun."""
        for pool in (self._embedding, self._committing):
            pool.shutdown(cancel_futures=True)

    def carries(self, document_id: str) -> bool:
        """Whether the document is on its way, so that the ledger does not know yet what it will hold."""
        return any(document_id in batch for batch, _ in self._under_way)

    def send(self, batch: dict[str, PendingDocument], *, last: bool = False) -> None:
        """Take a batch, which nobody changes afterwards, as soon as there is room; the last one is waited for.

        Raises:
            ComponentError: an earlier batch failed, or with `last` this one.
        """
        documents = list(batch.values())
        if last and not self._under_way:
            embedded = self._embed(documents)
            self._commit(documents, embedded.vectors)
            self._tally.count(documents, embedded.texts)
            return
        while len(self._under_way) >= UNDER_WAY:
            self._await_oldest()
        vectors = self._embedding.submit(copy_context().run, self._embed, documents)
        committed = self._committing.submit(copy_context().run, self._commit_when_embedded, documents, vectors)
        self._under_way.append((batch, committed))
        if last:
            self.arrive()

    def arrive(self) -> None:
        """Wait for all that is on its way. Raises as `send`."""
        while self._under_way:
            self._await_oldest()

    def _await_oldest(self) -> None:
        batch, committed = self._under_way.popleft()
        self._tally.count(list(batch.values()), committed.result())

    def _commit_when_embedded(self, documents: Sequence[PendingDocument], embedding: Future[EmbeddedBatch]) -> int:
        """How many texts were embedded for it."""
        embedded = embedding.result()
        self._commit(documents, embedded.vectors)
        return embedded.texts


def group_items(sent: Iterable[SentItem]) -> Iterator[list[SentItem]]:
    """No document twice in one, because a batch is committed as a whole."""
    batch: dict[str, SentItem] = {}
    size = 0
    for sent_item in sent:
        key = name_key(sent_item.item.source)
        if key in batch or len(batch) >= SENT_ITEMS or size >= SENT_BYTES:
            yield list(batch.values())
            batch, size = {}, 0
        batch[key] = sent_item
        size += len(sent_item.item.content)
    if batch:
        yield list(batch.values())


def name_key(source: Source) -> str:
    """What two documents that may replace each other share."""
    return f"{source.tenant}\0{source.uri}"
