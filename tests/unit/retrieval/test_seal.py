"""The seal of an index folder: whole only where the folder was closed in order and is unchanged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from retrieval.index.seal import Seal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "index" / "store"
    (made / "deep").mkdir(parents=True)
    (made / "deep" / "vectors.bin").write_bytes(b"0123456789")
    return made


@pytest.fixture
def seal(folder: Path) -> Seal:
    return Seal(folder.parent / "seal", folder)


def test_a_folder_without_a_seal_was_not_closed_in_order(seal: Seal) -> None:
    assert not seal.is_intact()


def test_a_seal_holds_until_it_is_broken_so_that_a_kill_is_noticed_later(seal: Seal) -> None:
    seal.write()
    assert seal.is_intact()
    assert seal.is_intact()
    seal.break_()
    seal.break_()
    assert not seal.is_intact()


def test_a_change_behind_a_seal_is_noticed_where_neither_size_nor_time_tell(folder: Path, seal: Seal) -> None:
    seal.write()
    times = (folder / "deep" / "vectors.bin").stat()
    (folder / "deep" / "vectors.bin").write_bytes(b"0123456780")
    os.utime(folder / "deep" / "vectors.bin", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not seal.is_intact()


@pytest.mark.parametrize("change", ["added", "deleted", "renamed"])
def test_files_that_come_go_or_are_renamed_break_a_seal(change: str, folder: Path, seal: Seal) -> None:
    vectors = folder / "deep" / "vectors.bin"
    seal.write()
    if change == "added":
        (folder / "more.bin").touch()
    elif change == "deleted":
        vectors.unlink()
    else:
        vectors.rename(folder / "vectors.bin")
    assert not seal.is_intact()


@pytest.mark.parametrize("content", [b"", b"half of a checksu", b"\xff\xfe"])
def test_a_damaged_seal_is_none(content: bytes, folder: Path, seal: Seal) -> None:
    (folder.parent / "seal").write_bytes(content)
    assert not seal.is_intact()


def test_a_seal_that_claims_more_than_was_written_is_none_and_is_not_read_to_its_end(folder: Path, seal: Seal) -> None:
    seal.write()
    os.truncate(folder.parent / "seal", 1 << 36)
    assert not seal.is_intact()


@pytest.mark.timeout(60)
def test_a_file_that_claims_more_than_was_written_is_damage_is_not_read_to_its_end_and_gets_no_seal(
    folder: Path, seal: Seal
) -> None:
    """64 GB of nothing would take minutes to read."""
    seal.write()
    os.truncate(folder / "deep" / "vectors.bin", 1 << 36)
    assert not seal.is_intact()
    seal.break_()
    seal.write()
    assert not (folder.parent / "seal").exists()
