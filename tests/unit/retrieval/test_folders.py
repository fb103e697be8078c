"""A folder of files as documents to ingest."""

from __future__ import annotations

import errno
import inspect
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import DocumentRefused, InvalidRequest
from retrieval.ingest import folders
from retrieval.ingest.folders import read_folder
from retrieval.ingest.preparation import Item


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "documents"
    made.mkdir()
    return made


def write(folder: Path, name: str, text: str = "A text.") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def denied(path: Any) -> Any:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """As `chmod 000` does it, which holds for everyone but the user that tests may run as."""

    def close(folder: Path) -> None:
        real = os.scandir
        monkeypatch.setattr(os, "scandir", lambda path: denied(path) if Path(path) == folder else real(path))

    return close


def reasons(folder: Path) -> dict[str, str]:
    """By uri, why a file has no content."""
    return {uri: item.unread.reason if item.unread else "" for uri, item in items(folder).items()}


def reason(why: DocumentRefused | None) -> tuple[str, str] | None:
    return why and (why.reason, str(why))


def items(folder: Path, *, tenant: str = "acme") -> dict[str, Item]:
    return {item.source.uri: item for item in read_folder(folder, tenant=tenant)}


def test_every_file_below_the_folder_is_a_document_in_the_order_of_the_paths(folder: Path) -> None:
    for name in ("b.md", "a/z.txt", "a/b/c.html"):
        write(folder, name)
    assert [item.source.uri for item in read_folder(folder, tenant="acme")] == ["a/b/c.html", "a/z.txt", "b.md"]


def test_a_document_arrives_with_its_bytes_its_name_and_its_media_type(folder: Path) -> None:
    write(folder, "a/page.html", "<p>Grüße</p>")
    item = items(folder)["a/page.html"]
    assert item.content == "<p>Grüße</p>".encode()
    assert (item.name, item.source.media_type) == ("page.html", "text/html")


def test_a_file_that_is_not_listed_belongs_to_the_tenant_that_is_named_and_to_everyone_in_it(folder: Path) -> None:
    write(folder, "a.md")
    source = items(folder, tenant="globex")["a.md"].source
    assert (source.tenant, source.groups, source.title) == ("globex", frozenset(), "")


@pytest.mark.parametrize("swapped", ["a/b/notes.md", "a/b", "a"])
def test_a_link_that_takes_the_place_of_what_was_checked_is_not_followed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    write(folder, "a/b/notes.md")
    for outside in ("notes.md", "a/b/notes.md"):
        write(folder.parent / "outside", outside, "Not for you.")
    found = folders._target

    def then_swapped(path: Path) -> Path:
        target = found(path)
        (folder / swapped).rename(folder.parent / "moved")
        inside = "notes.md" if swapped.endswith(".md") else "." if swapped == "a/b" else "a"
        (folder / swapped).symlink_to(folder.parent / "outside" / inside)
        return target

    monkeypatch.setattr(folders, "_target", then_swapped)

    assert reasons(folder) == {"a/b/notes.md": "unreadable"}


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems hold names in UTF-8 only")
def test_no_two_names_of_files_are_told_alike(folder: Path) -> None:
    names = [b"\xff.md", b"\\xff.md", b"\\\xff.md", b"\\\\xff.md", b"back\\slash.md"]
    for name in names:
        (folder / os.fsdecode(name)).write_text("A text.")

    found = set(items(folder))

    assert len(found) == len(names)
    assert {r"\xff.md", r"back\slash.md"} <= found


@pytest.mark.parametrize("name", [".hidden.md", ".git/config", "a/.cache/b.md"])
def test_hidden_files_and_folders_are_left_out(folder: Path, name: str) -> None:
    write(folder, name)
    write(folder, "a/shown.md")
    assert list(items(folder)) == ["a/shown.md"]


def test_a_folder_below_a_hidden_one_is_read_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / ".private" / "documents"
    folder.mkdir(parents=True)
    write(folder, "a.md")
    assert list(items(folder)) == ["a.md"]


def test_a_link_that_leads_out_of_the_folder_is_never_read_and_stops_none_of_the_others(folder: Path) -> None:
    secret = write(folder.parent, "secret.txt", "The key lies under the mat.")
    (folder / "innocent.txt").symlink_to(secret)
    write(folder, "a.md")
    found = items(folder)
    assert (found["a.md"].content, found["innocent.txt"].content) == (b"A text.", b"")
    assert reason(found["innocent.txt"].unread) == (
        "outside",
        '"innocent.txt" is a link that leads out of its folder. Replace it by the file itself.',
    )


def test_a_chain_of_links_that_ends_outside_is_refused(folder: Path) -> None:
    (folder / "b.txt").symlink_to(write(folder.parent, "secret.txt"))
    (folder / "a.txt").symlink_to(folder / "b.txt")
    assert reasons(folder) == {"a.txt": "outside", "b.txt": "outside"}


def test_a_file_that_became_a_link_after_the_folder_was_listed_is_not_followed_out_of_it(folder: Path) -> None:
    path = write(folder, "a.md")
    found = read_folder(folder, tenant="acme")
    path.unlink()
    path.symlink_to(write(folder.parent, "secret.txt"))
    assert [item.unread.reason for item in found if item.unread] == ["outside"]


