"""What the small partitions of Chroma, in one file, promise besides what every index does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from foundation.errors import StoreInUse, StoreUnavailable
from retrieval.filters import OneOf
from tests.contracts.test_vectors import ACME, direction, found, item, opened


def test_what_was_written_is_there_at_the_next_start_with_all_that_is_known_of_it(data_dir: Path) -> None:
    index = opened("chroma", data_dir)
    index.upsert(item(name, seed, attributes={"page": seed}) for seed, name in enumerate("abc"))
    index.set_sequence(7, "seven")
    index.close()
    again = opened("chroma", data_dir)
    assert (again.count(), again.sequence(), again.stamp()) == (3, 7, "seven")
    assert [name for name, _ in again.search(direction(1), ACME, limit=9, where=OneOf("page", (2,)))] == ["c"]
    again.close()


def test_after_a_kill_it_says_up_to_where_it_is_complete(data_dir: Path, tmp_path: Path) -> None:
    index = opened("chroma", data_dir)
    index.upsert([item("a")])
    index.set_sequence(1, "one")
    index.close()
    again = opened("chroma", data_dir)
    again.upsert([item("b", 1)])
    again.set_sequence(2, "two")
    killed = opened("chroma", shutil.copytree(data_dir, tmp_path / "killed"))
    assert (found(killed), killed.sequence(), killed.stamp()) == (["a"], 1, "one")
    killed.close()
    again.close()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half of a file"])
def test_a_damaged_file_is_filled_anew(content: bytes, data_dir: Path) -> None:
    index = opened("chroma", data_dir)
    index.upsert([item("a")])
    index.set_sequence(1, "one")
    index.close()
    (saved,) = data_dir.rglob("rows-*.npz")
    saved.write_bytes(content)
    again = opened("chroma", data_dir)
    assert (again.count(), again.sequence(), again.stamp()) == (0, 0, "")
    again.close()


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
