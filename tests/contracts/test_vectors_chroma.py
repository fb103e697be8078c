"""What the embedded Chroma index promises besides what every index does."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from foundation.components import Context, load
from foundation.errors import StorageFull, StoreInUse, StoreUnavailable
from foundation.settings import Part
from retrieval.contract import VectorIndex
from retrieval.filters import OneOf
from retrieval.index import chroma_collections
from retrieval.index.chroma_collections import Collections
from retrieval.index.exact_search import ExactIndex
from tests.contracts import test_vectors as promises
from tests.contracts.test_vectors import ACME, direction, found, item, opened

ROOT = Path(__file__).resolve().parents[2]


def test_a_vector_that_no_link_of_the_graph_leads_to_is_found(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from chromadb.api.models.Collection import Collection

    index = opened("chroma", data_dir)
    index.upsert(item(name, seed, attributes={"page": seed}) for seed, name in enumerate("abc"))
    lost: dict[str, Any] = {"ids": [[]], "distances": [[]]}
    monkeypatch.setattr(Collection, "query", lambda *asked, **named: lost)
    assert found(index, seed=2)[0] == "c"
    index.delete(["c"])
    assert sorted(found(index)) == ["a", "b"]
    index.close()


@pytest.mark.parametrize(
    "promise",
    [
        promises.gives_the_nearest_first_with_its_cosine,
        promises.replaces_the_vector_of_an_id,
        promises.finds_nothing_that_was_deleted,
        promises.filters_as_every_other_index_and_ledger_does,
        promises.can_be_read_while_it_is_written,
    ],
    ids=lambda promise: promise.__name__,
)
@pytest.mark.parametrize("exact_up_to", [0, 2], ids=["from the start", "when it has outgrown two vectors"])
def test_a_partition_that_is_searched_by_its_graph_keeps(
    promise: Callable[[VectorIndex], None], exact_up_to: int, data_dir: Path
) -> None:
    index = limited(data_dir, exact_up_to)
    try:
        promise(index)
    finally:
        index.close()


def limited(data_dir: Path, exact_up_to: int) -> VectorIndex:
    part = Part(use="chroma", exact_up_to=exact_up_to)
    index: VectorIndex = load("retrieval.vectors", part, Context(data_dir=data_dir), expected=VectorIndex)
    return index


def collections(index: Any) -> list[str]:
    listed = index._large._client.list_collections() if index._large else []
    return sorted(collection.name.partition("-")[0] for collection in listed)


def on_pages(index: VectorIndex, *pages: int) -> list[str]:
    found = index.search(direction(1), ACME, limit=9, where=OneOf("page", pages))
    return sorted(chunk_id for chunk_id, _ in found)


def test_a_partition_that_outgrows_exact_search_is_copied_with_all_that_is_known_of_its_vectors(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chroma_collections, "PAGE", 2)
    index = limited(data_dir, 4)
    index.upsert(item(name, seed, attributes={"page": seed}) for seed, name in enumerate("abc"))
    index.upsert([item("a", 7, attributes={"page": 7})])
    assert collections(index) == []
    index.upsert(item(name, seed, attributes={"page": seed}) for seed, name in enumerate("de", 3))
    assert collections(index) == ["partition"]
    index.close()
    index = limited(data_dir, 4)
    assert (index.count(), index.sequence(), index.version_token()) == (5, 0, "")
    assert [found(index, seed=seed)[0] for seed in (7, 1, 2, 3, 4)] == list("abcde")
    assert on_pages(index, 1, 7) == ["a", "b"]
    assert on_pages(index, 0) == []
    index.close()


def test_a_copy_that_failed_does_not_count_and_is_made_again(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("The machine stopped here.")

    index = limited(data_dir, 2)
    index.upsert([item("a", 0), item("b", 1)])
    with monkeypatch.context() as patch:
        patch.setattr(chroma_collections, "_write_and_check", fails)
        with pytest.raises(StoreUnavailable, match="stopped here"):
            index.upsert([item("c", 2)])
    assert collections(index) == ["partition"]
    assert sorted(found(index)) == ["a", "b", "c"]
    killed = limited(shutil.copytree(data_dir, tmp_path / "killed"), 2)
    assert (collections(killed), killed.count(), killed.sequence()) == ([], 0, 0)
    killed.close()
    index.delete(["a"])
    index.upsert([item("d", 3)])
    assert (index.count(), sorted(found(index))) == (3, ["b", "c", "d"])
    index.close()


def test_what_chroma_has_is_not_written_again_when_all_is_offered_at_the_next_start(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chromadb.api.models.Collection import Collection

    written, upsert = list[str](), Collection.upsert
    monkeypatch.setattr(
        Collection, "upsert", lambda self, ids, *rest: (written.extend(ids), upsert(self, ids, *rest))[1]
    )
    offered = [item(name, seed, attributes={"page": seed}) for seed, name in enumerate("abc")]
    board = item("d", 4, groups=frozenset({"board"}))
    index = limited(data_dir, 2)
    index.upsert([*offered, board])
    index.close()
    assert sorted(written) == list("abc")
    index = limited(data_dir, 2)
    written.clear()
    changed = item("b", 7, attributes={"page": 7})
    index.upsert([offered[0], changed, offered[2], board])
    assert written == ["b"]
    assert (index.count(), on_pages(index, 1), on_pages(index, 7)) == (4, [], ["b"])
    assert found(index, seed=7)[0] == "b"
    index.close()


def test_a_chroma_that_was_closed_while_its_checksum_was_named_a_seal_is_opened_as_it_is(data_dir: Path) -> None:
    index = limited(data_dir, 1)
    index.upsert([item("a"), item("b", 1)])
    index.set_sequence(1, "one")
    index.close()
    (data_dir / "index/checksum.txt").rename(data_dir / "index/seal.txt")
    again = limited(data_dir, 1)
    assert (again.count(), again.sequence(), again.version_token()) == (2, 1, "one")
    assert not (data_dir / "index/seal.txt").exists()
    again.close()


def test_a_search_finds_what_moves_to_chroma_meanwhile(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index, hits, begun = limited(data_dir, 1), ExactIndex.hits, threading.Event()
    index.upsert([item("a", 0, attributes={"page": 0})])

    def disturbed(*asked: Any) -> list[tuple[str, float]]:
        before = list(hits(*asked))
        if not begun.is_set():
            begun.set()
            index.upsert([item("b", 1, attributes={"page": 0})])
        return before

    monkeypatch.setattr(ExactIndex, "hits", disturbed)
    assert on_pages(index, 0) == ["a", "b"]
    index.close()


def test_closing_waits_for_a_running_search_before_it_seals_and_lets_go(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the search still changed would make the checksum false; and another owner could already write."""
    index = limited(data_dir, 0)
    index.upsert([item("a")])
    searching, let_go, nearest = threading.Event(), threading.Event(), Collections.hits

    def slowly(*given: Any) -> list[tuple[str, float]]:
        searching.set()
        assert let_go.wait(60)
        return list(nearest(*given))

    monkeypatch.setattr(Collections, "hits", slowly)
    with ThreadPoolExecutor(2) as pool:
        try:
            search = pool.submit(found, index)
            assert searching.wait(60)
            close = pool.submit(index.close)
            refuses_within(index, 60)
            with pytest.raises(StoreInUse):
                limited(data_dir, 0)
            assert not (data_dir / "index" / "checksum.txt").exists()
        finally:
            let_go.set()
        assert search.result() == ["a"]
        close.result()
    again = limited(data_dir, 0)
    assert again.count() == 1
    again.close()