def test_a_linked_folder_outside_is_refused_as_a_whole(folder: Path) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    write(outside, "secret.txt")
    write(folder, "a.md")
    (folder / "linked").symlink_to(outside, target_is_directory=True)
    assert reasons(folder) == {"a.md": "", "linked": "outside"}


def test_a_linked_folder_inside_is_read_once_where_it_stands(folder: Path) -> None:
    write(folder, "b/a.md")
    (folder / "again").symlink_to(folder / "b", target_is_directory=True)
    (folder / "b" / "up").symlink_to(folder, target_is_directory=True)
    assert list(items(folder)) == ["b/a.md"]


def test_links_to_nowhere_and_in_a_circle_are_refused(folder: Path) -> None:
    write(folder, "a.md")
    (folder / "nowhere.md").symlink_to(folder / "missing.md")
    (folder / "one.md").symlink_to(folder / "other.md")
    (folder / "other.md").symlink_to(folder / "one.md")
    assert reasons(folder) == dict.fromkeys(("nowhere.md", "one.md", "other.md"), "unreadable") | {"a.md": ""}


def test_a_pipe_or_a_socket_is_refused_and_not_waited_for(folder: Path) -> None:
    write(folder, "a.md")
    os.mkfifo(folder / "pipe.md")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(folder)  # the name of a socket is short
        try:
            listening.bind("socket.md")
        finally:
            os.chdir(here)
        assert reasons(folder) == {"a.md": "", "pipe.md": "unreadable", "socket.md": "unreadable"}


def test_a_folder_that_cannot_be_looked_into_is_told_and_stops_none_of_the_others(
    folder: Path, closed: Callable[[Path], None]
) -> None:
    write(folder, "a.md")
    write(folder, "b/c/d.md")
    write(folder, "e/f.md")
    closed(folder / "b")
    found = read_folder(folder, tenant="acme")
    assert [item.source.uri for item in found] == ["a.md", "e/f.md"]
    assert {name: reason(why) for name, why in found.unlisted.items()} == {
        "b": ("unreadable", '"b" cannot be looked into: Permission denied. Make it readable, or move it away.')
    }
    assert ("b/c/d.md" in found, "bc/d.md" in found) == (True, False)


def test_a_folder_that_cannot_be_looked_into_at_all_is_refused(folder: Path, closed: Callable[[Path], None]) -> None:
    closed(folder)
    with pytest.raises(InvalidRequest, match=r"documents. cannot be looked into: Permission denied"):
        items(folder)


def test_folders_in_one_another_may_be_more_than_calls_may(folder: Path) -> None:
    write(folder, "a/" * 200 + "b.md")
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        found = items(folder)
    finally:
        sys.setrecursionlimit(usual)
    assert [item.content for item in found.values()] == [b"A text."]


def test_no_more_of_a_file_is_read_than_is_asked_for(folder: Path) -> None:
    write(folder, "a.md", "12345")
    with (folder / "huge.md").open("wb") as file:
        file.truncate(1 << 40)
    found = {item.source.uri: item for item in read_folder(folder, tenant="acme", max_bytes=5)}
    assert found["a.md"].content == b"12345"
    assert reason(found["huge.md"].unread) == (
        "too_large",
        '"huge.md" has more than 5 bytes. Split it, or raise retrieval.parsing.max_bytes.',
    )


def test_a_name_that_is_no_text_can_be_told_and_stored(folder: Path) -> None:
    path = folder / os.fsdecode(b"\xff.md")
    path.symlink_to(folder / "missing.md")
    write(folder, "a\nb.md")
    found = items(folder)
    assert set(found) == {"\\xff.md", "a\nb.md"}
    assert "\\xff.md" in str(found["\\xff.md"].unread).encode().decode()


def test_a_link_that_stays_inside_is_a_document(folder: Path) -> None:
    write(folder, "a.md", "The text.")
    (folder / "b.md").symlink_to(folder / "a.md")
    assert items(folder)["b.md"].content == b"The text."


def test_a_folder_that_is_itself_reached_through_a_link_is_read(folder: Path) -> None:
    write(folder, "a.md")
    door = folder.parent / "door"
    door.symlink_to(folder, target_is_directory=True)
    assert list(items(door)) == ["a.md"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"There is no folder .*nowhere"):
        items(tmp_path / "nowhere")


def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"There is no folder .*a\.md"):
        items(write(tmp_path, "a.md"))


def test_the_files_are_counted_at_once_and_read_when_their_turn_comes(folder: Path) -> None:
    write(folder, "a.md")
    write(folder, "b.md")
    found = read_folder(folder, tenant="acme")
    reading = iter(found)
    assert (len(found), next(reading).source.uri) == (2, "a.md")


def test_a_file_that_cannot_be_read_says_why_and_stops_none_of_the_others(folder: Path) -> None:
    for name in ("a.md", "b.md", "c.md"):
        write(folder, name)
    found = read_folder(folder, tenant="acme")
    (folder / "b.md").unlink()

    first, lost, last = found

    assert all(one.content for one in (first, last))
    assert lost.content == b""
    assert reason(lost.unread) == (
        "unreadable",
        '"b.md" cannot be read: No such file or directory. Make it readable, or move it away.',
    )


def test_an_empty_folder_has_no_documents(folder: Path) -> None:
    assert items(folder) == {}
