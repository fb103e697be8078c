"""Documents into the ledger: what is counted, what is refused, what is embedded, and what stays after a failure."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from foundation.components import Context, load
from foundation.errors import DocumentRefused, IndexRebuilding, Stopped, StorageFull, StoreUnavailable, UpstreamDown
from foundation.settings import Part
from foundation.types import EVERY_TENANT, Scope
from models.contract import Embeddings
from retrieval.contract import DocumentLedger, VectorIndex
from retrieval.documents import Block, Entry, Parsed, Source, VectorItem, Vectors
from retrieval.index.maintenance import SameParts, fingerprint_of, open_index, reindex
from retrieval.ingest.pipeline import SENT_ITEMS as BATCH
from retrieval.ingest.pipeline import UNDER_WAY, Ingestor
from retrieval.ingest.preparation import Item

ACME = Scope("acme")


class Through:
    """Stands before a part; what a test does not override goes through to the real one."""

    def __init__(self, part: Any) -> None:
        self.part = part

    def __getattr__(self, name: str) -> Any:
        return getattr(self.part, name)


class CountingEmbedder(Embeddings):
    """Remembers the size of each call, and fails when it is told to."""

    def __init__(self, inner: Embeddings) -> None:
        self.inner = inner
        self.calls: list[list[str]] = []
        self.broken = False

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        if self.broken:
            raise UpstreamDown("The model is gone. Look for it.")
        self.calls.append(texts)
        return self.inner.embed_documents(texts)

    def embed_query(self, text: str) -> list[float]:
        return self.inner.embed_query(text)

    @property
    def texts(self) -> int:
        return sum(len(call) for call in self.calls)


class FailingIndex(Through):
    broken = True

    def upsert(self, items: Iterable[VectorItem]) -> None:
        if self.broken:
            raise StoreUnavailable("The index is gone. Look for it.")
        self.part.upsert(items)


class FullLedger(Through):
    full = False

    def put(self, entries: Sequence[Entry], **more: Any) -> Any:
        if self.full:
            raise StorageFull("The disk is full. Free some space.")
        return self.part.put(entries, **more)


def parse(content: bytes, name: str) -> Parsed:
    """A parser of the simplest format: one paragraph a line, and a way to be refused."""
    text = content.decode()
    if text.startswith("refuse"):
        raise DocumentRefused(f"{name} asks to be refused.", reason="malformed")
    blocks, start = [], 0
    for line in text.splitlines():
        blocks.append(Block("paragraph", start, start + len(line)))
        start += len(line) + 1
    return Parsed(text, tuple(block for block in blocks if block.end > block.start), title="Told by the text")


def item(uri: str, text: str = "Refunds take fourteen days.", *, tenant: str = "acme", **about: Any) -> Item:
    return Item(Source(uri, tenant, **about), text.encode(), Path(uri).name)


@dataclass
class Desk:
    ledger: DocumentLedger
    vectors: VectorIndex
    embedder: CountingEmbedder
    context: Context
    parts: dict[str, Any] = field(default_factory=dict)

    def ingestor(self, **parts: Any) -> Ingestor:
        usual: dict[str, Any] = {
            "ledger": self.ledger,
            "vectors": self.vectors,
            "embedder": self.embedder,
            "chunker": load("retrieval.chunker", Part(use="structure"), self.context),
            "parse": parse,
            "clock": self.context.clock,
        }
        return Ingestor(**(usual | parts))

    def stored(self) -> list[tuple[str, Vectors]]:
        return [(entry.source.uri, entry.vectors) for entry in self.ledger.entries()]

    def texts(self, scope: Scope = ACME) -> dict[str, str | None]:
        return {known.source.uri: self.ledger.text(known.document_id, scope) for known in self.ledger.documents(scope)}


@pytest.fixture
def desk(data_dir: Path) -> Iterator[Desk]:
    context = Context(data_dir=data_dir)
    ledger = load("retrieval.ledger", Part(use="sqlite"), context)
    embedder = CountingEmbedder(load("models.embedder", Part(use="hashing"), context))
    yield Desk(ledger, load("retrieval.vectors", Part(use="memory"), context), embedder, context)
    ledger.close()


def test_each_item_is_counted_once_as_what_became_of_it(desk: Desk) -> None:
    ingestor = desk.ingestor()
    ingestor.ingest([item("same.md"), item("changing.md", "Old.")])
    report = ingestor.ingest(
        [item("same.md"), item("changing.md", "New."), item("new.md", "More."), item("bad.md", "refuse me")]
    )
    assert (report.added, report.replaced, report.unchanged) == (1, 1, 1)
    assert [(each.uri, each.reason, each.tenant) for each in report.refused] == [("bad.md", "malformed", "acme")]
    assert (report.chunks, report.embedded) == (2, 2)
    assert report.seconds >= 0


def test_what_was_ingested_is_in_the_ledger_and_in_the_index(desk: Desk) -> None:
    desk.ingestor().ingest([item("a.md", "One."), item("b.md", "Two.")])
    assert desk.texts() == {"a.md": "One.", "b.md": "Two."}
    assert desk.vectors.count() == desk.ledger.chunk_count() == 2
    assert desk.vectors.sequence() == desk.ledger.sequence()


def test_nothing_is_parsed_or_embedded_where_nothing_changed(desk: Desk) -> None:
    ingestor = desk.ingestor()
    ingestor.ingest([item("a.md"), item("b.md")])
    before, sequence = desk.embedder.texts, desk.ledger.sequence()
    report = desk.ingestor(parse=lambda *_: pytest.fail("parsed")).ingest([item("a.md"), item("b.md")])
    assert (report.unchanged, report.embedded) == (2, 0)
    assert (desk.embedder.texts, desk.ledger.sequence()) == (before, sequence)


@pytest.mark.parametrize(
    "change", [{"groups": frozenset({"board"})}, {"title": "T"}, {"series": "s"}, {"media_type": "x/y"}]
)
def test_new_rights_or_a_new_title_are_a_change_too(desk: Desk, change: dict[str, Any]) -> None:
    ingestor = desk.ingestor()
    ingestor.ingest([item("a.md")])
    assert ingestor.ingest([item("a.md", **change)]).replaced == 1
    scope = Scope("acme", frozenset({"board"}))
    [stored] = desk.ledger.documents(scope)
    assert {name: getattr(stored.source, name) for name in change} == change
    assert ingestor.ingest([item("a.md", **change)]).unchanged == 1


def test_a_new_file_name_is_a_change_because_it_chooses_the_parser(desk: Desk) -> None:
    ingestor = desk.ingestor()
    ingestor.ingest([item("a")])
    assert ingestor.ingest([replace(item("a"), name="a.html")]).replaced == 1


def test_the_later_of_two_items_with_one_name_stays(desk: Desk) -> None:
    report = desk.ingestor().ingest([item("a.md", "First."), item("a.md", "Second."), item("a.md", "Second.")])
    assert desk.texts() == {"a.md": "Second."}
    assert (report.added, report.replaced, report.unchanged) == (1, 1, 1)


def test_tenants_do_not_replace_each_other(desk: Desk) -> None:
    desk.ingestor().ingest(
        [item("a.md", "Ours."), item("a.md", "Theirs.", tenant="globex"), item("b.md", "All.", tenant=EVERY_TENANT)]
    )
    assert desk.texts() == {"a.md": "Ours.", "b.md": "All."}
    assert desk.texts(Scope("globex")) == {"a.md": "Theirs.", "b.md": "All."}


def test_the_given_title_stands_over_every_passage_and_else_the_one_that_the_text_tells(desk: Desk) -> None:
    desk.ingestor().ingest([item("a.md", title="Given"), item("b.md")])
    titles = {
        entry.source.uri: (entry.source.title, entry.chunks[0].heading_path[0]) for entry in desk.ledger.entries()
    }
    assert titles == {"a.md": ("Given", "Given"), "b.md": ("Told by the text", "Told by the text")}


def test_many_documents_are_embedded_in_one_call(desk: Desk) -> None:
    desk.ingestor().ingest(item(f"{n}.md", f"Passage {n}.") for n in range(20))
    assert len(desk.embedder.calls) == 1


def test_the_items_are_streamed_and_few_are_held_at_a_time(desk: Desk) -> None:
    held: list[int] = []

    def items() -> Iterator[Item]:
        for n in range(6 * BATCH + 10):
            held.append(n - desk.ledger.chunk_count())
            yield item(f"{n}.md", f"Passage {n}.")

    report = desk.ingestor().ingest(items())
    assert max(held) <= (UNDER_WAY + 1) * BATCH
    assert (report.added, report.chunks, report.embedded) == (6 * BATCH + 10,) * 3
    assert desk.vectors.count() == 6 * BATCH + 10


def test_a_batch_is_embedded_while_the_one_before_it_is_committed(desk: Desk) -> None:
    embedded = threading.Event()

    class Waiting(Through):
        """Commits the first batch only when the second one has been embedded."""

        def put(self, entries: Sequence[Entry], **more: Any) -> Any:
            assert embedded.wait(60)
            return self.part.put(entries, **more)

    class Telling(CountingEmbedder):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            found = super().embed_documents(texts)
            if len(self.calls) == 2:
                embedded.set()
            return found

    ingestor = desk.ingestor(ledger=Waiting(desk.ledger), embedder=Telling(desk.embedder))
    assert ingestor.ingest(item(f"{n}.md", f"Passage {n}.") for n in range(2 * BATCH)).added == 2 * BATCH


def test_one_name_in_two_batches_is_taken_twice_in_their_order(desk: Desk) -> None:
    others = [item(f"{n}.md", f"Passage {n}.") for n in range(BATCH)]
    report = desk.ingestor().ingest([item("a.md", "First."), *others, item("a.md", "Second."), item("a.md", "Second.")])
    assert (report.added, report.replaced, report.unchanged) == (BATCH + 1, 1, 1)
    assert desk.texts()["a.md"] == "Second."


def test_a_batch_that_fails_behind_others_is_an_error_and_what_was_committed_stays(desk: Desk) -> None:
    class FailsAt(CountingEmbedder):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            self.broken = len(self.calls) == 1
            return super().embed_documents(texts)

    with pytest.raises(UpstreamDown):
        desk.ingestor(embedder=FailsAt(desk.embedder)).ingest(
            item(f"{n}.md", f"Passage {n}.") for n in range(5 * BATCH)
        )
    assert desk.ledger.document_count() == BATCH
    assert desk.vectors.count() == BATCH


def test_a_passage_that_is_stored_already_is_not_embedded_again(desk: Desk) -> None:
    ingestor = desk.ingestor()
    ingestor.ingest([item("a.md", "One.\nTwo.\nThree."), item("b.md", "Four.")])
    before = desk.embedder.texts
    renamed = ingestor.ingest([item("moved/a.md", "One.\nTwo.\nThree.")])
    rights = ingestor.ingest([item("b.md", "Four.", groups=frozenset({"board"}))])
    assert (renamed.added, renamed.embedded, rights.replaced, rights.embedded) == (1, 0, 1, 0)
    assert desk.embedder.texts == before
    old, new = (vectors for uri, vectors in desk.stored() if uri.endswith("a.md"))
    assert old.tobytes() == new.tobytes()


def test_a_passage_that_stands_in_several_new_documents_is_embedded_once(desk: Desk) -> None:
    report = desk.ingestor().ingest([item("a.md", "Same."), item("b.md", "Same."), item("c.md", "Other.")])
    assert (report.chunks, report.embedded) == (3, 2)
    assert desk.embedder.texts == 2


def test_another_tenants_passages_are_embedded_as_if_they_were_not_there(desk: Desk) -> None:
    ingestor = desk.ingestor()
    ingestor.ingest([item("a.md", "Same.", tenant="globex")])
    assert ingestor.ingest([item("a.md", "Same.")]).embedded == 1


def test_progress_is_told_how_many_items_are_done(desk: Desk) -> None:
    told: list[int] = []
    desk.ingestor().ingest([item("a.md"), item("b.md", "refuse"), item("a.md")], progress=told.append)
    assert told == [2, 3]


def test_a_refused_document_is_remembered_until_a_readable_one_takes_its_place(desk: Desk) -> None:
    ingestor = desk.ingestor()
    ingestor.ingest([item("a.md", "refuse me")])
    [refusal] = desk.ledger.refusals(ACME)
    assert (refusal.uri, refusal.reason, refusal.message) == ("a.md", "malformed", "a.md asks to be refused.")
    ingestor.ingest([item("a.md", "Readable.")])
    assert desk.ledger.refusals(ACME) == []


def test_a_refused_replacement_leaves_the_old_document_and_offering_that_again_clears_the_refusal(desk: Desk) -> None:
    ingestor = desk.ingestor()
    ingestor.ingest([item("a.md", "Good.")])
    ingestor.ingest([item("a.md", "refuse me")])
    assert desk.texts() == {"a.md": "Good."}
    ingestor.ingest([item("a.md", "Good.")])
    assert desk.ledger.refusals(ACME) == []


def test_a_file_that_could_not_be_read_is_refused_with_its_reason_and_the_others_are_taken(desk: Desk) -> None:
    lost = replace(item("b.md", ""), unread=DocumentRefused("It is locked.", reason="unreadable"))

    report = desk.ingestor().ingest([item("a.md"), lost, item("c.md", "Parcels wait.")])

    assert report.added == 2
    assert [(row.uri, row.reason, row.message) for row in report.refused] == [("b.md", "unreadable", "It is locked.")]


def test_a_document_without_text_is_refused_as_empty(desk: Desk) -> None:
    report = desk.ingestor().ingest([item("scan.pdf", "\n\n")])
    assert [each.reason for each in report.refused] == ["empty"]


def test_one_document_is_given_back_as_stored(desk: Desk) -> None:
    stored = desk.ingestor().ingest_one(item("a.md"), scope=None)
    assert stored == desk.ledger.find(item("a.md").source.document_id)


@pytest.mark.parametrize("text", ["Harmless.", "refuse", "\n\n"])
@pytest.mark.parametrize("before", [0, 1])
def test_whoever_is_stopped_while_their_document_is_taken_in_leaves_nothing(desk: Desk, text: str, before: int) -> None:
    """It is asked before the embedding and before the commit, and before a refusal is noted."""
    questions = []

    def demand() -> None:
        questions.append(desk.embedder.texts)
        if len(questions) > before or text != "Harmless.":
            raise Stopped("They were stopped.")

    with pytest.raises(Stopped):
        desk.ingestor().ingest_one(item("a.md", text), scope=None, demand=demand)
    assert (desk.texts(), desk.ledger.refusals(ACME), desk.ledger.sequence()) == ({}, [], 0)
    if text == "Harmless.":
        assert questions == [0, 1][: before + 1]


def test_one_refused_document_is_an_error_and_remembered(desk: Desk) -> None:
    with pytest.raises(DocumentRefused, match="asks to be refused") as caught:
        desk.ingestor().ingest_one(item("a.md", "refuse"), scope=None)
    assert caught.value.reason == "malformed"
    assert len(desk.ledger.refusals(ACME)) == 1


def test_a_deleted_document_is_gone_from_ledger_and_index(desk: Desk) -> None:
    ingestor = desk.ingestor()
    ingestor.ingest([item("a.md"), item("b.md")])
    assert ingestor.delete("a.md", "acme", scope=None)
    assert not ingestor.delete("a.md", "acme", scope=None)
    assert list(desk.texts()) == ["b.md"]
    assert desk.vectors.count() == 1


def test_a_document_that_was_deleted_and_comes_back_is_found_by_its_vector(desk: Desk) -> None:
    ingestor = desk.ingestor()
    ingestor.ingest([item("a.md")])
    ingestor.delete("a.md", "acme", scope=None)
    ingestor.ingest([item("a.md")])
    assert desk.vectors.count() == 1


def test_when_the_embedder_fails_nothing_is_half_written_and_the_next_try_succeeds(desk: Desk) -> None:
    ingestor = desk.ingestor()
    ingestor.ingest([item("old.md")])
    desk.embedder.broken = True
    with pytest.raises(UpstreamDown):
        ingestor.ingest([item("a.md", "One."), item("b.md", "Two.")])
    assert list(desk.texts()) == ["old.md"]
    desk.embedder.broken = False
    assert ingestor.ingest([item("a.md", "One."), item("b.md", "Two.")]).added == 2


def test_when_the_ledger_is_full_nothing_is_acknowledged(desk: Desk) -> None:
    ledger = FullLedger(desk.ledger)
    ingestor = desk.ingestor(ledger=ledger)
    ledger.full = True
    with pytest.raises(StorageFull):
        ingestor.ingest_one(item("a.md"), scope=None)
    assert desk.texts() == {}


def test_when_the_index_fails_the_commit_stands_and_the_next_one_makes_up_for_it(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    index = FailingIndex(desk.vectors)
    ingestor = desk.ingestor(vectors=index)
    stored = ingestor.ingest_one(item("a.md"), scope=None)
    assert desk.ledger.find(item("a.md").source.document_id) == stored
    assert desk.vectors.sequence() < desk.ledger.sequence(), "readiness compares the two"
    assert "could not follow" in caplog.text
    index.broken = False
    assert ingestor.ingest([item("a.md")]).unchanged == 1, "even a commit of nothing catches up"
    assert (desk.vectors.count(), desk.vectors.sequence()) == (1, desk.ledger.sequence())


def test_an_upload_does_not_wait_for_a_folder_that_is_being_read(desk: Desk) -> None:
    ingestor, reached, go_on = desk.ingestor(), threading.Event(), threading.Event()

    def slow_folder() -> Iterator[Item]:
        yield item("first.md")
        reached.set()
        assert go_on.wait(60)
        yield item("last.md")

    with ThreadPoolExecutor(1) as pool:
        folder = pool.submit(ingestor.ingest, slow_folder())
        assert reached.wait(60)
        ingestor.ingest_one(item("upload.md"), scope=None)
        assert "upload.md" in desk.texts()
        go_on.set()
        assert folder.result().added == 2


def test_writers_side_by_side_lose_nothing(desk: Desk) -> None:
    ingestor = desk.ingestor()
    act: Callable[[int], object] = lambda n: ingestor.ingest([item(f"{n} {k}.md", f"Text {n} {k}.") for k in range(5)])  # noqa: E731
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(act, range(8)))
    assert len(desk.texts()) == desk.vectors.count() == 40


@pytest.mark.needs("retrieval.chunkers.fixed")
def test_an_ingestor_follows_a_reindex_of_the_same_parts_and_reports_one_of_others(desk: Desk) -> None:
    chunker, words = (load("retrieval.chunker", Part(use=use), desk.context) for use in ("structure", "fixed"))
    before, other = (fingerprint_of("hashing", desk.embedder, parts) for parts in (chunker, words))
    index = load("retrieval.vectors", Part(use="exact"), desk.context)
    ingestor = desk.ingestor(vectors=index, same_parts=SameParts(desk.ledger, before, index))
    open_index(desk.ledger, index, before)
    ingestor.ingest([item("a.md"), item("b.md")])
    reindex(desk.ledger, embedder=desk.embedder, chunker=chunker, fingerprint=before)
    assert index.version_token() != desk.ledger.version_token(index.sequence())
    assert ingestor.follow()
    assert (index.count(), index.version_token()) == (2, desk.ledger.version_token(index.sequence()))
    reindex(desk.ledger, embedder=desk.embedder, chunker=words, fingerprint=other)
    with pytest.raises(IndexRebuilding, match=r"chunker fixed 1 160/30.*Start it again"):
        ingestor.follow()
    index.close()


def test_an_index_that_cannot_follow_is_said_to_be_behind(desk: Desk) -> None:
    index = FailingIndex(desk.vectors)
    ingestor = desk.ingestor(vectors=index)
    ingestor.ingest([item("a.md")])
    assert not ingestor.follow()
    index.broken = False
    assert ingestor.follow()
