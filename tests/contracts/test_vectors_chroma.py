"""What the embedded Chroma index promises besides what every index does."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from foundation.errors import StorageFull, StoreInUse, StoreUnavailable
from retrieval.contract import VectorIndex
from retrieval.filters import OneOf
from tests.contracts.test_vectors import ACME, direction, found, item, opened

ROOT = Path(__file__).resolve().parents[2]


def on_pages(index: VectorIndex, *pages: int) -> list[str]:
    found = index.search(direction(1), ACME, limit=9, where=OneOf("page", pages))
    return sorted(chunk_id for chunk_id, _ in found)


def test_what_is_known_of_a_replaced_vector_is_what_was_written_last(data_dir: Path) -> None:
    """Chroma keeps what it knows of a record that is written again."""
    index = opened("chroma", data_dir)
    index.upsert(item(name, seed, attributes={"page": seed}) for seed, name in enumerate("abc"))
    index.upsert([item("b", 7, attributes={"page": 7}), item("c", 2, groups=["board"], attributes={"page": 2})])
    index.close()
    index = opened("chroma", data_dir)
    assert (index.count(), on_pages(index, 1), on_pages(index, 7), on_pages(index, 2)) == (3, [], ["b"], [])
    assert found(index, seed=7)[0] == "b"
    index.close()


def test_a_vector_that_the_graph_does_not_reach_is_written_again_or_reported(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chromadb.api.models.Collection import Collection

    index, query, asked = opened("chroma", data_dir), Collection.query, list[int]()

    def misses(self: Any, *given: Any, **named: Any) -> Any:
        result: Any = query(self, *given, **named)
        asked.append(len(named["query_embeddings"]))
        return {**result, "ids": [["another"] for _ in result["ids"]]} if len(asked) in missing else result

    missing = {1}
    monkeypatch.setattr(Collection, "query", misses)
    index.upsert([item("a"), item("b", 2)])
    assert asked == [2, 2]
    assert (index.count(), sorted(found(index))) == (2, ["a", "b"])
    asked.clear()
    missing = {1, 2, 3}
    with pytest.raises(StoreUnavailable, match="does not find 1 of 1 vectors"):
        index.upsert([item("c", 3)])
    index.close()


def test_a_chroma_that_was_not_closed_in_order_is_never_read_and_all_is_filled_anew(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    index = opened("chroma", data_dir)
    index.upsert([item("a"), item("b", 1), item("c", 2, groups=frozenset({"board"}))])
    index.set_sequence(1, "one")
    index.close()
    again = opened("chroma", data_dir)
    killed = shutil.copytree(data_dir, tmp_path / "killed")
    again.close()
    with monkeypatch.context() as patch:
        patch.setattr("retrieval.vectors.chroma.json.loads", lambda *_: pytest.fail("it was read"))
        filled = opened("chroma", killed)
    assert (filled.count(), filled.sequence(), filled.version_token()) == (0, 0, "")
    assert "It is filled anew" in caplog.text
    killed_again = opened("chroma", shutil.copytree(killed, tmp_path / "killed again"))
    assert (killed_again.count(), killed_again.sequence(), killed_again.version_token()) == (0, 0, "")
    killed_again.close()
    filled.upsert([item("a"), item("b", 1)])
    assert sorted(found(filled)) == ["a", "b"]
    filled.close()


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
    index = opened("chroma", data_dir)
    index.upsert([item("a"), item("b", 1), item("c", 2, groups=frozenset({"board"}))])
    index.set_sequence(1, "one")
    index.close()
    (database,) = data_dir.rglob("chroma.sqlite3")
    database.write_bytes(database.read_bytes()[:5000])
    again = opened("chroma", data_dir)
    assert (again.count(), again.sequence()) == (0, 0)
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


def test_a_folder_that_is_a_link_is_filled_anew_after_a_kill_and_stays_a_link(data_dir: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "other disk" / "chroma"
    elsewhere.mkdir(parents=True)
    (elsewhere / "left by a killed process").write_text("x")
    store = data_dir / "index" / "chroma"
    store.parent.mkdir(parents=True)
    store.symlink_to(elsewhere)
    for _ in range(2):
        index = opened("chroma", data_dir)
        index.upsert([item("a", 0)])
        assert found(index) == ["a"]
        index.close()
        assert [file.name for file in elsewhere.iterdir()].count("left by a killed process") == 0
        assert store.is_symlink()
