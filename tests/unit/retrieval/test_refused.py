"""Refused documents: kept as they were offered, tried again, forgotten when taken or deleted."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from foundation.components import Context, load
from foundation.errors import DocumentRefused
from foundation.settings import Part
from foundation.types import Scope
from retrieval.contract import DocumentLedger
from retrieval.documents import Block, Parsed, Source
from retrieval.ingest.pipeline import Ingestor
from retrieval.ingest.preparation import Item
from retrieval.ingest.refused_files import RefusedFiles

BOARD = Source("plan.md", "acme", frozenset({"board"}), "The plan", "text/markdown", "plans", date(2026, 1, 2), None)


def item(uri: str, content: bytes = b"text\nof\0many bytes", *, tenant: str = "acme") -> Item:
    return Item(Source(uri, tenant), content, uri)


class Desk:
    """An ingestor whose parser can be mended."""

    def __init__(self, data_dir: Path) -> None:
        context = Context(data_dir=data_dir)
        self.ledger: DocumentLedger = load("retrieval.ledger", Part(use="sqlite"), context)
        self.kept = RefusedFiles(data_dir / "refused", max_mb=1)
        self.mended = False
        self.ingestor = Ingestor(
            ledger=self.ledger,
            vectors=load("retrieval.vectors", Part(use="memory"), context),
            embedder=load("models.embedder", Part(use="hashing"), context),
            chunker=load("retrieval.chunker", Part(use="structure"), context),
            parse=self.parse,
            clock=context.clock,
            refused=self.kept,
        )

    def parse(self, content: bytes, name: str) -> Parsed:
        text = content.decode()
        if not self.mended or text == "bad":
            raise DocumentRefused(f"{name} cannot be read yet.", reason="malformed")
        return Parsed(text, (Block("paragraph", 0, len(text)),))

    def refusals(self, tenant: str = "acme") -> list[str]:
        return [one.uri for one in self.ledger.refusals(Scope(tenant))]


@pytest.fixture
def desk(data_dir: Path) -> Iterator[Desk]:
    made = Desk(data_dir)
    yield made
    made.ledger.close()


def test_what_is_kept_comes_back_with_everything_that_was_known_about_it(data_dir: Path) -> None:
    kept = RefusedFiles(data_dir / "refused", max_mb=1)
    whole = Item(BOARD, b"{}\n\x00\xff\n", "plan.md")
    assert kept.keep(whole)
    assert list(kept.items("acme")) == [whole]
    assert list(kept.items("other")) == []
    (file,) = (data_dir / "refused").iterdir()
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept.forget(BOARD.document_id)
    assert list(kept.items("acme")) == []


def test_the_oldest_makes_room_and_what_is_larger_than_all_the_room_is_not_kept(data_dir: Path) -> None:
    kept = RefusedFiles(data_dir / "refused", max_mb=0.0012)
    for age, name in enumerate(["old", "new"]):
        kept.keep(item(name, b"x" * 300))
        os.utime(data_dir / "refused" / f"{Source(name, 'acme').document_id}.refused", (age, age))
    assert kept.keep(item("newest", b"x" * 300))
    assert [one.source.uri for one in kept.items("acme")] == ["new", "newest"]
    assert not kept.keep(item("huge", b"x" * 5_000))
    assert not RefusedFiles(data_dir / "none", max_mb=0).keep(item("any"))


def test_a_folder_that_cannot_be_written_costs_the_second_try_only(data_dir: Path) -> None:
    (data_dir / "refused").write_text("a file where the folder should be")
    assert not RefusedFiles(data_dir / "refused", max_mb=1).keep(item("any"))


def test_a_mended_parser_takes_what_was_refused_and_leaves_what_is_still_bad(desk: Desk) -> None:
    desk.ingestor.ingest([item("good.md", b"Nine hours."), item("bad.md", b"bad"), item("theirs.md", tenant="other")])
    desk.mended = True
    report = desk.ingestor.retry("acme", scope=None)
    assert (report.added, [one.uri for one in report.refused]) == (1, ["bad.md"])
    assert desk.refusals() == ["bad.md"]
    assert desk.refusals("other") == ["theirs.md"]
    assert [one.source.uri for one in desk.kept.items("acme", "other")] == ["bad.md", "theirs.md"]


def test_a_deleted_document_is_not_kept_for_another_try(desk: Desk) -> None:
    desk.ingestor.ingest([item("plan.md")])
    assert desk.ingestor.delete("plan.md", "acme", scope=None)
    assert list(desk.kept.items("acme")) == []


def test_a_better_copy_makes_the_kept_one_useless(desk: Desk) -> None:
    desk.ingestor.ingest([item("plan.md", b"Old.")])
    desk.mended = True
    desk.ingestor.ingest([item("plan.md", b"New.")])
    assert list(desk.kept.items("acme")) == []
    assert desk.ingestor.retry("acme", scope=None).added == 0
