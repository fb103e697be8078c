"""Embedded Chroma under faults: its owner is killed, its files are damaged. The processes are those of `test_index.py`."""
# ruff: noqa: F401, F811 - fixtures of test_index.py

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.test_index import (
    DAMAGES,
    Start,
    closed_index,
    deleted,
    finds_everything,
    flipped,
    killed_index,
    opened,
    shortened,
    start,
)
from tests.forks import preload

preload("chromadb.api.rust")
AFTER_A_KILL = [
    *(pytest.param("chroma.sqlite3", damage, id=f"chroma.sqlite3-{damage.__name__}") for damage in DAMAGES),
    pytest.param("data_level0.bin", flipped, id="data_level0.bin-flipped"),
    pytest.param("data_level0.bin", deleted, id="data_level0.bin-deleted"),
    pytest.param("index_metadata.pickle", shortened, id="index_metadata.pickle-shortened"),
    *(pytest.param(pattern, shortened, id=f"{pattern}-shortened") for pattern in ("data_level0.bin", "length.bin")),
]


@pytest.fixture(scope="module", autouse=True)
def in_chroma() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VECTORS", "chroma")
        yield


@contextmanager
def filling(folder: Path) -> Iterator[Callable[[], bool]]:
    """Yield whether the folder of Chroma is another one by now. An open folder's number is given to no other."""
    index = folder / "index" / "chroma"
    before = os.open(index, os.O_RDONLY)
    try:
        yield lambda: index.stat().st_ino != os.fstat(before).st_ino
    finally:
        os.close(before)


def only(folder: Path, pattern: str) -> Path:
    """The largest one where there are several."""
    return max(folder.glob(f"index/chroma/**/{pattern}"), key=lambda path: path.stat().st_size)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("inside", [None, ()], ids=["forked", "started anew"])
def test_an_undamaged_index_that_was_closed_in_order_is_opened_as_it_is(
    inside: Sequence[str] | None, closed_index: Path, tmp_path: Path, start: Start
) -> None:
    folder = shutil.copytree(closed_index, tmp_path / "var")
    with filling(folder) as is_filled_anew:
        finds_everything(opened(start(folder, inside=inside)))
        assert not is_filled_anew()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_index_whose_owner_was_killed_is_filled_anew(killed_index: Path, tmp_path: Path, start: Start) -> None:
    folder = shutil.copytree(killed_index, tmp_path / "var")
    with filling(folder) as is_filled_anew:
        finds_everything(opened(start(folder)))
        assert is_filled_anew()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("pattern", ["chroma.sqlite3", "data_level0.bin", "link_lists.bin"])
def test_any_change_to_an_index_that_was_closed_in_order_is_noticed_and_mended(
    pattern: str, damage: Callable[[Path], None], closed_index: Path, tmp_path: Path, start: Start
) -> None:
    folder = shutil.copytree(closed_index, tmp_path / "var")
    damage(only(folder, pattern))
    with filling(folder) as is_filled_anew:
        finds_everything(opened(start(folder)))
        assert is_filled_anew()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("pattern", "damage"), AFTER_A_KILL)
def test_damage_after_a_kill_never_ends_the_process_that_opens_it_and_loses_no_vector(
    pattern: str, damage: Callable[[Path], None], killed_index: Path, tmp_path: Path, start: Start
) -> None:
    folder = shutil.copytree(killed_index, tmp_path / "var")
    damage(only(folder, pattern))
    finds_everything(opened(start(folder)))
