"""A golden set as material: whose the documents are that it asks about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import InvalidRequest
from observability import trials


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "corpus").mkdir()
    for name in ("fares.md", "pay.md"):
        (tmp_path / "corpus" / name).write_text(f"# {name}\n\nA single ticket costs 14.50 euros.")
    return tmp_path


def lines(path: Path, *rows: dict[str, Any]) -> None:
    path.write_text("\n".join(json.dumps(row) for row in rows))


def ask(folder: Path, *tenants: str) -> None:
    case = {"kind": "answerable", "question": "How much is a ticket?", "answers": ["14.50"], "answerable": True}
    lines(folder / "golden.jsonl", *({"id": f"c{at}", "tenant": one, **case} for at, one in enumerate(tenants)))


def owners(folder: Path) -> dict[str, str]:
    return {one.source.uri: one.source.tenant for one in trials.material(folder).items}


@pytest.mark.parametrize("line", [[], [{"path": "pay.md", "title": "Pay"}]], ids=["no line", "a line without a tenant"])
def test_questions_of_several_tenants_need_to_know_whose_every_document_is(folder: Path, line: list[Any]) -> None:
    lines(folder / "sources.jsonl", {"path": "fares.md", "tenant": "*"}, *line)
    ask(folder, "harbour", "other")
    with pytest.raises(InvalidRequest, match=r'whose document pay\.md is, and .* harbour, other\. .*"path": "pay\.md"'):
        trials.material(folder)


def test_a_set_without_a_list_is_refused_too_and_says_how_many_lines_are_missing(folder: Path) -> None:
    ask(folder, "harbour", "other")
    with pytest.raises(InvalidRequest, match=r"whose document fares\.md is, nor of 1 more"):
        trials.material(folder, limit=1)


def test_questions_of_one_tenant_make_what_is_not_listed_its_own(folder: Path) -> None:
    lines(folder / "sources.jsonl", {"path": "fares.md", "tenant": "*"})
    ask(folder, "harbour", "harbour")
    assert owners(folder) == {"fares.md": "*", "pay.md": "harbour"}
