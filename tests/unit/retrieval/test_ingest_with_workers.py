"""Documents that workers prepare: the ledger ends as if this process had done it all."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from foundation.components import Context, load
from foundation.settings import Part
from foundation.types import Scope
from retrieval.documents import Source
from retrieval.ingest import pipeline as batches
from retrieval.ingest.parsing import ParseLimits, parse_here
from retrieval.ingest.pipeline import Ingestor
from retrieval.ingest.preparation import Item, Outcome, Preparation

ACME = Scope("acme")


class ReadingAhead:
    """A double of workers: it prepares here, and takes three batches before it gives one."""

    def __init__(self, preparation: Preparation) -> None:
        self.preparation = preparation
        self.sent: list[Sequence[Item]] = []

    def prepare(self, batches: Iterable[Sequence[Item]]) -> Iterator[list[Outcome]]:
        under_way: list[Sequence[Item]] = []
        for batch in batches:
            self.sent.append(batch)
            under_way.append(pickle.loads(pickle.dumps(batch)))
            if len(under_way) == 3:
                yield self.preparation.prepare(under_way.pop(0))
        for batch in under_way:
            yield self.preparation.prepare(batch)


class Desk:
    def __init__(self, folder: Path, *, workers: bool) -> None:
        folder.mkdir()
        context = Context(data_dir=folder)
        self.ledger = load("retrieval.ledger", Part(use="sqlite"), context)
        self.vectors = load("retrieval.vectors", Part(use="memory"), context)
        parts: dict[str, Any] = {
            "embedder": load("models.embedder", Part(use="hashing"), context),
            "chunker": load("retrieval.chunker", Part(use="structure"), context),
            "parse": lambda content, name: parse_here(content, name, ParseLimits()),
        }
        self.workers = ReadingAhead(Preparation(**parts)) if workers else None
        self.ingestor = Ingestor(
            ledger=self.ledger,
            vectors=self.vectors,
            clock=context.clock,
            workers=self.workers and self.workers.prepare,
            **parts,
        )

    def stored(self) -> list[Any]:
        entries = sorted(self.ledger.entries(), key=lambda entry: entry.source.uri)
        return [
            [(each.source, each.content_hash, each.parsed, each.chunks, each.vectors.tolist()) for each in entries],
            [(each.sequence, each.chunk_id) for each in self.ledger.embeddings()],
            [(each.uri, each.reason, each.message) for each in self.ledger.refusals(ACME)],
            self.vectors.count(),
        ]


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Desk, Desk]]:
    alone, helped = Desk(tmp_path / "alone", workers=False), Desk(tmp_path / "helped", workers=True)
    yield alone, helped
    for desk in (alone, helped):
        desk.ledger.close()


def item(number: int, text: str = "") -> Item:
    content = text or f"# Rule {number}\n\nRule number {number} says something of its own."
    return Item(Source(f"{number}.md", "acme"), content.encode(), "rule.md")


MIXED = [
    item(1), item(2), item(1, "# Rule 1\n\nIt was changed."), item(3, "\0\1\2" * 20), item(2), item(4),
    item(4, "\0\1\2" * 20), item(4), item(5), item(1, "# Rule 1\n\nIt was changed."), item(1, "# Rule 1\n\nAgain."),
]  # fmt: skip
"""The same names again while they are under way: changed, unchanged, refused, and taken back."""


@pytest.mark.parametrize("together", [1, 2, 64])
def test_with_workers_everything_ends_as_without(
    both: tuple[Desk, Desk], together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "SENT_ITEMS", together)
    alone, helped = both
    for items in ([item(1), item(9)], MIXED, MIXED):
        expected, found = alone.ingestor.ingest(items), helped.ingestor.ingest(items)
        counted = ("added", "replaced", "unchanged", "chunks")
        assert [getattr(found, name) for name in counted] == [getattr(expected, name) for name in counted]
        assert [each.uri for each in found.refused] == [each.uri for each in expected.refused]
        assert helped.stored() == alone.stored()


def test_what_is_unchanged_is_not_sent_and_a_batch_is_bounded_by_items_and_bytes(both: tuple[Desk, Desk]) -> None:
    _, helped = both
    assert helped.workers is not None
    helped.ingestor.ingest([item(number) for number in range(100)])
    large = [item(number, "word " * (batches.SENT_BYTES // 9)) for number in range(100, 104)]
    helped.workers.sent.clear()
    helped.ingestor.ingest([*(item(number) for number in range(100)), *large])
    assert [len(batch) for batch in helped.workers.sent] == [2, 2]
    helped.workers.sent.clear()
    helped.ingestor.ingest([item(number) for number in range(200, 200 + 2 * batches.SENT_ITEMS + 1)])
    assert [len(batch) for batch in helped.workers.sent] == [batches.SENT_ITEMS, batches.SENT_ITEMS, 1]


def test_progress_counts_what_is_committed(both: tuple[Desk, Desk]) -> None:
    _, helped = both
    seen: list[tuple[int, int]] = []
    items = [item(number) for number in range(3 * batches.SENT_ITEMS)]
    helped.ingestor.ingest(items, progress=lambda done: seen.append((done, helped.ledger.document_count())))
    assert seen[-1] == (len(items), len(items))
    assert all(done == documents for done, documents in seen)


def test_one_document_whose_caller_waits_is_prepared_here(both: tuple[Desk, Desk]) -> None:
    _, helped = both
    assert helped.workers is not None
    assert helped.ingestor.ingest_one(item(1), scope=None).chunks == 1
    assert helped.workers.sent == []
