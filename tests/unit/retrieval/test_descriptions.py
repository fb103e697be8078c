"""What the list beside a folder's files says of them, and which lists are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import InvalidRequest
from foundation.types import EVERY_TENANT
from retrieval.ingest.folders import SOURCES, read_folder
from tests.unit.retrieval.test_folders import closed, denied, folder, items, write

__all__ = ["closed", "folder"]  # fixtures


def describe(where: Path, *lines: dict[str, Any] | str) -> None:
    written = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (where / SOURCES).write_text("\n".join(written), encoding="utf-8")


def test_a_line_supplies_everything_that_is_known_about_its_file(folder: Path) -> None:
    write(folder, "policies/refunds.md")
    line = {
        "path": "policies/refunds.md",
        "title": "Refunds",
        "tenant": EVERY_TENANT,
        "groups": ["finance", "legal"],
        "series": "refunds",
        "effective_from": "2026-01-15",
        "published": "2025-12-18",
    }
    describe(folder, line)
    source = items(folder)["policies/refunds.md"].source
    assert (source.title, source.tenant, source.series) == ("Refunds", EVERY_TENANT, "refunds")
    assert source.groups == {"finance", "legal"}
    assert (source.effective_from, source.published) == (date(2026, 1, 15), date(2025, 12, 18))


def test_the_list_may_stand_inside_the_folder_or_beside_it(folder: Path) -> None:
    write(folder, "a.md")
    describe(folder.parent, {"path": "a.md", "title": "Beside"})
    assert items(folder)["a.md"].source.title == "Beside"
    describe(folder, {"path": "a.md", "title": "Inside"})
    assert items(folder)["a.md"].source.title == "Inside"


def test_the_list_may_begin_with_the_mark_that_some_editors_write(folder: Path) -> None:
    write(folder, "a.md")
    describe(folder, '\ufeff{"path": "a.md", "title": "A"}')
    assert items(folder)["a.md"].source.title == "A"


def test_the_list_is_no_document(folder: Path) -> None:
    write(folder, "a.md")
    describe(folder, {"path": "a.md"})
    assert list(items(folder)) == ["a.md"]


def test_blank_lines_in_the_list_are_skipped_and_counted(folder: Path) -> None:
    write(folder, "a.md")
    describe(folder, {"path": "a.md", "title": "A"}, "", "not json")
    with pytest.raises(InvalidRequest, match=r"sources\.jsonl line 3\b"):
        items(folder)


def test_an_unknown_key_is_named_with_its_line_and_the_nearest_known_one(folder: Path) -> None:
    write(folder, "a.md")
    describe(folder, {"path": "a.md"}, {"path": "b.md", "tennant": "acme"})
    with pytest.raises(InvalidRequest, match=r'sources\.jsonl line 2\b.*tennant.*Did you mean "tenant"\?'):
        items(folder)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ({"path": "a.md", "effective_from": "15.1.2026"}, "effective_from"),
        ({"path": "a.md", "groups": "finance"}, "groups"),
        ({"title": "No path"}, "path"),
        ('["a.md"]', "Described"),
        ('{"path": "a.md"', "delimiter"),
    ],
)
def test_a_wrong_value_is_named_with_its_line(folder: Path, line: dict[str, Any] | str, named: str) -> None:
    write(folder, "a.md")
    describe(folder, line)
    with pytest.raises(InvalidRequest, match=rf"sources\.jsonl line 1\b.*{named}") as refused:
        items(folder)
    assert "\n" not in str(refused.value)


def test_a_line_that_describes_no_file_is_refused_because_some_file_would_lack_its_rights(folder: Path) -> None:
    write(folder, "salaries.md")
    describe(folder, {"path": "salary.md", "groups": ["finance"]})
    with pytest.raises(InvalidRequest, match=r'describes salary\.md.*Did you mean "salaries\.md"\?'):
        items(folder)


def test_a_wrong_list_is_refused_before_the_first_document_is_handed_out(folder: Path) -> None:
    write(folder, "a.md")
    describe(folder, {"path": "a.md"}, {"path": "missing.md"})
    with pytest.raises(InvalidRequest, match=r"missing\.md"):
        read_folder(folder, tenant="acme")


@pytest.mark.parametrize("path", ["./a/b.md", "a//b.md", "a/./b.md"])
def test_a_path_may_be_written_in_a_roundabout_way(folder: Path, path: str) -> None:
    write(folder, "a/b.md")
    describe(folder, {"path": path, "groups": ["finance"]})
    assert items(folder)["a/b.md"].source.groups == {"finance"}


def test_what_is_described_below_a_folder_that_cannot_be_looked_into_is_not_called_missing(
    folder: Path, closed: Callable[[Path], None]
) -> None:
    write(folder, "a.md")
    write(folder, "b/c.md")
    describe(folder, {"path": "b/c.md", "groups": ["finance"]})
    closed(folder / "b")
    assert list(items(folder)) == ["a.md"]


def test_a_list_that_cannot_be_read_is_refused_because_files_would_lack_their_rights(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, "a.md")
    describe(folder, {"path": "a.md", "groups": ["finance"]})
    monkeypatch.setattr(Path, "read_text", lambda path, **_: denied(path))
    with pytest.raises(InvalidRequest, match=r"sources\.jsonl cannot be read: Permission denied"):
        items(folder)


@pytest.mark.parametrize("beside", [False, True], ids=["in the folder", "beside it"])
def test_a_list_that_is_a_link_to_nowhere_is_not_taken_for_none(folder: Path, *, beside: bool) -> None:
    """An unmounted share, say: what the list restricts would be open to the whole tenant."""
    write(folder, "a.md")
    ((folder.parent if beside else folder) / SOURCES).symlink_to(folder / "nowhere" / SOURCES)
    with pytest.raises(InvalidRequest, match=r"sources\.jsonl cannot be read: No such file"):
        items(folder)


def test_a_file_described_twice_is_refused_because_the_lines_may_open_it_to_different_people(folder: Path) -> None:
    write(folder, "a.md")
    lines = [json.dumps({"path": "a.md", "groups": ["managers"]}), json.dumps({"path": "a.md"})]
    (folder / SOURCES).write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(InvalidRequest, match=r"line 2 describes a\.md a second time"):
        list(read_folder(folder, tenant="acme"))


def test_a_list_in_another_encoding_is_refused(folder: Path) -> None:
    (folder / SOURCES).write_bytes('{"path": "ä.md"}'.encode("latin-1"))
    with pytest.raises(InvalidRequest, match="not UTF-8"):
        list(read_folder(folder, tenant="acme"))


def test_a_title_may_hold_a_character_that_ends_a_line_elsewhere(folder: Path) -> None:
    write(folder, "a.md")
    (folder / SOURCES).write_text(
        json.dumps({"path": "a.md", "title": "one\u2028two"}, ensure_ascii=False), encoding="utf-8"
    )
    assert [item.source.title for item in read_folder(folder, tenant="acme")] == ["one\u2028two"]
