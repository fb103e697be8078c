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
from tests.contracts import test_vectors as promises
from tests.contracts.test_vectors import found, item, opened


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
def test_a_shelf_that_is_searched_by_its_graph_keeps(promise: Callable[[VectorIndex], None], data_dir: Path) -> None:
    by_graph = Part(use="chroma", exact_up_to=0)
    index = load("retrieval.vectors", by_graph, Context(data_dir=data_dir), expected=VectorIndex)
    try:
        promise(index)
    finally:
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
