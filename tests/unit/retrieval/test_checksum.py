"""The checksum of an index folder: whole only where the folder was closed in order and is unchanged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from retrieval.index.checksum import FolderChecksum


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "index" / "store"
    (made / "deep").mkdir(parents=True)
    (made / "deep" / "vectors.bin").write_bytes(b"0123456789")
    return made


@pytest.fixture
def checksum(folder: Path) -> FolderChecksum:
    return FolderChecksum(folder.parent / "checksum", folder)


def test_a_folder_without_a_checksum_was_not_closed_in_order(checksum: FolderChecksum) -> None:
    assert not checksum.is_intact()


def test_a_checksum_holds_until_it_is_broken_so_that_a_kill_is_noticed_later(checksum: FolderChecksum) -> None:
    checksum.write()
    assert checksum.is_intact()
    assert checksum.is_intact()
    checksum.delete()
    checksum.delete()
    assert not checksum.is_intact()


def test_a_change_behind_a_checksum_is_noticed_where_neither_size_nor_time_tell(
    folder: Path, checksum: FolderChecksum
) -> None:
    checksum.write()
    times = (folder / "deep" / "vectors.bin").stat()
    (folder / "deep" / "vectors.bin").write_bytes(b"0123456780")
    os.utime(folder / "deep" / "vectors.bin", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not checksum.is_intact()


@pytest.mark.parametrize("change", ["added", "deleted", "renamed"])
def test_files_that_come_go_or_are_renamed_break_a_checksum(
    change: str, folder: Path, checksum: FolderChecksum
) -> None:
    vectors = folder / "deep" / "vectors.bin"
    checksum.write()
    if change == "added":
        (folder / "more.bin").touch()
    elif change == "deleted":
        vectors.unlink()
    else:
        vectors.rename(folder / "vectors.bin")
    assert not checksum.is_intact()


@pytest.mark.parametrize("content", [b"", b"half of a checksu", b"\xff\xfe"])
def test_a_damaged_checksum_is_none(content: bytes, folder: Path, checksum: FolderChecksum) -> None:
    (folder.parent / "checksum").write_bytes(content)
    assert not checksum.is_intact()


def test_a_checksum_that_claims_more_than_was_written_is_none_and_is_not_read_to_its_end(
    folder: Path, checksum: FolderChecksum
) -> None:
    checksum.write()
    os.truncate(folder.parent / "checksum", 1 << 36)
    assert not checksum.is_intact()


@pytest.mark.timeout(60)
def test_a_file_that_claims_more_than_was_written_is_damage_is_not_read_to_its_end_and_gets_no_checksum(
    folder: Path, checksum: FolderChecksum
) -> None:
    """64 GB of nothing would take minutes to read."""
    checksum.write()
    os.truncate(folder / "deep" / "vectors.bin", 1 << 36)
    assert not checksum.is_intact()
    checksum.delete()
    checksum.write()
    assert not (folder.parent / "checksum").exists()
