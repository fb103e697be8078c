"""Vectors in files: the same as in memory, and left alone where they are damaged, of another version, or were not finished."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from foundation.components import Context
from foundation.types import Scope
from retrieval.documents import VectorItem
from retrieval.filters import Between, OneOf, Value, matches
from retrieval.index import exact_search, rows, saved_rows
from retrieval.index.checksum import FolderChecksum
from retrieval.index.exact_search import ExactIndex
from retrieval.index.saved_rows import RowFiles
from retrieval.vectors.exact import Options, build

DIMENSIONS = 32
SCOPES = [Scope("acme"), Scope("acme", frozenset({"staff"})), Scope("north")]
WHERES = [None, OneOf("even", (True,)), OneOf("kind", ("a", "b")), Between("day", date(2026, 1, 3), None)]


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_search, "SAVED_FROM", 10)
    monkeypatch.setattr(rows, "HOLLOW", 3)


def an_item(sequence: int, name: str, chance: np.random.Generator) -> VectorItem:
    row = chance.standard_normal(DIMENSIONS).astype(np.float32)
    attributes: dict[str, Value] = {"even": sequence % 2 == 0, "kind": "abc"[sequence % 3], "n": float(sequence)}
    attributes["day"] = date(2026, 1, 1 + sequence % 5)
    tenant, groups = [("acme", ""), ("acme", "staff"), ("north", "")][int(chance.integers(3))]
    readers = frozenset(filter(None, [groups]))
    return VectorItem(sequence, name, tenant, readers, row / np.linalg.norm(row), attributes)


def opened(folder: Path) -> ExactIndex:
    return build(Options(folder=folder.name), Context(data_dir=folder.parent))


def filled(folder: Path, items: Iterable[VectorItem], sequence: int = 50) -> ExactIndex:
    index = opened(folder)
    index.upsert(items)
    index.set_sequence(sequence, "t")
    return index


def fifty() -> list[VectorItem]:
    chance = np.random.default_rng(7)
    return [an_item(number, f"{number}", chance) for number in range(50)]


def finds(index: ExactIndex, stored: dict[str, VectorItem]) -> None:
    """What every scope and filter finds is what a comparison with each permitted vector finds, in its order."""
    vector = an_item(0, "", np.random.default_rng(len(stored))).vector
    for scope in SCOPES:
        for where in WHERES:
            wanted = {
                name: float(item.vector @ vector)
                for name, item in stored.items()
                if scope.admits(item.tenant, item.groups) and (where is None or matches(where, item.attributes))
            }
            found = index.search(vector, scope, limit=99, where=where)
            assert [name for name, _ in found] == sorted(wanted, key=lambda name: -wanted[name])
            assert dict(found) == pytest.approx(wanted, abs=1e-4)
    assert index.count() == len(stored)


def test_vectors_that_come_and_go_are_the_same_however_often_they_were_saved_and_opened(tmp_path: Path) -> None:
    chance, index, stored = np.random.default_rng(7), opened(tmp_path), dict[str, VectorItem]()
    for step in range(1, 300):
        name = f"{chance.integers(60)}"
        if step % 3 == 0:
            index.delete([name, "never there", "a name that is longer than every other"])
            stored.pop(name, None)
        else:
            stored[name] = an_item(step, name, chance)
            index.upsert([stored[name]])
        index.set_sequence(step, f"token {step}")
        if step % 20 == 0:
            finds(index, stored)
        if step % 50 == 0:
            index.close()
            index = opened(tmp_path)
            assert (index.sequence(), index.version_token()) == (step, f"token {step}")
            finds(index, stored)
    index.delete(list(stored))
    assert (index.count(), index.search(an_item(0, "", chance).vector, SCOPES[0], limit=9)) == (0, [])


def test_after_a_kill_there_is_what_was_saved_last_and_the_rest_is_known_to_be_missing(tmp_path: Path) -> None:
    items = fifty()
    index = filled(tmp_path / "one", items[:40], sequence=40)
    index.upsert(items[40:45])
    index.set_sequence(45, "later")
    killed = opened(shutil.copytree(tmp_path / "one", tmp_path / "two", ignore=shutil.ignore_patterns("owner.lock")))
    assert (killed.sequence(), killed.version_token()) == (40, "t")
    finds(killed, {item.chunk_id: item for item in items[:40]})
    index.upsert(items[45:])
    index.set_sequence(60, "enough")
    finds(index, {item.chunk_id: item for item in items})
    third = opened(shutil.copytree(tmp_path / "one", tmp_path / "three", ignore=shutil.ignore_patterns("owner.lock")))
    assert third.sequence() == 60


@pytest.mark.parametrize("name", ["about.json", "sets.json", *(f"{name}.npy" for name in rows.Rows._fields)])
@pytest.mark.parametrize("damage", ["flipped", "shortened", "lost"])
def test_a_damaged_file_is_noticed_and_nothing_is_read(
    name: str, damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filled(tmp_path, fifty()).close()
    file = tmp_path / "rows" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.unlink()
    if damage != "lost":
        file.write_bytes(content if damage == "flipped" else content[: len(content) // 2])
    with caplog.at_level(logging.WARNING):
        index = opened(tmp_path)
    assert (index.sequence(), index.count(), (tmp_path / "rows").exists()) == (0, 0, False)
    assert "are read from the ledger" in caplog.text


def test_files_of_another_version_and_files_that_were_not_finished_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path / "one", fifty()).close()
    about = tmp_path / "one" / "rows" / "about.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"version": 0}))
    FolderChecksum(tmp_path / "one" / "rows.txt", about.parent).write()
    assert opened(tmp_path / "one").count() == 0
    with monkeypatch.context() as patch:
        patch.setattr(RowFiles, "_delete", _stop)
        with pytest.raises(KeyboardInterrupt):
            filled(tmp_path / "two", fifty())
    (tmp_path / "two" / "owner.lock").unlink()
    unfinished = opened(tmp_path / "two")
    assert unfinished.count() == 0
    unfinished.upsert(fifty())
    unfinished.set_sequence(50, "t")
    unfinished.close()
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["owner.lock", "rows", "rows.txt"]


def _stop(files: RowFiles) -> None:
    raise KeyboardInterrupt


def test_a_disk_without_room_leaves_them_unsaved_and_everything_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saved_rows, "_write_columns", no_room)
    with caplog.at_level(logging.WARNING):
        index = filled(tmp_path, fifty())
    finds(index, {item.chunk_id: item for item in fifty()})
    index.close()
    assert "a start reads them from the ledger: [Errno 28] No space left on device" in caplog.text
    assert opened(tmp_path).count() == 0


def test_what_was_deleted_is_in_no_file_once_the_index_is_closed(tmp_path: Path) -> None:
    filled(tmp_path, fifty()).close()
    index = opened(tmp_path)
    index.delete(["7"])
    index.set_sequence(51, "later")
    index.close()
    assert b"7" not in np.load(tmp_path / "rows" / "ids.npy").tolist()
