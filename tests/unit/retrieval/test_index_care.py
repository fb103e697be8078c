"""The vector index follows the ledger: opened only when it fits, caught up, rebuilt when in doubt, reindexed on demand."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from foundation.components import Context, load
from foundation.errors import FingerprintMismatch, IndexRebuilding, UpstreamDown
from foundation.settings import Part
from foundation.types import Scope
from models.contract import Embeddings
from models.embedding import embed, probe
from retrieval.contract import Chunker, DocumentLedger, VectorIndex
from retrieval.documents import Chunk, Entry, Fingerprint, Parsed, Source, VectorItem
from retrieval.index.exact_search import ExactIndex
from retrieval.index.maintenance import SameParts, _knows, catch_up, open_index, reindex

ACME = Scope("acme")


class ByWords:
    """One chunk a word."""

    version = "words 1"

    def chunk(self, parsed: Parsed, document_id: str) -> list[Chunk]:
        chunks, start = [], 0
        for position, word in enumerate(parsed.text.split()):
            start = parsed.text.index(word, start)
            chunks.append(Chunk(f"{document_id} {position}", document_id, position, word, start, start + len(word)))
        return chunks


class Recording:
    """Notes what an index is told."""

    def __init__(self, part: Any) -> None:
        self.part = part
        self.told: list[str] = []

    def upsert(self, items: Iterable[VectorItem]) -> None:
        given = list(items)
        self.told.extend(item.chunk_id for item in given)
        self.part.upsert(given)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.part, name)


class Breaks(Embeddings):
    """Embeds the first documents and then fails."""

    def __init__(self, inner: Embeddings, calls: int) -> None:
        self.inner, self.left = inner, calls

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.left -= 1
        if self.left < 0:
            raise UpstreamDown("The model is gone. Look for it.")
        return self.inner.embed_documents(texts)

    def embed_query(self, text: str) -> list[float]:
        return self.inner.embed_query(text)


@dataclass
class Store:
    ledger: DocumentLedger
    vectors: VectorIndex
    embedder: Embeddings

    def add(
        self, uri: str, text: str, *, content_hash: str = "hash", parsers: tuple[str, ...] = (), **about: Any
    ) -> None:
        source = Source(uri, "acme", **about)
        chunk = Chunk(f"{uri} {text}", source.document_id, 0, text, 0, len(text))
        parsed = Parsed(text, (), parsers=parsers)
        entry = Entry(source, content_hash, parsed, [chunk], embed(self.embedder, [text]))
        self.ledger.put([entry], gone=[one.document_id for one in self.ledger.documents_where("acme", uri=uri)])

    def fingerprint(self, **changes: Any) -> Fingerprint:
        probes = probe(self.embedder)
        return replace(Fingerprint("hashing", len(probes[0]), probes, "structure 1"), **changes)

    def reindex(self, chunker: Chunker, **changes: Any) -> int:
        given = {"embedder": self.embedder, "fingerprint": self.fingerprint(chunker="words 1")} | changes
        return reindex(self.ledger, chunker=chunker, **given)


@pytest.fixture
def store(data_dir: Path) -> Iterator[Store]:
    context = Context(data_dir=data_dir)
    ledger = load("retrieval.ledger", Part(use="sqlite"), context)
    vectors = load("retrieval.vectors", Part(use="memory"), context)
    yield Store(ledger, vectors, load("models.embedder", Part(use="hashing"), context))
    ledger.close()


# Opening


def test_a_new_ledger_takes_the_fingerprint_of_its_first_writer(store: Store) -> None:
    open_index(store.ledger, store.vectors, store.fingerprint())
    assert store.ledger.fingerprint() == store.fingerprint()


def test_an_empty_ledger_may_still_change_its_embedder(store: Store) -> None:
    open_index(store.ledger, store.vectors, store.fingerprint())
    other = store.fingerprint(embedder="other", dimensions=2, probe=((1.0, 0.0),) * 3)
    open_index(store.ledger, store.vectors, other)
    assert store.ledger.fingerprint() == other


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"embedder": "other", "dimensions": 2, "probe": ((1.0, 0.0),) * 3}, "256 dimensions against 2"),
        ({"chunker": "structure 2"}, "structure 2"),
    ],
)
def test_another_embedder_or_chunker_is_refused_with_both_sides_and_the_way_out(
    store: Store, changes: dict[str, Any], named: str
) -> None:
    open_index(store.ledger, store.vectors, store.fingerprint())
    store.add("a.md", "Refund.")
    with pytest.raises(FingerprintMismatch, match="make reindex") as refused:
        open_index(store.ledger, store.vectors, store.fingerprint(**changes))
    text = str(refused.value)
    assert named in text
    assert "hashing" in text
    assert "structure 1" in text


def test_a_swapped_model_of_the_same_name_and_size_is_noticed(store: Store) -> None:
    open_index(store.ledger, store.vectors, store.fingerprint())
    store.add("a.md", "Refund.")
    swapped = store.fingerprint(probe=tuple(tuple(reversed(vector)) for vector in probe(store.embedder)))
    with pytest.raises(FingerprintMismatch, match="cosine"):
        open_index(store.ledger, store.vectors, swapped)


def test_an_empty_index_is_filled_from_the_ledger(store: Store) -> None:
    for n in range(5):
        store.add(f"{n}.md", f"Refund {n}.")
    open_index(store.ledger, store.vectors, store.fingerprint())
    assert (store.vectors.count(), store.vectors.sequence()) == (5, store.ledger.sequence())


def test_an_index_that_lost_vectors_is_rebuilt(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.add("a.md", "Refund a.")
    store.add("b.md", "Refund b.")
    open_index(store.ledger, store.vectors, store.fingerprint())
    store.vectors.delete(["a.md Refund a."])
    open_index(store.ledger, store.vectors, store.fingerprint())
    assert store.vectors.count() == 2
    assert "holds 1 of 2" in caplog.text


def test_an_index_that_is_ahead_of_the_ledger_is_rebuilt(store: Store) -> None:
    """The ledger was restored from a backup, or another one took its place."""
    store.add("a.md", "Refund.")
    store.vectors.upsert([VectorItem(99, "stranger", "acme", frozenset(), embed(store.embedder, ["x"])[0])])
    store.vectors.set_sequence(99)
    open_index(store.ledger, store.vectors, store.fingerprint())
    found = store.vectors.search(embed(store.embedder, ["Refund."])[0], ACME, limit=9)
    assert [chunk_id for chunk_id, _ in found] == ["a.md Refund."]


def test_an_index_of_another_ledger_is_filled_anew_though_both_have_gone_equally_far(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = replace(store, ledger=load("retrieval.ledger", Part(use="sqlite"), Context(data_dir=tmp_path / "other")))
    other.add("theirs.md", "Secret.")
    catch_up(other.ledger, store.vectors)
    store.add("ours.md", "Refund.")
    assert store.ledger.sequence() == other.ledger.sequence()
    open_index(store.ledger, store.vectors, store.fingerprint())
    other.ledger.close()
    found = store.vectors.search(embed(store.embedder, ["Refund."])[0], ACME, limit=9)
    assert [chunk_id for chunk_id, _ in found] == ["ours.md Refund."]
    assert "is not of this ledger" in caplog.text


def test_a_copy_of_the_ledger_that_went_its_own_way_is_noticed(store: Store, data_dir: Path, tmp_path: Path) -> None:
    """Restored from a backup and written to elsewhere, until it is as far as, or farther than, the index."""
    store.add("a.md", "Refund.")
    with closing(sqlite3.connect(data_dir / "ledger.sqlite")) as source:
        (tmp_path / "copy").mkdir()
        with closing(sqlite3.connect(tmp_path / "copy" / "ledger.sqlite")) as target:
            source.backup(target)
    store.add("here.md", "Here.")
    catch_up(store.ledger, store.vectors)
    copy = replace(store, ledger=load("retrieval.ledger", Part(use="sqlite"), Context(data_dir=tmp_path / "copy")))
    for n in range(3):
        copy.add("there.md", f"There {n}.")
    open_index(copy.ledger, store.vectors, store.fingerprint())
    copy.ledger.close()
    found = store.vectors.search(embed(store.embedder, ["Refund."])[0], ACME, limit=9)
    assert sorted(chunk_id for chunk_id, _ in found) == ["a.md Refund.", "there.md There 2."]


def test_an_index_so_far_behind_that_deletions_are_forgotten_is_filled_anew(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.tables.connection.REMEMBERED", 20)
    store.add("gone.md", "Gone.")
    catch_up(store.ledger, store.vectors)
    behind = store.vectors.sequence()
    store.ledger.delete(Source("gone.md", "acme").document_id)
    for n in range(30):
        store.add(f"{n}.md", f"Refund {n}.")
    assert store.ledger.version_token(behind) is None
    assert list(store.ledger.deletions()) == [], "tombstones do not pile up"
    catch_up(store.ledger, store.vectors)
    assert store.vectors.count() == 30


# Catching up


def test_catching_up_tells_only_what_is_new(store: Store) -> None:
    index = Recording(store.vectors)
    store.add("a.md", "Refund a.")
    catch_up(store.ledger, index)
    store.add("b.md", "Refund b.")
    catch_up(store.ledger, index)
    catch_up(store.ledger, index)
    assert index.told == ["a.md Refund a.", "b.md Refund b."]


class Locked(ExactIndex):
    """An index that is filled under a lock."""

    def __init__(self) -> None:
        super().__init__()
        self.held, self.filled_under = False, list[bool]()

    @contextmanager
    def exclusive(self, *, patient: bool = False) -> Iterator[None]:
        self.held = True
        yield
        self.held = False

    def upsert(self, items: Iterable[VectorItem]) -> None:
        self.filled_under.append(self.held)
        super().upsert(items)


def test_an_index_is_filled_under_its_lock(store: Store) -> None:
    index = Locked()
    store.add("a.md", "Refund a.")
    catch_up(store.ledger, index)
    assert index.filled_under == [True]


def test_a_passage_that_was_deleted_and_added_again_is_present(store: Store) -> None:
    store.add("a.md", "Refund.")
    catch_up(store.ledger, store.vectors)
    store.ledger.delete(Source("a.md", "acme").document_id)
    store.add("a.md", "Refund.")
    catch_up(store.ledger, store.vectors)
    assert store.vectors.count() == 1


def test_new_rights_reach_the_index_though_the_passage_is_the_same(store: Store) -> None:
    store.add("a.md", "Refund.")
    catch_up(store.ledger, store.vectors)
    store.add("a.md", "Refund.", groups=frozenset({"board"}))
    catch_up(store.ledger, store.vectors)
    assert store.vectors.search(embed(store.embedder, ["Refund."])[0], ACME, limit=9) == []


# Reindexing


def test_a_reindex_cuts_and_embeds_everything_anew_and_carries_the_new_fingerprint(store: Store) -> None:
    open_index(store.ledger, store.vectors, store.fingerprint())
    store.add("a.md", "One two three", groups=frozenset({"board"}), title="T")
    store.add("b.md", "Four")
    told: list[tuple[int, int]] = []
    assert store.reindex(ByWords(), progress=lambda *done: told.append(done)) == 2
    assert told == [(2, 2)]
    open_index(store.ledger, store.vectors, store.fingerprint(chunker="words 1"))
    assert (store.ledger.chunk_count(), store.vectors.count()) == (4, 4)
    [document] = [
        known for known in store.ledger.documents(Scope("acme", frozenset({"board"}))) if known.source.uri == "a.md"
    ]
    assert (document.source.title, document.chunks) == ("T", 3)


def test_a_reindex_keeps_a_document_in_which_the_new_chunker_finds_nothing(store: Store) -> None:
    store.add("blank.md", " ")
    assert store.reindex(ByWords()) == 1
    assert [known.chunks for known in store.ledger.documents(ACME)] == [0]
    assert store.reindex(ByWords()) == 1


@pytest.mark.parametrize("change", [{"chunker": "words 1"}, {"embedder": "newer"}])
def test_after_a_reindex_unchanged_documents_stay_unchanged_and_keep_what_read_them(
    store: Store, change: dict[str, str]
) -> None:
    open_index(store.ledger, store.vectors, store.fingerprint())
    store.add("a.md", "One two", parsers=("markdown 2",))
    store.reindex(ByWords(), fingerprint=store.fingerprint(**change))
    known = store.ledger.find(Source("a.md", "acme").document_id)
    assert known is not None
    assert (known.content_hash, known.parsers) == ("hash", ("markdown 2",))


def test_what_another_parser_reads_while_a_reindex_is_built_is_in_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.index.maintenance.REINDEX_BATCH", 1)
    open_index(store.ledger, store.vectors, store.fingerprint())
    for name in "abc":
        store.add(f"{name}.md", f"Old {name}", parsers=("markdown 2",))
    changed: list[bool] = []

    def change(*_: int) -> None:
        if not changed:
            changed.append(True)
            store.add("a.md", "New a", parsers=("markdown 3",))

    store.reindex(ByWords(), progress=change)
    assert sorted(entry.parsed.text for entry in store.ledger.entries()) == ["New a", "Old b", "Old c"]


def test_while_a_reindex_is_built_the_old_parts_serve_and_it_goes_on_where_it_was_stopped(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.index.maintenance.REINDEX_BATCH", 200)
    before = store.fingerprint()
    open_index(store.ledger, store.vectors, before)
    for n in range(3):
        store.add(f"{n}.md", "word " * 200)
    with pytest.raises(UpstreamDown):
        store.reindex(ByWords(), embedder=Breaks(store.embedder, 1))
    open_index(store.ledger, store.vectors, before)
    assert store.vectors.count() == 3
    with pytest.raises(FingerprintMismatch):
        open_index(store.ledger, store.vectors, store.fingerprint(chunker="words 1"))
    assert store.reindex(ByWords()) == 2
    open_index(store.ledger, store.vectors, store.fingerprint(chunker="words 1"))
    assert store.vectors.count() == 600
    with pytest.raises(FingerprintMismatch):
        open_index(store.ledger, store.vectors, before)


def test_what_is_left_of_a_reindex_for_other_parts_is_thrown_away(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.index.maintenance.REINDEX_BATCH", 1)
    open_index(store.ledger, store.vectors, store.fingerprint())
    store.add("a.md", "One two")
    store.add("b.md", "Three")
    with pytest.raises(UpstreamDown):
        store.reindex(ByWords(), embedder=Breaks(store.embedder, 1))
    assert store.reindex(ByWords(), fingerprint=store.fingerprint(chunker="words 2")) == 2


def test_what_changes_while_a_reindex_is_built_is_in_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval.index.maintenance.REINDEX_BATCH", 1)
    open_index(store.ledger, store.vectors, store.fingerprint())
    for name in "abc":
        store.add(f"{name}.md", f"Old {name}")
    changed: list[bool] = []

    def change(*_: int) -> None:
        if not changed:
            changed.append(True)
            store.add("d.md", "New d")
            store.add("a.md", "New a", content_hash="another")
            store.ledger.delete(Source("c.md", "acme").document_id)

    assert store.reindex(ByWords(), progress=change) == 5
    texts = sorted(entry.parsed.text for entry in store.ledger.entries())
    assert texts == ["New a", "New d", "Old b"]


def test_a_process_that_still_runs_with_the_old_parts_notices_a_reindex(store: Store) -> None:
    before = store.fingerprint()
    open_index(store.ledger, store.vectors, before)
    parts = SameParts(store.ledger, before, store.vectors)
    store.add("a.md", "One two")
    parts.check()
    other = store.fingerprint(embedder="other", probe=tuple((*vector[1:], vector[0]) for vector in before.probe))
    store.reindex(ByWords(), fingerprint=other)
    with pytest.raises(IndexRebuilding, match=r"reindexed with embedder other .* runs with hashing .* another vector"):
        parts.check()


@pytest.mark.parametrize("use", ["exact", "chroma"])
def test_an_index_is_opened_again_after_a_reindex_with_another_size(use: str, store: Store, data_dir: Path) -> None:
    def opened() -> Any:
        return load("retrieval.vectors", Part(use=use), Context(data_dir=data_dir))

    store.add("a.md", "One two")
    for _ in range(2):
        with closing(opened()) as index:
            open_index(store.ledger, index, store.fingerprint())
            assert (index.count(), index.sequence()) == (1, store.ledger.sequence())
    other = load(
        "models.embedder", Part.model_validate({"use": "hashing", "dimensions": 64}), Context(data_dir=data_dir)
    )
    probes = probe(other)
    new = Fingerprint("hashing", len(probes[0]), probes, "words 1")
    reindex(store.ledger, chunker=ByWords(), embedder=other, fingerprint=new)
    for _ in range(2):
        with closing(opened()) as index:
            open_index(store.ledger, index, new)
            assert (index.count(), index.sequence()) == (2, store.ledger.sequence())


def test_an_index_in_memory_takes_over_what_another_process_has_stored_and_deleted(store: Store) -> None:
    index = ExactIndex()
    parts = SameParts(store.ledger, store.fingerprint(), index)
    open_index(store.ledger, index, store.fingerprint())
    store.add("a.md", "One two")
    parts.check()
    assert (index.count(), index.sequence()) == (1, store.ledger.sequence())
    store.ledger.delete(Source("a.md", "acme").document_id)
    parts.check()
    assert (index.count(), index.sequence()) == (0, store.ledger.sequence())


def test_an_index_that_others_move_while_it_is_read_is_not_taken_for_a_foreign_one() -> None:
    class Moving:
        """A double: another process moves the sequence and its token between the first two readings."""

        asked = 0

        def sequence(self) -> int:
            return 5 if self.asked == 0 else 9

        def version_token(self) -> str:
            self.asked += 1
            return "stamp 9"

    class Ledger:
        def version_token(self, sequence: int) -> str:
            return f"stamp {sequence}"

    assert _knows(Ledger(), Moving())
    assert not _knows(Ledger(), type("Foreign", (), {"sequence": lambda _: 5, "version_token": lambda _: "other"})())
