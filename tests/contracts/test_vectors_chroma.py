"""What the embedded Chroma index promises besides what every index does."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from foundation.components import Context, load
from foundation.errors import StoreInUse, StoreUnavailable
from foundation.settings import Part
from retrieval.contract import VectorIndex
from retrieval.vectors import chroma
from retrieval.where import OneOf
from tests.contracts import test_vectors as promises
from tests.contracts.test_vectors import ACME, direction, found, item, opened


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
    return sorted(listed.name.partition("-")[0] + listed.name[38:] for listed in index._client.list_collections())


def on_pages(index: VectorIndex, *pages: int) -> list[str]:
    found = index.search(direction(1), ACME, limit=9, where=OneOf("page", pages))
    return sorted(chunk_id for chunk_id, _ in found)


def test_a_shelf_that_outgrows_exact_search_is_copied_with_all_that_is_known_of_its_vectors(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chroma, "_PAGE", 2)
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
    index, nearest, begun = limited(data_dir, 1), chroma._nearest, threading.Event()
    index.upsert([item("a", 0, attributes={"page": 0})])

    def disturbed(*given: Any) -> list[tuple[str, float]]:
        if not begun.is_set():
            begun.set()
            index.upsert([item("b", 1, attributes={"page": 0})])
        return list(nearest(*given))

    monkeypatch.setattr(chroma, "_nearest", disturbed)
    assert on_pages(index, 0) == ["a", "b"]
    index.close()


def test_closing_waits_for_a_running_search_before_it_seals_and_lets_go(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the search still changed would make the seal false; and another owner could already write."""
    index = opened("chroma", data_dir)
    index.upsert([item("a")])
    searching, let_go, nearest = threading.Event(), threading.Event(), chroma._nearest

    def slowly(*given: Any) -> list[tuple[str, float]]:
        searching.set()
        assert let_go.wait(60)
        return list(nearest(*given))

    monkeypatch.setattr(chroma, "_nearest", slowly)
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