def refuses_within(index: VectorIndex, seconds: float) -> None:
    """Return as soon as the index refuses to be used, because it is being closed."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        try:
            index.count()
        except StoreUnavailable:
            return
        time.sleep(0.01)
    pytest.fail("The index was never closed.")


def test_a_chroma_that_was_not_closed_in_order_is_never_read_and_all_is_filled_anew(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    index = limited(data_dir, 1)
    index.upsert([item("a"), item("b", 1), item("c", 2, groups=frozenset({"board"}))])
    index.set_sequence(1, "one")
    index.close()
    again = limited(data_dir, 1)
    killed = shutil.copytree(data_dir, tmp_path / "killed")
    again.close()
    with monkeypatch.context() as patch:
        patch.setattr("retrieval.vectors.chroma.Collections", lambda *_: pytest.fail("it was read"))
        filled = limited(killed, 1)
    assert (filled.count(), filled.sequence(), filled.version_token()) == (0, 0, "")
    assert "It is filled anew" in caplog.text
    killed_again = limited(shutil.copytree(killed, tmp_path / "killed again"), 1)
    assert (killed_again.count(), killed_again.sequence(), killed_again.version_token()) == (0, 0, "")
    killed_again.close()
    filled.upsert([item("a"), item("b", 1)])
    assert sorted(found(filled)) == ["a", "b"]
    filled.close()


def test_small_partitions_are_written_and_searched_without_chroma_and_leave_no_file(data_dir: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.contracts.test_vectors import found, item, opened\n"
        "index = opened('chroma', Path(sys.argv[1])); index.upsert([item('a', 1), item('b', 2)])\n"
        "print(found(index, seed=1), 'chromadb' in sys.modules); index.close()"
    )
    asked = [sys.executable, "-c", program, str(data_dir)]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.stdout == "['a', 'b'] False\n", done.stderr
    assert [path.name for path in data_dir.rglob("*") if path.is_file()] == ["owner.lock"]


def test_a_second_owner_is_refused_until_the_first_has_closed(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval.index.lock.PATIENCE_S", 0.0)
    index = opened("chroma", data_dir)
    with pytest.raises(StoreInUse, match="belongs to process"):
        opened("chroma", data_dir)
    index.close()
    index.close()
    opened("chroma", data_dir).close()
    with pytest.raises(StoreUnavailable, match="closed by this process"):
        index.count()


def test_a_damaged_chroma_goes_and_all_is_filled_anew(data_dir: Path) -> None:
    index = limited(data_dir, 1)
    index.upsert([item("a"), item("b", 1), item("c", 2, groups=frozenset({"board"}))])
    index.set_sequence(1, "one")
    index.close()
    (database,) = data_dir.rglob("chroma.sqlite3")
    database.write_bytes(database.read_bytes()[:5000])
    again = limited(data_dir, 1)
    assert (again.count(), again.sequence()) == (0, 0)
    assert not (data_dir / "index" / "chroma").exists()
    again.close()


def test_what_fails_on_a_full_disk_says_so_whatever_chroma_calls_it(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chromadb.api.models.Collection import Collection

    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("Error in compaction")

    index = limited(data_dir, 0)
    with monkeypatch.context() as patch:
        patch.setattr(Collection, "upsert", fails)
        with pytest.raises(StoreUnavailable, match="stop the system and start it again") as other:
            index.upsert([item("a")])
        assert not isinstance(other.value, StorageFull)
        patch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=4096))
        with pytest.raises(StorageFull, match=r"no room on the disk .* Free some space first"):
            index.upsert([item("a")])
    index.upsert([item("a")])
    assert found(index) == ["a"]
    index.close()


def test_the_largest_partition_moves_where_all_together_are_too_many(data_dir: Path) -> None:
    index = limited(data_dir, 4)
    index.upsert(item(name, seed, groups=frozenset({name})) for seed, name in enumerate("abcde"))
    assert (collections(index), index.count()) == (["partition"], 5)
    index.close()


def test_opening_chroma_that_failed_is_tried_again_with_a_client_of_its_own(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chromadb.api.client import Client

    index, closed, close = limited(data_dir, 1), [], Client.close
    index.upsert([item("a")])
    with monkeypatch.context() as patch:
        patch.setattr(Client, "list_collections", lambda _: 1 / 0)
        patch.setattr(Client, "close", lambda self: closed.append(close(self)))
        with pytest.raises(StoreUnavailable, match="division"):
            index.upsert([item("b", 1)])
    assert len(closed) == 1
    index.upsert([item("b", 1)])
    assert (collections(index), sorted(found(index))) == (["partition"], ["a", "b"])
    index.close()


def test_a_folder_that_is_a_link_is_filled_anew_after_a_kill_and_stays_a_link(data_dir: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "other disk" / "chroma"
    elsewhere.mkdir(parents=True)
    (elsewhere / "left by a killed process").write_text("x")
    store = data_dir / "index" / "chroma"
    store.parent.mkdir(parents=True)
    store.symlink_to(elsewhere)
    for _ in range(2):
        index = limited(data_dir, 0)
        index.upsert([item("a", 0)])
        assert found(index) == ["a"]
        index.close()
        assert [file.name for file in elsewhere.iterdir()].count("left by a killed process") == 0
        assert store.is_symlink()
