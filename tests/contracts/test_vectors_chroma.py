"""What the embedded Chroma index promises besides what every index does."""

from __future__ import annotations

import json
import os
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
def test_a_shelf_that_is_searched_by_its_graph_keeps(
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
    return sorted(
        listed.name.partition("-")[0] + listed.name[38:] for listed in index._awake()._client.list_collections()
    )


def on_pages(index: VectorIndex, *pages: int) -> list[str]:
    found = index.search(direction(1), ACME, limit=9, where=OneOf("page", pages))
    return sorted(chunk_id for chunk_id, _ in found)


def test_a_shelf_that_outgrows_exact_search_is_copied_with_all_that_is_known_of_its_vectors(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chroma_collections, "PAGE", 2)
    index = limited(data_dir, 4)
    index.upsert(item(name, seed, attributes={"page": seed}) for seed, name in enumerate("abc"))
    index.upsert([item("a", 7, attributes={"page": 7})])
    assert collections(index) == ["shelf-plain", "state"]
    index.upsert(item(name, seed, attributes={"page": seed}) for seed, name in enumerate("de", 3))
    assert collections(index) == ["shelf", "state"]
    index.close()
    index = limited(data_dir, 4)
    assert index.count() == 5
    assert [found(index, seed=seed)[0] for seed in (7, 1, 2, 3, 4)] == list("abcde")
    assert on_pages(index, 1, 7) == ["a", "b"]
    assert on_pages(index, 0) == []
    index.close()


def test_a_copy_that_failed_does_not_count_and_is_made_again(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from chromadb.api.client import Client

    def fails(*_: Any) -> None:
        raise RuntimeError("The machine stopped here.")

    index = limited(data_dir, 2)
    index.upsert([item("a", 0), item("b", 1)])
    with monkeypatch.context() as patch:
        patch.setattr(Client, "delete_collection", fails)
        with pytest.raises(StoreUnavailable, match="stopped here"):
            index.upsert([item("c", 2)])
    index.delete(["a"])
    index.close()
    index = limited(data_dir, 2)
    assert collections(index) == ["shelf-plain", "state"]
    assert found(index) == ["b"]
    index.upsert([item("c", 2), item("d", 3)])
    assert sorted(found(index)) == ["b", "c", "d"]
    index.close()


def test_an_index_that_is_opened_with_a_lower_limit_gets_its_graph(data_dir: Path) -> None:
    index = limited(data_dir, 9)
    index.upsert(item(name, seed) for seed, name in enumerate("abcde"))
    index.close()
    index = limited(data_dir, 4)
    assert collections(index) == ["shelf", "state"]
    assert [found(index, seed=seed)[0] for seed in range(5)] == list("abcde")
    index.close()


def test_a_search_whose_shelf_is_outgrown_meanwhile_is_made_again(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, nearest, begun = limited(data_dir, 1), chroma_collections.find_nearest, threading.Event()
    index.upsert([item("a", 0, attributes={"page": 0})])

    def disturbed(*given: Any) -> list[tuple[str, float]]:
        if not begun.is_set():
            begun.set()
            index.upsert([item("b", 1, attributes={"page": 0})])
        return list(nearest(*given))

    monkeypatch.setattr(chroma_collections, "find_nearest", disturbed)
    assert on_pages(index, 0) == ["a", "b"]
    index.close()


def test_closing_waits_for_a_running_search_before_it_seals_and_lets_go(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the search still changed would make the seal false; and another owner could already write."""
    index = opened("chroma", data_dir)
    index.upsert([item("a")])
    searching, let_go, nearest = threading.Event(), threading.Event(), chroma_collections.find_nearest

    def slowly(*given: Any) -> list[tuple[str, float]]:
        searching.set()
        assert let_go.wait(60)
        return list(nearest(*given))

    monkeypatch.setattr(chroma_collections, "find_nearest", slowly)
    with ThreadPoolExecutor(2) as pool:
        try:
            search = pool.submit(found, index)
            assert searching.wait(60)
            close = pool.submit(index.close)
            refuses_within(index, 60)
            with pytest.raises(StoreInUse):
                opened("chroma", data_dir)
            assert not (data_dir / "index" / "seal").exists()
        finally:
            let_go.set()
        assert search.result() == ["a"]
        close.result()
    again = opened("chroma", data_dir)
    assert (again.count(), list(data_dir.rglob("quarantine-*"))) == (1, [])
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


def test_an_index_that_was_not_closed_is_probed_from_whatever_folder_one_works_in(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = opened("chroma", data_dir)
    index.upsert([item("a")])
    killed = shutil.copytree(data_dir, tmp_path / "killed")
    index.close()
    (tmp_path / "elsewhere" / "retrieval").mkdir(parents=True)  # another project, with a folder of that name
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    again = opened("chroma", Path(os.path.relpath(killed)))
    assert (again.count(), list(killed.rglob("quarantine-*"))) == (1, [])
    again.close()


SLEEPER = """
import json, sys
from pathlib import Path
from tests.contracts.test_vectors import found, item, opened

index = opened("chroma", Path(sys.argv[1]))
for _ in range(2):
    print(json.dumps([index.count(), index.sequence(), index.stamp(), found(index), "chromadb" in sys.modules]))
    index.upsert([item("c", 1)])
index.close()
"""


def told_by_another_process(data_dir: Path) -> list[Any]:
    asked = [sys.executable, "-c", SLEEPER, str(data_dir)]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_an_index_that_was_closed_in_order_is_searched_without_chroma_until_it_changes(data_dir: Path) -> None:
    index = opened("chroma", data_dir)
    index.upsert([item("a", 1), item("b", 2)])
    index.set_sequence(7, "mark")
    index.close()
    before, after = told_by_another_process(data_dir)
    assert before == [2, 7, "mark", ["a", "b"], False]
    assert (after[:3], sorted(after[3]), after[4]) == ([3, 7, "mark"], ["a", "b", "c"], True)
    assert told_by_another_process(data_dir)[0] == [3, 7, "mark", ["a", "c", "b"], False]


def test_an_index_that_slept_is_as_sound_after_a_kill_as_it_was_when_it_was_closed(
    data_dir: Path, tmp_path: Path
) -> None:
    index = opened("chroma", data_dir)
    index.upsert([item("a")])
    index.close()
    again = opened("chroma", data_dir)
    assert found(again) == ["a"]
    assert (data_dir / "index" / "seal").exists()
    again.upsert([item("b", 1)])
    assert not (data_dir / "index" / "seal").exists()
    killed = shutil.copytree(data_dir, tmp_path / "killed")
    again.close()
    for folder in (killed, data_dir):
        last = opened("chroma", folder)
        assert (sorted(found(last)), list(folder.rglob("quarantine-*"))) == (["a", "b"], [])
        last.close()


def test_a_damaged_snapshot_is_damage_to_the_index(data_dir: Path) -> None:
    index = opened("chroma", data_dir)
    index.upsert([item("a")])
    index.close()
    (snapshot,) = data_dir.rglob("rows-*.npz")
    content = bytearray(snapshot.read_bytes())
    content[len(content) // 2] ^= 1
    snapshot.write_bytes(content)
    again = opened("chroma", data_dir)
    assert (again.count(), len(list(data_dir.rglob("quarantine-*")))) == (0, 1)
    again.close()


def test_a_filter_is_asked_of_chroma_by_an_index_that_slept(data_dir: Path) -> None:
    index = limited(data_dir, 9)
    index.upsert(item(name, seed, attributes={"page": seed}) for seed, name in enumerate("abc"))
    index.close()
    index = limited(data_dir, 9)
    assert on_pages(index, 0, 2) == ["a", "c"]
    index.close()


def test_shelves_that_nobody_searched_are_read_for_the_snapshot_if_they_are_small(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = opened("chroma", data_dir)
    index.upsert([item("a"), item("b", 1)])
    killed = [shutil.copytree(data_dir, tmp_path / name) for name in ("small", "large")]
    index.close()
    snapshots = []
    for folder, most in zip(killed, (2, 1), strict=True):
        monkeypatch.setattr(chroma_collections, "_READ_AT_CLOSE", most)
        opened("chroma", folder).close()
        snapshots.append(len(list(folder.rglob("rows-*.npz"))))
    assert snapshots == [1, 0]


def test_waking_waits_for_nobody_who_closes(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search with a filter wakes the index while it is being closed: neither may wait for the other for ever."""
    index = opened("chroma", data_dir)
    index.upsert([item("a", attributes={"page": 0})])
    index.close()
    sleeping: Any = opened("chroma", data_dir)
    waking, let_go, client = threading.Event(), threading.Event(), chroma_collections.open_client

    def slowly(store: Path) -> Any:
        waking.set()
        assert let_go.wait(60)
        return client(store)

    monkeypatch.setattr(chroma_collections, "open_client", slowly)
    with ThreadPoolExecutor(2) as pool:
        search = pool.submit(on_pages, sleeping, 0)
        assert waking.wait(60)
        close = pool.submit(sleeping.close)
        refuses_within(sleeping, 60)
        let_go.set()
        assert search.result(60) == ["a"]
        close.result(60)
    assert (data_dir / "index" / "seal").exists()


def test_a_snapshot_that_finds_no_room_leaves_none_and_a_sealed_index(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: Any) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    index = opened("chroma", data_dir)
    index.upsert([item("a")])
    with monkeypatch.context() as patch:
        patch.setattr("numpy.savez", full)
        index.close()
    assert ((data_dir / "index" / "seal").exists(), list(data_dir.rglob("rows-*"))) == (True, [])
    again = opened("chroma", data_dir)
    assert (found(again), list(data_dir.rglob("quarantine-*"))) == (["a"], [])
    again.close()


def test_what_fails_on_a_full_disk_says_so_whatever_chroma_calls_it(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chromadb.api.models.Collection import Collection

    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("Error in compaction")

    index = opened("chroma", data_dir)
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


def test_a_snapshot_that_cannot_be_read_is_done_without(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = opened("chroma", data_dir)
    index.upsert([item("a")])
    index.close()

    def no_memory(*_: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("numpy.load", no_memory)
        again = opened("chroma", data_dir)
    assert found(again) == ["a"]
    again.close()


def test_many_small_shelves_are_left_to_chroma_where_the_limit_was_lowered(data_dir: Path) -> None:
    index: Any = limited(data_dir, 9)
    index.upsert(item(name, seed, groups=frozenset({name})) for seed, name in enumerate("abcdef"))
    index.close()
    again: Any = limited(data_dir, 1)
    assert (again._asleep, again.count()) == (None, 6)
    again.close()


def test_waking_that_failed_is_tried_again_with_a_client_of_its_own(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chromadb.api.client import Client

    index = opened("chroma", data_dir)
    index.upsert([item("a")])
    index.close()
    sleeping, closed, close = opened("chroma", data_dir), [], Client.close
    with monkeypatch.context() as patch:
        patch.setattr(chroma_collections.Collections, "_look_around", lambda _: 1 / 0)
        patch.setattr(Client, "close", lambda self: closed.append(close(self)))
        with pytest.raises(StoreUnavailable, match="division"):
            sleeping.upsert([item("b", 1)])
    assert len(closed) == 1
    sleeping.upsert([item("b", 1)])
    assert sorted(found(sleeping)) == ["a", "b"]
    sleeping.close()


def test_an_index_that_is_damaged_while_it_sleeps_refuses_to_wake_and_is_mended_at_the_next_start(
    data_dir: Path,
) -> None:
    index = opened("chroma", data_dir)
    index.upsert([item("a")])
    index.close()
    sleeping = opened("chroma", data_dir)
    (database,) = data_dir.rglob("chroma.sqlite3")
    database.write_bytes(database.read_bytes()[:5000])
    with pytest.raises(StoreUnavailable, match="was damaged since this process started"):
        sleeping.upsert([item("b", 1)])
    assert found(sleeping) == ["a"]
    sleeping.close()
    again = opened("chroma", data_dir)
    assert (again.count(), len(list(data_dir.rglob("quarantine-*")))) == (0, 1)
    again.close()
