"""What a document said on earlier days is kept, dated, and found only by who asks for such a day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from foundation.components import Context, load
from foundation.errors import Conflict, Forbidden
from foundation.settings import Part
from foundation.types import Scope
from retrieval.contract import DocumentLedger
from retrieval.documents import Block, Parsed, Source
from retrieval.ingest.pipeline import Ingestor
from retrieval.ingest.preparation import Item
from retrieval.search.hybrid import HybridRetriever
from retrieval.settings import RankingSettings

ACME = Scope("acme")
JANUARY = datetime(2026, 1, 10, 9, tzinfo=UTC)


class Calendar:
    """A clock that stands where a test puts it."""

    def __init__(self) -> None:
        self.at = JANUARY

    def now(self) -> datetime:
        return self.at

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError("This clock is a double that is only read: an ingest never waits.")


class World:
    def __init__(self, folder: Path, **ingest: Any) -> None:
        self.clock = Calendar()
        self.context = Context(data_dir=folder, clock=self.clock)
        self.ledger: DocumentLedger = load("retrieval.ledger", Part(use="sqlite"), self.context)
        parts: dict[str, Any] = {
            "ledger": self.ledger,
            "vectors": load("retrieval.vectors", Part(use="memory"), self.context),
            "embedder": load("models.embedder", Part(use="hashing"), self.context),
            "clock": self.clock,
        }
        chunker = load("retrieval.chunker", Part(use="structure"), self.context)
        self.vectors = parts["vectors"]
        self.ingestor = Ingestor(**parts, chunker=chunker, parse=parse, **ingest)
        reranker = load("models.reranker", Part(use="none"), self.context)
        self.retriever = HybridRetriever(**parts, reranker=reranker, ranking=RankingSettings())

    def ingest(self, text: str, *, after_days: int = 0, scope: Scope | None = None, **about: Any) -> Any:
        self.clock.at += timedelta(days=after_days)
        items = [Item(Source("window.md", "acme", **about), text.encode(), "window.md")]
        return self.ingestor.ingest(items, scope=scope)

    def delete(self, scope: Scope, **which: Any) -> bool:
        return self.ingestor.delete("window.md", "acme", scope=scope, **which)

    def found(self, as_of: date | None = None, scope: Scope = ACME) -> list[str]:
        return [hit.chunk.text for hit in self.retriever.retrieve("return window days", scope, as_of=as_of)]

    def names(self) -> list[tuple[str, bool]]:
        return [(one.source.uri, one.superseded) for one in self.ledger.documents_where("acme")]


def parse(content: bytes, name: str) -> Parsed:
    text = content.decode()
    return Parsed(text, (Block("paragraph", 0, len(text)),))


@pytest.fixture
def world(data_dir: Path) -> Iterator[World]:
    made = World(data_dir)
    yield made
    made.ledger.close()


OLD, NEW, NEWEST = (f"The return window is {days} days." for days in (14, 30, 60))


def test_a_replaced_text_is_kept_and_answers_only_who_asks_for_its_day(world: World) -> None:
    world.ingest(OLD)
    report = world.ingest(NEW, after_days=60)
    assert (report.replaced, report.chunks, report.embedded) == (1, 1, 1)
    assert world.found() == [NEW]
    assert world.found(date(2026, 2, 1)) == [OLD]
    assert world.found(date(2026, 3, 11)) == [NEW]
    assert world.names() == [("window.md", False), ("window.md@2026-01-10", True)]
    assert world.vectors.count() == world.ledger.chunk_count() == 2


def test_each_of_several_versions_has_its_days(world: World) -> None:
    world.ingest(OLD)
    world.ingest(NEW, after_days=60)
    world.ingest(NEWEST, after_days=60)
    assert [world.found(date(2026, month, 20)) for month in (1, 4, 6)] == [[OLD], [NEW], [NEWEST]]
    assert world.ingest(NEWEST, after_days=60).unchanged == 1


def test_a_correction_on_the_same_day_leaves_no_version(world: World) -> None:
    world.ingest(OLD)
    world.ingest(NEW)
    assert world.names() == [("window.md", False)]
    world.ingest(NEWEST, after_days=60)
    world.ingest(NEWEST + " Unopened.")
    assert world.found() == [NEWEST + " Unopened."]
    assert world.found(date(2026, 2, 1)) == [NEW]
    assert len(world.names()) == 2


def test_what_is_only_known_otherwise_is_no_new_version_and_keeps_its_day(world: World) -> None:
    world.ingest(OLD)
    world.ingest(NEW, after_days=60)
    world.ingest(NEW, after_days=60, title="Returns")
    assert len(world.names()) == 2
    assert world.found(date(2026, 2, 1)) == [OLD]
    assert world.found(date(2026, 3, 20)) == [NEW]


def test_new_access_rights_hold_for_earlier_versions_too(world: World) -> None:
    board = Scope("acme", frozenset({"board"}))
    world.ingest(OLD)
    world.ingest(NEW, after_days=60)
    world.ingest(NEW, after_days=1, groups=frozenset({"board"}))
    for day in (None, date(2026, 2, 1)):
        assert world.found(day) == []
        assert len(world.found(day, board)) == 1
    world.ingest(NEWEST, after_days=60, groups=frozenset({"board"}))
    assert world.found(date(2026, 4, 20)) == []
    assert world.found(date(2026, 4, 20), board) == [NEW]


def test_what_is_known_of_a_document_now_is_known_of_its_earlier_versions(world: World) -> None:
    world.ingest(OLD)
    world.ingest(NEW, after_days=60)
    world.ingest(NEW, after_days=1, attributes={"data_class": "restricted", "product": "QL-20"})
    assert {one.source.attributes.get("product") for one in world.ledger.documents_where("acme")} == {"QL-20"}


def test_an_earlier_version_is_read_by_those_who_may_see_its_class_and_that_of_the_document(world: World) -> None:
    world.ingest(OLD)
    world.ingest(NEW, after_days=60, attributes={"data_class": "restricted"})
    day = date(2026, 2, 1)
    assert world.found(day, Scope("acme", classes=frozenset({"restricted", "unclassified"}))) == [OLD]
    assert world.found(day, Scope("acme", classes=frozenset({"restricted"}))) == []
    assert world.found(day, Scope("acme", classes=frozenset({"unclassified"}))) == []
    assert world.found(day, Scope("acme")) == [OLD]


HR, DESK = frozenset({"hr"}), frozenset({"desk"})
HANNA, ADAM = Scope("acme", HR, frozenset({"unclassified"})), Scope("acme", classes=frozenset({"unclassified"}))


def test_opening_a_document_opens_nothing_that_it_said_before(world: World) -> None:
    world.ingest(OLD, groups=HR, scope=HANNA)
    world.ingest(NEW, after_days=60, scope=HANNA)
    assert (world.found(scope=ADAM), world.found(scope=HANNA)) == ([NEW], [NEW])
    assert (world.found(date(2026, 2, 1), ADAM), world.found(date(2026, 2, 1), HANNA)) == ([], [OLD])
    world.ingest(NEWEST, after_days=60, scope=ADAM)
    assert (world.found(scope=ADAM), world.found(scope=HANNA)) == ([NEWEST], [NEWEST])
    assert (world.found(date(2026, 2, 1), ADAM), world.found(date(2026, 2, 1), HANNA)) == ([], [OLD])
    assert world.delete(ADAM)
    assert world.names() == [], "versions follow their document, whoever may read them"


def test_nothing_is_left_to_anybody_where_the_groups_have_nobody_in_common(world: World) -> None:
    world.ingest(OLD, groups=HR)
    world.ingest(NEW, after_days=60, groups=DESK)
    for scope in (Scope("acme"), Scope("acme", HR), Scope("acme", DESK), Scope("acme", HR | DESK)):
        assert world.found(date(2026, 2, 1), scope) == []
    assert world.names() == [("window.md", False), ("window.md@2026-01-10", True)]


@pytest.mark.parametrize("about", [{"groups": HR}, {"attributes": {"data_class": "secret"}}])
def test_a_document_that_the_writer_may_not_read_is_not_replaced_and_not_told_of(
    world: World, about: dict[str, Any]
) -> None:
    world.ingest(OLD, **about)
    empty = World(world.context.data_dir / "empty")
    for told in ({"effective_from": date(2099, 1, 1)}, {}):
        with_it, without = (one.ingest(NEW, after_days=1, scope=ADAM, **told) for one in (world, empty))
        assert with_it == without
        assert world.found(scope=ADAM) == empty.found(scope=ADAM)
    owner = Scope("acme", HR)
    assert sorted(world.found(scope=owner)) == sorted([OLD, NEW])
    assert world.delete(ADAM) is empty.delete(ADAM) is True
    assert world.delete(ADAM) is empty.delete(ADAM) is False
    assert world.found(scope=owner) == [OLD]
    empty.ledger.close()


def test_a_document_keeps_one_name_when_its_readers_change(world: World) -> None:
    world.ingest(OLD, scope=HANNA)
    world.ingest(OLD, groups=HR, scope=HANNA)
    assert (world.found(scope=ADAM), world.found(scope=HANNA)) == ([], [OLD])
    assert len(world.names()) == 1


def test_what_a_name_of_several_documents_means_is_asked(world: World) -> None:
    boss = replace(HANNA, groups=HR | DESK)
    world.ingest(OLD, groups=HR)
    world.ingest(NEW, groups=DESK, scope=replace(HANNA, groups=DESK))
    [refused] = world.ingest(NEWEST, scope=boss).refused
    assert refused.reason == "ambiguous"
    assert world.ledger.refusals_of("acme", uri="window.md") == [], "it would tell others what is there"
    assert "(desk, unclassified; hr, unclassified)" in refused.message
    assert world.ingest(NEWEST, groups=DESK, scope=boss).replaced == 1
    assert sorted(world.found(scope=boss)) == sorted([OLD, NEWEST])
    with pytest.raises(Conflict, match="2 documents that you may read are named"):
        world.delete(boss)
    [wanted] = world.ledger.documents(replace(HANNA, groups=DESK))
    assert world.delete(boss, document_id=wanted.document_id)
    assert world.found(scope=boss) == [OLD]
    assert world.ingest(NEWEST, scope=HANNA).replaced == 1, "for whoever sees one of them it is clear"


@pytest.mark.parametrize("about", [{"groups": HR}, {"groups": HR | DESK}, {"attributes": {"data_class": "secret"}}])
def test_nobody_plants_what_they_could_not_read_themselves(world: World, about: dict[str, Any]) -> None:
    with pytest.raises(Forbidden, match="You could not read this document yourself"):
        world.ingest(OLD, scope=ADAM, **about)
    assert world.names() == []


def test_a_decoy_in_the_series_of_an_unseen_document_supersedes_nothing(world: World) -> None:
    world.ingest(OLD, groups=HR, series="returns", effective_from=date(2026, 1, 1), scope=HANNA)
    decoy = Source("decoy.md", "acme", series="returns", effective_from=date(2026, 1, 2))
    world.ingestor.ingest([Item(decoy, NEW.encode(), "decoy.md")], scope=ADAM)
    assert sorted(world.found(scope=HANNA)) == sorted([OLD, NEW])
    world.ingestor.ingest(
        [Item(replace(decoy, uri="new.md", effective_from=date(2026, 1, 3)), NEWEST.encode(), "a.md")], scope=HANNA
    )
    assert world.found(scope=HANNA) == [NEWEST]


def test_a_deleted_document_takes_its_versions_with_it(world: World) -> None:
    world.ingest(OLD)
    world.ingest(NEW, after_days=60)
    world.ingest(NEWEST, after_days=60)
    assert world.ingestor.delete("window.md", "acme", scope=None)
    assert world.names() == []
    assert world.vectors.count() == 0
    assert world.found(date(2026, 2, 1)) == []


def test_a_series_and_days_of_ones_own_stand(world: World) -> None:
    about = {"series": "returns", "effective_from": date(2025, 1, 1)}
    world.ingest(OLD, **about)
    world.ingest(NEW, after_days=60, **about)
    assert world.names() == [("window.md", False)], "the same day: a correction"
    world.ingest(NEWEST, **about | {"effective_from": date(2026, 3, 1)})
    assert world.found(date(2026, 2, 1)) == [NEW]
    assert {one.source.series for one in world.ledger.documents_where("acme")} == {"returns"}


def test_versions_follow_into_a_series_that_is_named_later(world: World) -> None:
    world.ingest(OLD)
    world.ingest(NEW, after_days=60)
    world.ingest(NEW, after_days=1, series="returns")
    assert [one.source.series for one in world.ledger.documents_where("acme")] == ["returns", "returns"]
    assert world.found() == [NEW]
    assert world.found(date(2026, 2, 1)) == [OLD]


def test_nothing_is_kept_where_that_is_switched_off(data_dir: Path) -> None:
    world = World(data_dir, keep_replaced=False)
    world.ingest(OLD)
    world.ingest(NEW, after_days=60)
    assert world.names() == [("window.md", False)]
    assert world.found(date(2026, 2, 1)) == [NEW]
    world.ledger.close()
